"""Ollama's native dialect: `/api/chat` and `/api/embed`, one JSON document a line.

Its `/v1` is not used: it ignores options and loses errors inside a stream (quirk 26).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vessel_core.counting import certain_texts, estimate_chat, overflow, was_cut
from vessel_core.errors import ProtocolError, ServerError, StreamInterrupted
from vessel_core.types import ChatRequest, Delta, Embeddings
from vessel_core.wire import MAX_LINE, Quirks, Reply
from vessel_core.wire.failure_shapes import failure_alone, failure_in
from vessel_core.wire.failures import error_from, json_body, not_json
from vessel_core.wire.forcing import forced_tools, read_call
from vessel_core.wire.framing import Lines
from vessel_core.wire.holding import Held
from vessel_core.wire.jsontext import cut_off, loads
from vessel_core.wire.ollama_request import encode_chat, encode_embed
from vessel_core.wire.payloads import PayloadStream
from vessel_core.wire.plain import Plain, ollama_text
from vessel_core.wire.reading import mapping, mappings, ollama_timings, ollama_usage, reasoning_of, string, text_of
from vessel_core.wire.textcalls import text_and_calls, text_calls
from vessel_core.wire.thinking import splitter
from vessel_core.wire.tool_choice import assembler
from vessel_core.wire.tools import one_a_call
from vessel_core.wire.vectors import Vectors, check_count

__all__ = ["ChatStream", "decode_embed", "encode_chat", "encode_embed"]


class ChatStream(PayloadStream[Lines]):
    """One reply of `/api/chat`: bytes in, deltas out. Usage and timings ride on the last delta, with the finish."""

    def __init__(self, request: ChatRequest, quirks: Quirks, *, together: bool = False, limit: int = MAX_LINE) -> None:
        super().__init__(Lines(limit), request.options.get("top_logprobs") or 0)
        self._request = request
        self._calls = assembler(request, quirks)
        self._thinking = splitter(request, quirks)
        self._forced = forced_tools(request)
        self._texts = None if self._forced else text_calls(request, quirks)
        self._bound = Held()
        self._came = 0
        self._started = False
        self._passing = False  # whether text is handed on as it is
        self._plain = Plain(together=together)

    def whole(self, body: bytes) -> list[Delta]:
        """Read a reply that came as one JSON document, or as a stream that was called one (quirk 20)."""
        if self._is_stream(body):
            return [*self.feed(body), *self.close()]
        deltas: list[Delta] = []
        self._document(json_body(Reply(200, body=body)), deltas)
        if not self.done:
            raise _interrupted(self._started)
        self._raise_held()
        return deltas

    def close(self) -> list[Delta]:
        """Take the end of the stream; raise what went wrong. Without a line that says `done` the answer was cut."""
        self._raise_held()
        deltas: list[Delta] = []
        if not cut_off(rest := self._framing.close()):
            self._payload(rest, deltas)
        if not self.done:
            raise _interrupted(self._started)
        return deltas

    def _payload(self, payload: bytes, deltas: list[Delta]) -> None:
        if self.done or not payload.strip():
            return
        try:
            document = loads(payload)
        except ValueError as error:
            raise not_json(payload) from error
        if self._passing and (text := ollama_text(document)):
            self._plain.say(text, deltas)
        else:
            self._document(document, deltas)

    def _document(self, document: Any, deltas: list[Delta]) -> None:
        if not isinstance(document, dict):
            raise not_json(repr(document).encode())  # pyright: ignore[reportUnknownArgumentType]
        fields = mapping(document)  # pyright: ignore[reportUnknownArgumentType]
        if "error" in fields and (failure := failure_in(fields)) is not None:
            raise error_from(Reply(200), failure)
        answers = "done" in fields or isinstance(fields.get("message"), dict)
        if not answers and (failure := failure_alone(fields)) is not None:
            raise error_from(Reply(200), failure)
        delta = self._delta(fields)
        if fields.get("done") is True:
            self._finish(fields, delta)
        if delta.text or delta.reasoning or delta.tool_calls or delta.logprobs or delta.finish:
            if not self._started:
                delta.model = string(fields.get("model"))
            self._started = True
            self._passing = self._thinking.passing and self._texts is None and not self._forced
            deltas.append(delta)

    def _delta(self, fields: Mapping[str, Any]) -> Delta:
        message = mapping(fields.get("message"))
        text = text_of(message.get("content"))
        reasoning = reasoning_of(message) if len(message) > 2 or "role" not in message else ""
        if text and not self._thinking.passing:
            thought, text = self._thinking.feed(text)
            reasoning += thought
        found: list[Mapping[str, Any]] = mappings(message.get("tool_calls"))
        if self._texts is not None and text:
            text, left = self._texts.feed(text)
            found += left
        delta = Delta(self._unbound(text), reasoning)
        if found:
            delta.tool_calls = self._calls.feed([self._whole_call(call) for call in found])
        if "logprobs" in fields:
            delta.logprobs = mappings(fields["logprobs"]) or None
        return delta

    def _unbound(self, text: str) -> str:
        """Return text that is an answer; what is bound to be a call is held until it is whole."""
        if not self._forced:
            return text
        self._bound.add(text)
        return ""

    def _whole_call(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """Give a call a place of its own: each comes whole here, with an equal id or index or with none (quirk 50)."""
        self._came += 1
        return {"index": self._came, "id": call.get("id"), "function": call.get("function")}

    def _finish(self, fields: Mapping[str, Any], last: Delta) -> None:
        reason = string(fields.get("done_reason")) or "stop"
        reasoning, text = self._thinking.close()
        last.reasoning += reasoning
        if self._texts is not None:
            text, calls = text_and_calls(self._texts, text, self._calls)
            last.tool_calls = [*last.tool_calls, *calls]
        last.text += self._unbound(text)
        if reason in ("load", "unload") and not (self._started or last.text or last.tool_calls):
            raise ServerError(
                f"Ollama {reason}ed the model and wrote no answer.",
                hint="It does so when no message is left for the model; end with a message of the user, and ask again.",
            )
        if self._forced:
            self._read_bound(last, reason)
        last.tool_calls = one_a_call([*last.tool_calls, *self._calls.close(reason)])
        last.finish = "tool_calls" if self._calls and reason == "stop" else reason  # quirk 41
        last.usage = ollama_usage(fields)
        last.timings = ollama_timings(fields)
        self._measure(last)
        self.done = True

    def _measure(self, last: Delta) -> None:
        """Note on the last delta whether the prompt was cut, which is an error if the request is strict."""
        read = last.usage.prompt_tokens if last.usage else 0
        estimate, context = estimate_chat(self._request), self._request.context_length
        strict = bool(self._request.options.get("strict"))
        last.truncated = was_cut(certain_texts(self._request), estimate, read, context, strict=strict)
        if last.truncated and strict:
            self._error = overflow(estimate, read, context)

    def _read_bound(self, last: Delta, reason: str) -> None:
        """Make the call of a text that was bound to be one; cut off by length, it is a call that can't be run."""
        text = self._bound.take()
        if self._calls:  # the server read it as a call itself
            last.text += text
        elif reason != "length" and (call := read_call(text, self._forced)) is not None:
            last.tool_calls = self._calls.feed([{"function": {"name": call[0], "arguments": call[1]}}])
        elif reason == "length" and len(self._forced) == 1 and text.lstrip().startswith("{"):
            cut = {"name": self._forced[0]["function"]["name"], "arguments": text}
            last.tool_calls = self._calls.feed([{"function": cut}])
        else:
            last.text += text


def _interrupted(started: bool) -> StreamInterrupted:
    if started:
        return StreamInterrupted(
            "The stream ended before the answer did: no line said `done`.",
            hint="Ollama stopped, unloaded the model or cut a text that repeated itself; see its log. "
            "What came is in `partial`.",
        )
    error = StreamInterrupted(
        "Ollama ended the stream without an answer.",
        hint="Often the model failed to load or ran out of memory; see Ollama's log.",
    )
    error.empty = True
    return error


def decode_embed(body: bytes, count: int, dimensions: int | None, more: int = 0) -> Embeddings:
    """Read vectors, which come in the order of the inputs."""
    vectors = Vectors(body, count, more)
    fields = mapping(vectors.document)
    found = fields.get("embeddings", ())
    if not isinstance(found, list | tuple):
        raise ProtocolError(f"The embeddings are no list but {type(found).__name__}.")
    check_count(found, count)  # pyright: ignore[reportUnknownArgumentType]
    rows = vectors.rows(found, dimensions)  # pyright: ignore[reportUnknownArgumentType]
    return Embeddings(rows, string(fields.get("model")), ollama_usage(fields))
