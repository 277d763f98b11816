"""How an LLM behaves beside what it says: to its event loop, to handlers, to who stores it, and to the server."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, TextBlock, ThinkingBlock
from llama_index.core.tools import FunctionTool

from .forms import CHATS, STREAMED, WHOLE, WITH_TOOLS, answers, apieces, asked, pieces, text_of
from .looking import bounded, events, extra, with_key, written
from .played import Gate, Played, raised
from .server import Reply


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return city


WEATHER = FunctionTool.from_defaults(get_weather)
LISBON = ("get_weather", {"city": "Lisbon"})


class Conduct(Played):
    """What is seen from beside."""

    def test_async_forms_hold_no_event_loop_up(self) -> None:
        for form in (form for form in (*WHOLE, *STREAMED) if form.startswith("a")):
            gate = Gate()
            with self.playing(self.behind(gate)) as (llm, _):
                answer = asyncio.run(gate.beside(apieces(llm, form, asked(form, "Hello"))))
            assert gate.held, form
            assert not any(gate.held), f"{form}: nothing else ran in its event loop"
            assert text_of(answer[-1]) == "Yes.", form

    def behind(self, gate: Gate) -> Any:
        """Return a script that answers once a gate is open."""

        def script(_: Any) -> bytes:
            gate.wait()
            return self.dialect.text("Yes", ".")

        return script

    def test_handlers_are_told_of_the_start_and_the_end_in_every_form(self) -> None:
        for form in (*WHOLE, *STREAMED):
            with self.playing(self.dialect.text("Yes", ".")) as (llm, _), events() as told:
                answers(llm, form, "Hello")
            kind = "LLMChat" if form.endswith("chat") else "LLMCompletion"
            ours = [event for event in told if event.class_name().startswith(kind)]
            names = [event.class_name() for event in ours]
            assert [names[0], names[-1]] == [f"{kind}StartEvent", f"{kind}EndEvent"], form
            assert (names.count(names[0]), names.count(names[-1])) == (1, 1), form
            assert text_of(ours[-1].response) == "Yes.", form
            assert len({event.span_id for event in ours}) == 1, form

    def test_a_key_that_was_given_is_not_stored(self) -> None:
        with self.playing(self.dialect.text("Yes.")) as (llm, _):
            with_key(llm, "sk-of-mine")
            assert "sk-of-mine" not in written(llm)

    def test_an_answer_that_does_not_begin_is_not_asked_for_twice(self) -> None:
        for form in CHATS:
            with self.playing(Reply(b"", endless=True)) as (llm, server):
                bounded(llm, 0.3)
                assert raised(llm, form) is not None, form
                assert len(server.asked(self.dialect.path)) < 2, form

    def test_thinking_goes_back_with_the_history_in_every_form(self) -> None:
        answer = ChatMessage(role="assistant", blocks=[ThinkingBlock(content="I count them."), TextBlock(text="Two.")])
        for form in CHATS:
            with self.playing(self.dialect.text("Yes.")) as (llm, server):
                pieces(llm, form, [ChatMessage("How many?"), answer, ChatMessage("Sure?")])
                assert "I count them." in str(self.sent(server)["messages"]), form

    def test_counts_are_in_additional_kwargs_of_whole_answers(self) -> None:
        for form in WHOLE:
            with self.playing(self.dialect.text("Yes", ".")) as (llm, _):
                told = extra(answers(llm, form, "Hello")[-1])
            assert (told["prompt_tokens"], told["completion_tokens"], told["total_tokens"]) == (11, 7, 18), form

    def test_the_ids_of_calls_differ_from_turn_to_turn(self) -> None:
        turn = count()
        for form in WITH_TOOLS:
            with self.playing(lambda _: self.dialect.calls(LISBON).replace(b"id-0", b"id-%d" % next(turn))) as (llm, _):
                turns = [pieces(llm, form, [WEATHER], "Weather?")[-1] for _ in range(2)]
                first, second = (llm.get_tool_calls_from_response(answer)[0].tool_id for answer in turns)
            assert first, form
            assert first != second, form
