"""Callbacks, instrumentation and token counts are those that LlamaIndex's own decorators give."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler, TokenCountingHandler
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatInProgressEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMStructuredPredictEndEvent,
)
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.vessel import Vessel
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel, SecretStr
from vessel_core.errors import ServerError

from tests.fake_server import Response
from tests.llama_index.conformance.answers import COUNTS, answer, event
from tests.llama_index.reference import Reference
from tests.llama_index.scripted import scripted

HELLO = [ChatMessage("Hello")]


class Place(BaseModel):
    name: str


class Recorder(BaseEventHandler):
    """Keeps the events it gets."""

    events: list[Any] = []  # noqa: RUF012 - a pydantic field, copied for each object

    @classmethod
    def class_name(cls) -> str:
        return "Recorder"

    def handle(self, event: Any, **_: Any) -> None:
        self.events.append(event)


@contextmanager
def recorded() -> Generator[list[Any]]:
    """Yield the list that the events of all LlamaIndex go to."""
    root, recorder = get_dispatcher(), Recorder()
    root.add_event_handler(recorder)
    try:
        yield recorder.events
    finally:
        root.event_handlers.remove(recorder)


def many_tokens(_: str) -> list[int]:
    """Estimate as nobody would, so that an estimate is seen."""
    return [0] * 1000


async def every_form(llm: Any) -> None:
    """Ask in all eight forms."""
    llm.chat(HELLO)
    list(llm.stream_chat(HELLO))
    await llm.achat(HELLO)
    async for _ in await llm.astream_chat(HELLO):
        pass
    llm.complete("Hello")
    list(llm.stream_complete("Hello"))
    await llm.acomplete("Hello")
    async for _ in await llm.astream_complete("Hello"):
        pass


def fields_of(events: list[Any], kind: str) -> set[str]:
    """Return the fields that say something in the first event of a kind."""
    found = next(event for event in events if event.class_name() == kind)
    return {name for name, value in found.model_dump().items() if value is not None}


class Payloads(BaseCallbackHandler):
    """Keeps what callbacks are told: the event, whether it starts or ends, and the keys of its payload."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.told: list[tuple[str, str, list[str]]] = []

    def start_trace(self, trace_id: str | None = None) -> None:
        self.told.append(("trace", str(trace_id), []))

    def end_trace(self, trace_id: str | None = None, trace_map: dict[str, list[str]] | None = None) -> None:
        self.told.append(("trace end", str(trace_id), []))

    def on_event_start(
        self, event_type: Any, payload: Any = None, event_id: str = "", parent_id: str = "", **_: Any
    ) -> str:
        self.told.append(("start", event_type.value, sorted(payload or ())))
        return event_id

    def on_event_end(self, event_type: Any, payload: Any = None, event_id: str = "", **_: Any) -> None:
        self.told.append(("end", event_type.value, sorted(payload or ())))


def kinds(events: list[Any]) -> list[str]:
    """Return the kinds of events, a run of the same kind once."""
    names = [event.class_name() for event in events]
    return [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]


async def test_the_events_are_those_of_cores_own_decorators() -> None:
    reference, ours = Payloads(), Payloads()
    with recorded() as expected:
        await every_form(Reference(max_tokens=None, callback_manager=CallbackManager([reference])))
    with scripted(answer("Hello", " there."), callback_manager=CallbackManager([ours])) as (llm, _):
        with recorded() as events:
            await every_form(llm)
        await llm.aclose()
    assert kinds(events) == kinds(expected)
    assert {kind: fields_of(events, kind) for kind in kinds(events)} == {
        kind: fields_of(expected, kind) for kind in kinds(expected)
    }
    assert ours.told == reference.told


def test_events_say_what_was_asked_and_answered_in_the_span_of_the_call(spans: SimpleSpanHandler) -> None:
    with scripted(answer("Hello", " there."), api_key="secret-key", temperature=0.3) as (llm, _), recorded() as events:
        *_, last = llm.stream_chat(HELLO, max_tokens=9)
    start, *progress, end = events
    assert isinstance(start, LLMChatStartEvent)
    assert start.messages == HELLO
    told: Any = start
    assert told.additional_kwargs == {"max_tokens": 9}
    assert told.model_dict["model_name"] == "demo"
    assert told.model_dict["temperature"] == 0.3
    assert "secret-key" not in str(start)
    assert all(isinstance(event, LLMChatInProgressEvent) for event in progress)
    assert isinstance(end, LLMChatEndEvent)
    assert end.response == last == progress[-1].response
    assert len({event.span_id for event in events}) == 1
    (span,) = spans.completed_spans
    assert span.id_.startswith("Vessel.stream_chat")
    assert start.span_id == span.id_
    assert "secret-key" not in str(span)


def test_a_failure_is_told_to_callbacks_and_handlers() -> None:
    debugging = LlamaDebugHandler(print_trace_on_end=False)
    failing = Response.stream(
        event({"content": "Hel"}), b'data: {"error": {"message": "out of memory", "code": 500}}\n\n'
    )
    with scripted(failing, callback_manager=CallbackManager([debugging]), max_retries=0) as (llm, _):
        with recorded() as events, pytest.raises(ServerError):
            list(llm.stream_chat(HELLO))
        with pytest.raises(ServerError):
            llm.chat(HELLO)
    assert isinstance(events[-1], ExceptionEvent)
    assert isinstance(events[-1].exception, ServerError)
    pairs = debugging.get_event_pairs(CBEventType.LLM)
    assert len(pairs) == 2
    assert all(isinstance(end.payload and end.payload["exception"], ServerError) for _, end in pairs)


def test_stopping_early_ends_the_request_with_what_had_come() -> None:
    with scripted(answer("Hello", " there.", " More.")) as (llm, _), recorded() as events:
        stream = llm.stream_chat(HELLO)
        assert next(stream).delta == "Hello"
        stream.close()
    assert kinds(events) == ["LLMChatStartEvent", "LLMChatInProgressEvent", "LLMChatEndEvent"]
    assert events[-1].response.message.content == "Hello"


async def test_token_counts_are_the_servers() -> None:
    counting = TokenCountingHandler(tokenizer=many_tokens)
    with scripted(answer("Hello", " there."), callback_manager=CallbackManager([counting])) as (llm, _):
        await every_form(llm)
        await llm.aclose()
    assert [count.prompt_token_count for count in counting.llm_token_counts] == [COUNTS["prompt_tokens"]] * 8
    assert [count.completion_token_count for count in counting.llm_token_counts] == [COUNTS["completion_tokens"]] * 8


def test_token_counts_of_a_real_server_count_up(llm: Vessel) -> None:
    counting = TokenCountingHandler(tokenizer=many_tokens)
    llm.callback_manager = CallbackManager([counting])
    first = llm.chat(HELLO)
    *_, last = llm.stream_chat(HELLO)
    counted = sum(response.raw["usage"]["total_tokens"] for response in (first, last) if response.raw)
    assert counting.total_llm_token_count == counted > 0


def test_structured_answers_have_their_events_and_those_of_their_chat() -> None:
    with scripted(answer('{"name": ', '"Oslo"}')) as (llm, _), recorded() as events:
        made = llm.structured_predict(Place, PromptTemplate("A place."))
        streamed = list(llm.stream_structured_predict(Place, PromptTemplate("A place.")))
    assert kinds(events)[:4] == [
        "LLMStructuredPredictStartEvent",
        "LLMChatStartEvent",
        "LLMChatEndEvent",
        "LLMStructuredPredictEndEvent",
    ]
    assert isinstance(events[-1], LLMStructuredPredictEndEvent)
    assert events[-1].output == made == streamed[-1]


async def test_each_call_of_a_structured_llm_has_one_span(spans: SimpleSpanHandler) -> None:
    with scripted(answer('{"name": "Oslo"}')) as (llm, _):
        structured = llm.as_structured_llm(Place)
        structured.chat(HELLO)
        list(structured.stream_chat(HELLO))
        await structured.achat(HELLO)
        [each async for each in await structured.astream_chat(HELLO)]
        await llm.aclose()
    outer = [span.id_.partition("-")[0] for span in spans.completed_spans if span.id_.startswith("VesselStructured")]
    assert outer == [f"VesselStructuredLLM.{form}" for form in ("chat", "stream_chat", "achat", "astream_chat")]


def test_a_rate_limiter_is_asked_before_each_request() -> None:
    class Limiter:
        def __init__(self) -> None:
            self.turns: list[str] = []

        def acquire(self) -> None:
            self.turns.append("sync")

        async def async_acquire(self) -> None:
            self.turns.append("async")

    limiter = Limiter()
    with scripted(answer("Hello"), rate_limiter=limiter) as (llm, _):

        async def ask() -> None:
            await every_form(llm)
            await llm.aclose()

        asyncio.run(ask())
    assert limiter.turns == ["sync", "sync", "async", "async"] * 2


def test_a_completion_that_was_never_read_is_told_as_ended() -> None:
    with scripted(answer("Hello")) as (llm, _), recorded() as events:
        stream = llm.stream_complete("Hello")
        next(stream)
        stream.close()
    assert isinstance(events[-1], LLMCompletionEndEvent)


def test_headers_and_keys_are_in_no_event() -> None:
    secrets = {"X-Api-Key": SecretStr("hidden-1"), "Authorization": "Bearer hidden-2"}
    with scripted(answer("Hello"), headers=secrets, api_key="hidden-3") as (llm, server), recorded() as events:
        response: ChatResponse = llm.chat(HELLO)
        assert server.requests[0].headers["x-api-key"] == "hidden-1"
    assert "hidden" not in "".join(repr(event.model_dump()) for event in events)
    assert "hidden" not in repr(response)
    assert "hidden" not in repr(llm)
