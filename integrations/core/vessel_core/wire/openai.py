"""The OpenAI-compatible dialect: `/v1/chat/completions` and `/v1/embeddings`, as a dozen servers speak it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from vessel_core.errors import ProtocolError, ResponseTooLarge, StreamInterrupted
from vessel_core.types import ChatRequest, Delta, Embeddings, Progress, Timings, ToolCallDelta, Usage
from vessel_core.wire import MAX_LINE, Quirks, Reply
from vessel_core.wire.failure_shapes import failure_alone, failure_in
from vessel_core.wire.failures import error_from, json_body, not_json
from vessel_core.wire.framing import EventStream
from vessel_core.wire.jsontext import cut_off, loads
from vessel_core.wire.openai_request import encode_chat, encode_embed
from vessel_core.wire.payloads import PayloadStream
from vessel_core.wire.plain import Plain, openai_text
from vessel_core.wire.reading import (
    count,
    decode_timings,
    decode_usage,
    mapping,
    mappings,
    place,
    reasoning_of,
    string,
    text_of,
)
from vessel_core.wire.textcalls import text_and_calls, text_calls
from vessel_core.wire.thinking import splitter
from vessel_core.wire.tool_choice import assembler
from vessel_core.wire.tools import one_a_call
from vessel_core.wire.vectors import Vectors, check_count

__all__ = ["ChatStream", "decode_embed", "encode_chat", "encode_embed"]

MAX_CHOICES = 1024


class _Choice:
    """What is known of one choice of a reply."""

    __slots__ = ("calls", "finish", "started", "texts", "thinking")

    def __init__(self, request: ChatRequest, quirks: Quirks) -> None:
        self.calls = assembler(request, quirks)
        self.texts = text_calls(request, quirks)
        self.thinking = splitter(request, quirks)
        self.finish: str | None = None
        self.started = False

    @property
    def begun(self) -> bool:
        """Whether anything came of it, be it a call that has handed nothing on yet."""
        return self.started or self.finish is not None or bool(self.calls)


class ChatStream(PayloadStream[EventStream]):
    """One reply of `/v1/chat/completions`: bytes in, deltas out. Usage and timings come once, last."""

    def __init__(self, request: ChatRequest, quirks: Quirks, *, together: bool = False, limit: int = MAX_LINE) -> None:
        super().__init__(EventStream(limit), request.options.get("top_logprobs") or 0)
        self._request = request
        self._quirks = quirks
        self._choices: dict[int, _Choice] = {}
        self._head: dict[str, Any] | None = None
        self._usage: Usage | None = None
        self._timings: Timings | None = None
        self._passing = False  # whether text of the first choice is handed on as it is
        self._plain = Plain(together=together)

    def whole(self, body: bytes) -> list[Delta]:
        """Read a reply that came as one JSON document, or as a stream that was called one (quirk 20)."""
        if self._is_stream(body):
            return [*self.feed(body), *self.close()]
        document = json_body(Reply(200, body=body))
        deltas: list[Delta] = []
        self._chunk(document, deltas)
        if not any(choice.begun for choice in self._choices.values()):
            raise ProtocolError("The reply holds no answer.", hint="Is this a chat model? See the server's log.")
        self._end(deltas)
        return deltas

    def close(self) -> list[Delta]:
        """Take the end of the stream; raise what went wrong. Without a finish reason or `[DONE]` the answer was cut
        (quirks 9, 12, 26, 32)."""
        self._raise_held()
        deltas: list[Delta] = []
        for payload in self._framing.close():
            if not cut_off(payload):
                self._payload(payload, deltas)
        if self.done:
            return deltas
        if not self._choices and self._framing.stray:
            return self._stray(bytes(self._framing.stray))
        if not self._choices or (self._quirks.finishes and self._lacking()):
            raise _interrupted(self._choices)
        self._end(deltas)
        return deltas

    def _lacking(self) -> bool:
        """Tell whether a choice has no finish, or one that was asked for never began."""
        asked = self._request.options.get("n") or 1
        return len(self._choices) < asked or any(choice.finish is None for choice in self._choices.values())

    def _payload(self, payload: bytes, deltas: list[Delta]) -> None:
        if self.done or not payload:
            return
        if self._passing and (text := self._plain.again(payload)):
            self._plain.say(text, deltas)
            return
        if payload == b"[DONE]":
            if not any(choice.begun for choice in self._choices.values()):
                raise _interrupted({})
            self._end(deltas)
            return
        try:
            chunk = loads(payload)
        except ValueError as error:
            raise not_json(payload) from error
        if self._passing and (text := openai_text(chunk)):
            self._plain.learn(payload, text)
            self._plain.say(text, deltas)
        else:
            self._chunk(chunk, deltas)

    def _chunk(self, chunk: Any, deltas: list[Delta]) -> None:
        if not isinstance(chunk, dict):
            raise not_json(repr(chunk).encode("utf-8", "replace"))  # pyright: ignore[reportUnknownArgumentType]
        fields = cast("dict[str, Any]", chunk)
        if "error" in fields and (failure := failure_in(fields)) is not None:
            raise error_from(Reply(200), failure)
        if "choices" not in fields and (failure := failure_alone(fields)) is not None:
            raise error_from(Reply(200), failure)
        if self._head is None:
            self._head = _head(fields)
        if usage := fields.get("usage"):
            self._usage = decode_usage(usage) or self._usage  # quirk 42: the last one that says something
        if timings := fields.get("timings"):
            self._timings = decode_timings(timings) or self._timings
        if progress := fields.get("prompt_progress"):
            deltas.append(Delta(progress=_progress(progress)))
        choices = fields.get("choices")
        if isinstance(choices, list):
            for choice in cast("list[Any]", choices):
                if isinstance(choice, dict):
                    self._choice(cast("dict[str, Any]", choice), deltas)

    def _choice(self, choice: dict[str, Any], deltas: list[Delta]) -> None:
        index = choice.get("index")
        if type(index) is not int:
            index = place(index) or 0
        state = self._choices.get(index)
        if state is None:
            if len(self._choices) >= MAX_CHOICES:
                raise ResponseTooLarge(
                    f"The reply holds more than {MAX_CHOICES} choices.", hint="See the server's log."
                )
            state = self._choices[index] = _Choice(self._request, self._quirks)
        if state.finish is not None:  # quirk 40: the first finish wins
            return
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            self._delta(cast("dict[str, Any]", delta), choice.get("logprobs"), state, index, deltas)
        if finish := choice.get("finish_reason"):
            self._finish(str(finish), state, index, deltas)

    def _delta(self, delta: dict[str, Any], logprobs: Any, state: _Choice, index: int, deltas: list[Delta]) -> None:
        text = text_of(delta.get("content"))
        reasoning = reasoning_of(delta) if len(delta) > 1 or not text else ""
        if text and not state.thinking.passing:
            thought, text = state.thinking.feed(text)
            reasoning += thought
        pieces = delta.get("tool_calls") or _legacy_call(delta)
        if state.texts is not None and text:
            text, found = state.texts.feed(text)
            pieces = pieces or found
        calls = state.calls.feed(cast("list[Any]", pieces)) if isinstance(pieces, list) else ()
        refusal = string(delta.get("refusal")) or ""
        tokens = mappings(mapping(logprobs).get("content")) if logprobs else None
        if not (text or reasoning or calls or refusal or tokens):
            return
        state.started = True
        self._passing = index == 0 and state.thinking.passing and state.texts is None
        made = Delta(text, reasoning, calls, index=index)
        if refusal:
            made.refusal = refusal
        if tokens:
            made.logprobs = tokens
        self._emit(made, deltas)

    def _emit(self, delta: Delta, deltas: list[Delta]) -> None:
        """Hand a delta on; the first one says who answers."""
        if self._head:
            delta.model = self._head.get("model")
            delta.response_id = self._head.get("id")
            delta.system_fingerprint = self._head.get("system_fingerprint")
            self._head = {}
        deltas.append(delta)

    def _finish(self, finish: str, state: _Choice, index: int, deltas: list[Delta], ended: str | None = None) -> None:
        """End a choice: let go what was held back, check its tool calls, and name the reason (quirk 41); `ended` is what
        its calls are told of it."""
        reasoning, text = state.thinking.close()
        calls: list[ToolCallDelta] = []
        if state.texts is not None:
            text, calls = text_and_calls(state.texts, text, state.calls)
        calls = one_a_call([*calls, *state.calls.close(ended or finish)])
        if state.calls and finish in ("stop", "function_call", "eos"):
            finish = "tool_calls"
        elif finish == "tool_calls" and not state.calls:
            finish = "stop"
        state.finish = finish
        self._passing = False
        self._emit(Delta(text, reasoning, calls, finish, index=index), deltas)

    def _end(self, deltas: list[Delta]) -> None:
        self.done = True
        for index, state in self._choices.items():
            if state.finish is None:
                ended = "no finish reason came" if self._quirks.finishes else "stop"
                self._finish("stop", state, index, deltas, ended)
        if self._usage or self._timings:
            deltas.append(Delta(usage=self._usage, timings=self._timings))


def _interrupted(choices: Mapping[int, _Choice]) -> StreamInterrupted:
    if any(choice.begun for choice in choices.values()):
        return StreamInterrupted(
            "The stream ended before the answer did: no finish reason and no [DONE] came.",
            hint="The server stopped, unloaded the model or was cut off; see its log. What came is in `partial`.",
        )
    error = StreamInterrupted(
        "The server ended the stream without an answer.",
        hint="Often the prompt does not fit the context, or the model failed to load; see the server's log.",
    )
    error.empty = True
    return error


def _head(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in ("model", "id", "system_fingerprint") if isinstance(fields.get(name), str)}


def _legacy_call(delta: dict[str, Any]) -> list[Any] | None:
    """Return an old `function_call` as a tool call (quirk 67)."""
    call = delta.get("function_call")
    return [{"index": 0, "function": call}] if call else None


def _progress(progress: Any) -> Progress:
    fields = mapping(progress)
    return Progress("reading the prompt", count(fields.get("processed")), count(fields.get("total")), "tokens")


def decode_embed(body: bytes, count: int, dimensions: int | None, more: int = 0) -> Embeddings:
    """Read vectors into the order of the inputs, floats or base64 as they came (quirks 75 to 78)."""
    vectors = Vectors(body, count, more)
    document = vectors.document
    items = mappings(document if isinstance(document, list) else mapping(document).get("data"))
    check_count(items, count)
    rows = vectors.rows([item.get("embedding") for item in _in_order(items)], dimensions)
    fields = mapping(document)
    return Embeddings(rows, string(fields.get("model")), decode_usage(fields.get("usage")))


def _in_order(items: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return vectors in the order of their texts, or as they came if all have one number or none (quirk 75)."""
    places = [place(item.get("index")) for item in items]
    if len(set(places)) == 1:
        return items
    left_out = 0 if places.count(None) == 1 else None  # as some do with zeros
    numbers = [left_out if at is None else at for at in places]
    if None in numbers or len(set(numbers)) < len(items):
        raise ProtocolError(
            "The vectors are numbered, but not each by a number of its own: which text is whose can't be told.",
            hint="See the server's log.",
        )
    return [items[at] for at in sorted(range(len(items)), key=lambda at: numbers[at] or 0)]
