"""Tells callbacks and instrumentation of a request: what it asks, each piece of its answer, how it ended.

The events are those of LlamaIndex's own decorators, with three differences. A stream is closed when its reader stops, even
if somebody still holds core's generator: the decorators leave that to the garbage collector. Stopping early ends the request,
with what had come, and is no failure. And the event of each piece is made only if somebody listens.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import aclosing, closing, contextmanager
from typing import Any, Generic, TypeVar

from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.base.llms.types import ChatResponse, CompletionResponse
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation.event_handlers import NullEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatInProgressEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionInProgressEvent,
    LLMCompletionStartEvent,
)
from llama_index.core.instrumentation.span import active_span_id
from llama_index.llms.vessel.responses import Answer
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.dispatcher import Dispatcher
from vessel_core import Delta
from vessel_core.explaining import shortened
from vessel_core.owned import owned
from vessel_core.records import record

#: Where core's own decorators send theirs, so that handlers find these too.
dispatcher: Dispatcher = get_dispatcher("llama_index.core.llms.callbacks")

R = TypeVar("R", ChatResponse, CompletionResponse)


@record
class Kind(Generic[R]):
    """What the two kinds of request call things."""

    asked: str
    asked_payload: EventPayload
    answer_payload: EventPayload
    start: Callable[..., BaseEvent]
    progress: Callable[..., BaseEvent]
    end: Callable[..., BaseEvent]
    show: Callable[[Answer, Delta | None], R]


CHAT: Kind[ChatResponse] = Kind(
    "messages",
    EventPayload.MESSAGES,
    EventPayload.RESPONSE,
    LLMChatStartEvent,
    LLMChatInProgressEvent,
    LLMChatEndEvent,
    Answer.chat,
)
COMPLETION: Kind[CompletionResponse] = Kind(
    "prompt",
    EventPayload.PROMPT,
    EventPayload.COMPLETION,
    LLMCompletionStartEvent,
    LLMCompletionInProgressEvent,
    LLMCompletionEndEvent,
    Answer.completion,
)


class Telling(Generic[R]):
    """One request that is told of. Making it tells that the request starts."""

    def __init__(self, kind: Kind[R], llm: BaseLLM, asked: Any, options: Mapping[str, Any]) -> None:
        self._kind = kind
        self._asked = asked
        self._last: R | None = None
        self._callbacks = llm.callback_manager
        self._span_id = active_span_id.get()
        model, options = llm.to_payload(), dict(options)
        start = {kind.asked: asked, "additional_kwargs": options, "model_dict": model, "span_id": self._span_id}
        dispatcher.event(kind.start(**start))
        self._event_id = self._callbacks.on_event_start(
            CBEventType.LLM,
            payload={
                kind.asked_payload: asked,
                EventPayload.ADDITIONAL_KWARGS: options,
                EventPayload.SERIALIZED: model,
            },
        )

    def whole(self, ask: Callable[[], Generator[Delta]]) -> R:
        """Ask, and return the whole answer."""
        answer = Answer()
        with shortened(), self._asking():
            for delta in ask():
                answer.take(delta)
        return self._ended(self._kind.show(answer, None))

    async def awhole(self, ask: Callable[[], Awaitable[AsyncGenerator[Delta]]]) -> R:
        """Ask, and return the whole answer."""
        answer = Answer()
        with shortened(), self._asking():
            async with aclosing(await ask()) as deltas:
                async for delta in deltas:
                    answer.take(delta)
        return self._ended(self._kind.show(answer, None))

    def stream(self, ask: Callable[[], Generator[Delta]]) -> Generator[R]:
        """Ask, and return the answer as it comes."""
        with self._asking():
            deltas = ask()
        return self._relay(deltas)

    async def astream(self, ask: Callable[[], Awaitable[AsyncGenerator[Delta]]]) -> AsyncGenerator[R]:
        """Ask, and return the answer as it comes."""
        with self._asking():
            deltas = await ask()
        return self._arelay(deltas)

    @contextmanager
    def _asking(self) -> Generator[None]:
        """Tell of what goes wrong before the answer comes, or before it is whole."""
        try:
            yield
        except BaseException as error:
            self._end_callback({EventPayload.EXCEPTION: error})
            raise

    def _relay(self, deltas: Generator[Delta]) -> Generator[R]:
        answer, show, listened = Answer(), self._kind.show, _listened()
        with self._to_the_end(), closing(deltas):
            for delta in deltas:
                answer.take(delta)
                self._last = show(answer, delta)
                if listened:
                    self._tell_progress(self._last)
                yield self._last

    async def _arelay(self, deltas: AsyncGenerator[Delta]) -> AsyncGenerator[R]:
        answer, show, listened = Answer(), self._kind.show, _listened()
        with self._to_the_end():
            async with owned(deltas) as pieces:
                async for delta in pieces:
                    answer.take(delta)
                    self._last = show(answer, delta)
                    if listened:
                        self._tell_progress(self._last)
                    yield self._last

    @contextmanager
    def _to_the_end(self) -> Generator[None]:
        """Tell how a stream ends. One that its reader left has ended with what had come."""
        try:
            yield
        except GeneratorExit:
            self._stopped()
            raise
        except BaseException as error:
            self._failed(error)
            raise
        self._stopped()

    def _tell_progress(self, response: R) -> None:
        fields = {self._kind.asked: self._asked, "response": response, "span_id": self._span_id}
        dispatcher.event(self._kind.progress(**fields))

    def _ended(self, response: R) -> R:
        self._end_callback({self._kind.asked_payload: self._asked, self._kind.answer_payload: response})
        fields = {self._kind.asked: self._asked, "response": response, "span_id": self._span_id}
        dispatcher.event(self._kind.end(**fields))
        return response

    def _stopped(self) -> None:
        self._ended(self._kind.show(Answer(), None) if self._last is None else self._last)

    def _failed(self, error: BaseException) -> None:
        self._end_callback({EventPayload.EXCEPTION: error})
        event: Any = ExceptionEvent  # `exception` is its one field, and BaseEvent's others have defaults
        dispatcher.event(event(exception=error, span_id=self._span_id))

    def _end_callback(self, payload: dict[EventPayload, Any]) -> None:
        told: dict[Any, Any] = payload
        self._callbacks.on_event_end(CBEventType.LLM, payload=told, event_id=self._event_id)


def _listened() -> bool:
    """Tell whether any handler but the empty default one would get an event."""
    at = dispatcher
    while True:
        if any(not isinstance(handler, NullEventHandler) for handler in at.event_handlers):
            return True
        if not at.propagate:
            return False
        at = at.parent
