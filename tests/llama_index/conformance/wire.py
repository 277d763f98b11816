"""What any LlamaIndex LLM must send and understand, byte by byte: the suite brings the server."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import Any, cast

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.llms import LLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from .conduct import LISBON, WEATHER, Conduct
from .dialects import OPENAI, OpenAI
from .forms import CHATS, STREAMED, WHOLE, WITH_TOOLS, answers, asked, pieces, text_of
from .looking import extra, raw
from .pictures import png
from .played import raised
from .server import Reply, ScriptedServer

HELLO = [ChatMessage("Hello")]


class Place(BaseModel):
    """A place."""

    name: str


def search(query: str) -> str:
    """Search the web."""
    return query


SEARCH = FunctionTool.from_defaults(search)
OSLO = ("get_weather", {"city": "Oslo"})
UNBOUND = (None, "auto", "none")
OBJECTS = ("structured_predict", "astructured_predict", "stream_structured_predict", "astream_structured_predict")


def is_bound(body: Any) -> bool:
    """Tell whether a request makes the model call a tool: by its choice, or by a schema where there is no choice."""
    return body.get("tool_choice") not in UNBOUND or bool(body.get("format"))


def may_call(body: Any, name: str) -> bool:
    """Tell whether a request lets the model call a tool: it is offered, and no other one is chosen."""
    offered = [tool["function"]["name"] for tool in body["tools"]]
    chosen = [other for other in offered if json.dumps(other) in json.dumps(body.get("tool_choice"))]
    return name in (chosen or offered)


class WireConformance(Conduct):
    """Subclass it as `Test…`, say which dialect the integration speaks, and how the object is made."""

    def last_of(self, script: bytes) -> ChatResponse:
        """Return the last chunk of a stream."""
        with self.playing(script) as (llm, _):
            *_, last = llm.stream_chat(HELLO)
        return last

    # ------------------------------------------------------------------------------------------------------ the answer

    def test_reasoning_is_kept_in_every_form(self) -> None:
        script = self.dialect.text("Yes", ".", reasoning=["Let me", " see."])
        for form in CHATS:
            with self.playing(script) as (llm, _):
                chunks = pieces(llm, form, HELLO)
            thinking = [block for block in chunks[-1].message.blocks if isinstance(block, ThinkingBlock)]
            assert [block.content for block in thinking] == ["Let me see."], form
            assert chunks[-1].message.content == "Yes.", form
            if form in STREAMED:
                assert "".join(extra(chunk).get("thinking_delta") or "" for chunk in chunks) == "Let me see.", form

    def test_a_stream_grows_by_its_deltas_in_every_form(self) -> None:
        for form in STREAMED:
            with self.playing(self.dialect.text("Yes", ", it", " is.", reasoning=["Hm."])) as (llm, _):
                chunks = answers(llm, form, "Hello")
            assert all(isinstance(chunk.delta, str) for chunk in chunks), form
            text = ""
            for chunk in chunks:
                text += chunk.delta
                assert text_of(chunk) == text, form
            assert text == "Yes, it is.", form

    def test_counts_are_asked_for_and_kept(self) -> None:
        for form in (*WHOLE, *STREAMED):
            with self.playing(self.dialect.text("Yes", ".")) as (llm, _):
                told = raw(answers(llm, form, "Hello")[-1])["usage"]
            assert (told["prompt_tokens"], told["completion_tokens"]) == (11, 7), form

    def test_a_stream_that_was_cut_is_an_error(self) -> None:
        for form in STREAMED:
            with self.playing(self.dialect.cut()) as (llm, server):
                assert raised(llm, form) is not None, form
                assert len(server.asked(self.dialect.path)) == 1, f"{form}: it was asked for again"

    def test_an_error_in_a_stream_says_what_the_server_said(self) -> None:
        for form in STREAMED:
            with self.playing(self.dialect.failing()) as (llm, _):
                assert "out of memory" in str(raised(llm, form)), form

    def test_stopping_early_hangs_up_at_once_in_every_form(self) -> None:
        for form in STREAMED:
            with self.playing(self.dialect.endless()) as (llm, server):
                assert asyncio.run(self.hangs_up(llm, form, server)), form

    async def hangs_up(self, llm: LLM, form: str, server: ScriptedServer) -> bool:
        """Read one piece of an endless stream, close it, and tell whether that hangs up."""
        method: Any = getattr(llm, form)
        if form.startswith("a"):
            stream = await method(asked(form, "Hello"))
            await anext(stream)
            await stream.aclose()
        else:
            stream = method(asked(form, "Hello"))
            next(stream)
            stream.close()
        hung_up = await asyncio.to_thread(server.asked(self.dialect.path)[0].disconnected.wait, 2)
        if callable(aclose := getattr(llm, "aclose", None)):
            await cast("Any", aclose())
        return hung_up

    def test_a_server_that_is_not_there_is_told_within_two_seconds(self) -> None:
        with socket.socket() as nobody:  # it has the port, and does not listen
            nobody.bind(("127.0.0.1", 0))
            started = time.monotonic()
            with pytest.raises(Exception):  # noqa: B017, PT011
                self.make(f"http://127.0.0.1:{nobody.getsockname()[1]}").chat(HELLO)
            assert time.monotonic() - started < 2

    def test_a_generation_is_not_sent_twice(self) -> None:
        failing = Reply.json({"error": {"message": "broken", "code": 400}}, 400)
        with self.playing(failing) as (llm, server):
            with pytest.raises(Exception):  # noqa: B017, PT011
                llm.chat(HELLO)
            assert len(server.asked(self.dialect.path)) == 1

    # ------------------------------------------------------------------------------------------------------------ tools

    def calls_of(self, script: bytes, form: str = "stream_chat_with_tools") -> list[tuple[str, dict[str, Any]]]:
        """Return the calls of an answer; their ids must differ."""
        with self.playing(script) as (llm, _):
            last = pieces(llm, form, [WEATHER], "Weather?", allow_parallel_tool_calls=True)[-1]
            found = llm.get_tool_calls_from_response(last)
        assert len({call.tool_id for call in found}) == len(found)
        return [(call.tool_name, call.tool_kwargs) for call in found]

    def test_two_identical_calls_stay_two(self) -> None:
        for form in WITH_TOOLS:
            assert self.calls_of(self.dialect.calls(LISBON, LISBON), form) == [LISBON, LISBON], form

    def test_one_call_is_let_through_where_one_is_allowed(self) -> None:
        for form in WITH_TOOLS:
            with self.playing(self.dialect.calls(LISBON, OSLO)) as (llm, _):
                last = pieces(llm, form, [WEATHER], "Weather?", allow_parallel_tool_calls=False)[-1]
                assert len(llm.get_tool_calls_from_response(last)) == 1, form

    def test_a_required_tool_is_required_in_every_form(self) -> None:
        for form in WITH_TOOLS:
            with self.playing(self.dialect.calls(LISBON)) as (llm, server):
                pieces(llm, form, [WEATHER], "Weather?", tool_required=True)
                assert is_bound(self.sent(server)), f"{form}: nothing makes it call"

    def test_a_named_tool_is_asked_for_in_every_form(self) -> None:
        for form in WITH_TOOLS:
            with self.playing(self.dialect.calls(LISBON)) as (llm, server):
                pieces(llm, form, [SEARCH, WEATHER], "Weather?", tool_choice="get_weather")
                body = self.sent(server)
                assert is_bound(body), f"{form}: nothing makes it call"
                assert may_call(body, "get_weather"), form
                assert not may_call(body, "search"), f"{form}: it may call another one"

    def test_a_picture_in_a_tools_result_is_sent_in_every_form(self) -> None:
        call = ToolCallBlock(tool_call_id="a", tool_name="draw", tool_kwargs={})
        blocks: Any = [TextBlock(text="Here."), ImageBlock(image=png(0, 0, 255))]
        history = [
            ChatMessage("Draw."),
            ChatMessage(role="assistant", blocks=[call]),
            ChatMessage(role="tool", blocks=blocks, additional_kwargs={"tool_call_id": "a"}),
        ]
        for form in CHATS:
            with self.playing(self.dialect.text("Blue.")) as (llm, server):
                pieces(llm, form, history)
                assert "iVBORw0KGgo" in json.dumps(self.sent(server)["messages"]), form

    # ---------------------------------------------------------------------------------------------------------- objects

    def an_object(self, asked: Any) -> bytes:
        """Say an object as it was asked for: as a call, where the request has tools."""
        if asked.get("tools"):
            return self.dialect.calls(("Place", {"name": "Oslo"}))
        return self.dialect.text('{"name": ', '"Oslo"}')

    def test_an_object_is_held_to_its_schema_in_every_form(self) -> None:
        for form in OBJECTS:
            with self.playing(self.an_object) as (llm, server):
                last = pieces(llm, form, Place, PromptTemplate("A place."))[-1]
                body = self.sent(server)
                held = body.get("response_format") or body.get("format") or body.get("tool_choice") not in UNBOUND
                assert held, form
                assert isinstance(last, Place), form
                assert last.name == "Oslo", form

    def test_an_objects_system_prompt_is_sent(self) -> None:
        for form in OBJECTS:
            with self.playing(self.an_object) as (llm, server):
                llm.system_prompt = "Be brief."
                pieces(llm, form, Place, PromptTemplate("A place."))
                assert "Be brief." in json.dumps(self.sent(server)["messages"]), form

    # --------------------------------------------------------------------------------------------------------- the key

    def test_the_key_of_another_service_is_not_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
        with self.playing(self.dialect.text("Yes.")) as (llm, server):
            list(llm.stream_chat(HELLO))
            assert all("sk-of-somebody" not in value for each in server.requests for value in each.headers.values())


class OpenAIWireConformance(WireConformance):
    """What only streams of `/v1` can show: pings, and calls in pieces."""

    @property
    def dialect(self) -> OpenAI:
        """By `/v1`."""
        return OPENAI

    def test_pings_between_events_are_passed_over(self) -> None:
        assert self.last_of(self.dialect.with_comments()).message.content == "Hello"

    def test_interleaved_calls_are_told_apart(self) -> None:
        assert self.calls_of(self.dialect.interleaved(LISBON, OSLO)) == [LISBON, OSLO]

    def test_calls_that_share_an_index_are_told_apart(self) -> None:
        assert self.calls_of(self.dialect.same_index(LISBON, OSLO)) == [LISBON, OSLO]
