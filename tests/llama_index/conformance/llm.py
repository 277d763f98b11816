"""What any LlamaIndex LLM must do, on a server that runs."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import socket
from abc import ABC, abstractmethod
from typing import Any, cast

import pytest
from llama_index.core.agent.workflow import FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import LLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, Field

from .forms import CHATS, STREAMED, WHOLE, WITH_TOOLS, answers, pieces
from .looking import extra, raw
from .pictures import png


class Place(BaseModel):
    """A place."""

    name: str
    size: int = Field(ge=0, le=9)


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"It is sunny in {city}."


WEATHER = FunctionTool.from_defaults(get_weather)
PLACE = PromptTemplate("Invent a place in {country}.")


def far_too_many(_: str) -> list[int]:
    """Estimate a length as nobody would, so that an estimate shows."""
    return [0] * 100_000


class Made(ABC):
    """How the object is made, and what it is asked."""

    question = "Hello, who are you?"

    #: The context window that the server gives the model, in tokens: say it.
    context_window = 0

    @abstractmethod
    def make(self) -> LLM:
        """Return a new object, on the server."""

    @property
    def messages(self) -> list[ChatMessage]:
        """A conversation of one message."""
        return [ChatMessage(self.question)]


class LLMConformance(Made):
    """What every LLM does. Subclass it as `Test…`, with the classes below for what the model there can do."""

    # ------------------------------------------------------------------------------------------------ the eight forms

    def test_chat_answers_as_the_assistant(self) -> None:
        response = self.make().chat(self.messages)
        assert response.message.role == "assistant"
        assert response.message.content

    def test_a_streamed_chat_grows_by_its_deltas(self) -> None:
        text = ""
        for chunk in self.make().stream_chat(self.messages):
            assert isinstance(chunk.delta, str)
            text += chunk.delta
            assert (chunk.message.content or "") == text
        assert text

    async def test_an_async_chat_answers(self) -> None:
        response = await self.make().achat(self.messages)
        assert response.message.content

    async def test_an_async_stream_is_a_coroutine_that_gives_a_generator(self) -> None:
        asked = self.make().astream_chat(self.messages)
        assert inspect.iscoroutine(asked)
        text = ""
        async for chunk in await asked:
            assert isinstance(chunk.delta, str)
            text += chunk.delta
            assert (chunk.message.content or "") == text
        assert text

    async def test_completions_answer_in_all_forms(self) -> None:
        llm = self.make()
        assert (await asyncio.to_thread(llm.complete, self.question)).text
        assert (await llm.acomplete(self.question)).text
        streamed = await asyncio.to_thread(lambda: list(llm.stream_complete(self.question)))
        assert "".join(chunk.delta or "" for chunk in streamed) == streamed[-1].text != ""
        chunks = [chunk async for chunk in await llm.astream_complete(self.question)]
        assert chunks[-1].text

    def test_a_streamed_text_is_one_block(self) -> None:
        *_, last = self.make().stream_chat(self.messages)
        assert len([block for block in last.message.blocks if isinstance(block, TextBlock)]) == 1

    # -------------------------------------------------------------------------------------------------------- counting

    def test_the_counts_of_tokens_are_real_ones(self) -> None:
        counting = TokenCountingHandler(tokenizer=far_too_many)
        for form in (*WHOLE, *STREAMED):
            llm = self.make()
            llm.callback_manager = CallbackManager([counting])
            answers(llm, form, self.question)
        assert len(counting.llm_token_counts) == 8
        assert all(0 < count.total_token_count < 100_000 for count in counting.llm_token_counts)

    def test_the_last_chunk_has_the_counts(self) -> None:
        for form in STREAMED:
            assert raw(answers(self.make(), form, self.question)[-1])["usage"]["completion_tokens"] > 0, form

    # ---------------------------------------------------------------------------------------------------- what is sent

    def test_histories_of_other_classes_are_accepted(self) -> None:
        text = ToolCallBlock(tool_call_id="get_weather", tool_name="get_weather", tool_kwargs='{"city": "Oslo"}')
        thinking = ThinkingBlock(content="I look it up.")
        history = [
            ChatMessage("What is the weather in Oslo?"),
            ChatMessage(role="assistant", blocks=[thinking, text]),
            ChatMessage(role="tool", content="Sunny.", additional_kwargs={"tool_call_id": "get_weather"}),
            ChatMessage(role="chatbot", content="It is sunny."),
            ChatMessage("Thank you."),
        ]
        assert self.make().chat(history).message.role == "assistant"

    # --------------------------------------------------------------------------------------------------- the object itself

    async def test_the_metadata_holds_no_event_loop_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def connect(*_: Any) -> None:
            raise AssertionError("the metadata made a request")

        llm = self.make()
        monkeypatch.setattr(socket, "create_connection", connect)
        monkeypatch.setattr(socket.socket, "connect", connect)
        assert llm.metadata.context_window > 0
        assert llm.to_payload()

    def test_the_context_window_is_the_servers_once_it_has_answered(self) -> None:
        assert self.context_window, "Say `context_window = …` in the test class."
        sync, other = self.make(), self.make()
        sync.chat(self.messages)
        pieces(other, "achat", self.messages)
        assert [llm.metadata.context_window for llm in (sync, other)] == [self.context_window] * 2

    def test_it_survives_being_stored(self) -> None:
        llm = self.make()
        kind: Any = llm.__class__
        for again in (pickle.loads(pickle.dumps(llm)), kind.from_dict(cast("Any", llm).to_dict())):
            assert again.metadata == llm.metadata
            assert again.chat(self.messages).message.content

    def test_an_unknown_argument_is_refused(self) -> None:
        kind: Any = self.make().__class__
        with pytest.raises((TypeError, ValueError)):
            kind(model="demo", max_tokenz=5)

    def test_it_serves_one_event_loop_after_another(self) -> None:
        llm = self.make()

        async def ask() -> str:
            return (await llm.acomplete(self.question)).text

        assert all(asyncio.run(ask()) for _ in range(2))


class ThinkingConformance(Made):
    """For a model that thinks before it answers."""

    def test_thinking_is_kept_apart_whole_and_streamed(self) -> None:
        for form in CHATS:
            chunks = pieces(self.make(), form, self.messages)
            message = chunks[-1].message
            assert any(isinstance(block, ThinkingBlock) and block.content for block in message.blocks), form
            assert "<think>" not in (message.content or ""), form
            assert form in WHOLE or any(extra(chunk).get("thinking_delta") for chunk in chunks), form


class ToolConformance(Made):
    """For a model that calls tools."""

    tool_question = "What is the weather in Lisbon?"

    def make_calling(self) -> FunctionCallingLLM:
        """Return a new object that calls tools."""
        llm = self.make()
        assert isinstance(llm, FunctionCallingLLM)
        return llm

    def test_a_tool_is_called_in_all_sync_forms(self) -> None:
        llm = self.make_calling()
        whole = llm.chat_with_tools([WEATHER], self.tool_question, tool_required=True)
        *_, streamed = llm.stream_chat_with_tools([WEATHER], self.tool_question, tool_required=True)
        for response in (whole, streamed):
            (call,) = llm.get_tool_calls_from_response(response)
            assert (call.tool_name, list(call.tool_kwargs)) == ("get_weather", ["city"])
            assert call.tool_id
            assert any(isinstance(block, ToolCallBlock) for block in response.message.blocks)

    async def test_a_tool_is_called_in_all_async_forms(self) -> None:
        llm = self.make_calling()
        whole = await llm.achat_with_tools([WEATHER], self.tool_question, tool_required=True)
        assert [call.tool_name for call in llm.get_tool_calls_from_response(whole)] == ["get_weather"]
        last = None
        async for last in await llm.astream_chat_with_tools([WEATHER], self.tool_question, tool_required=True):
            llm.get_tool_calls_from_response(last, error_on_no_tool_call=False)
        assert last is not None
        assert [call.tool_name for call in llm.get_tool_calls_from_response(last)] == ["get_weather"]

    def test_a_result_is_understood(self) -> None:
        llm = self.make_calling()
        history = [ChatMessage(self.tool_question)]
        asked = llm.chat_with_tools([WEATHER], chat_history=history, tool_required=True)
        (call,) = llm.get_tool_calls_from_response(asked)
        result = ChatMessage(role="tool", content="Sunny.", additional_kwargs={"tool_call_id": call.tool_id})
        reply = llm.chat_with_tools([WEATHER], chat_history=[*history, asked.message, result])
        assert reply.message.content

    async def test_an_agent_calls_a_tool_and_answers(self) -> None:
        agent: Any = FunctionAgent(tools=[get_weather], llm=self.make_calling())
        running = agent.run(user_msg=self.tool_question)
        events = [event async for event in running.stream_events()]
        assert any(isinstance(event, ToolCallResult) for event in events)
        assert str(await running)


class ParallelToolConformance(ToolConformance):
    """For a model that makes several calls in one turn."""

    parallel_question = "What is the weather in both Lisbon and Oslo?"

    def test_parallel_calls_come_only_when_they_are_allowed(self) -> None:
        llm = self.make_calling()
        several = llm.chat_with_tools([WEATHER], self.parallel_question, allow_parallel_tool_calls=True)
        calls = llm.get_tool_calls_from_response(several)
        assert len({call.tool_id for call in calls}) == len(calls) == 2
        for form in WITH_TOOLS:
            one = pieces(self.make(), form, [WEATHER], self.parallel_question, tool_required=True)[-1]
            assert len(llm.get_tool_calls_from_response(one)) == 1, form


class StructuredConformance(Made):
    """For a model that writes JSON."""

    async def test_objects_come_in_all_four_ways(self) -> None:
        llm = self.make()
        assert isinstance(await asyncio.to_thread(llm.structured_predict, Place, PLACE, country="Peru"), Place)
        assert isinstance(await llm.astructured_predict(Place, PLACE, country="Peru"), Place)
        streamed = await asyncio.to_thread(lambda: list(llm.stream_structured_predict(Place, PLACE, country="Peru")))
        assert isinstance(streamed[-1], Place)
        objects = [one async for one in await llm.astream_structured_predict(Place, PLACE, country="Peru")]
        assert isinstance(objects[-1], Place)

    def test_a_structured_llm_answers_with_an_object(self) -> None:
        assert isinstance(self.make().as_structured_llm(Place).chat(self.messages).raw, Place)


class VisionConformance(Made):
    """For a model that sees pictures."""

    def test_a_picture_is_seen(self) -> None:
        blocks: Any = [TextBlock(text="Which colour is this?"), ImageBlock(image=png(0, 0, 255))]
        assert "blue" in (self.make().chat([ChatMessage(blocks=blocks)]).message.content or "").lower()
