"""Puts an answer together from its deltas, and shows it as LlamaIndex's responses: whole, or as far as it has come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LogProb,
    MessageRole,
    ToolCallBlock,
)
from llama_index.llms.vessel.partial import Arguments
from llama_index.llms.vessel.so_far import Growing, LateCompletion, LateText, LateThinking, LateThoughtful, late
from vessel_core import Delta, Timings, Usage
from vessel_core.partial_json import PartialJSON
from vessel_core.types import ToolCallDelta
from vessel_core.unvalidated import built, plain
from vessel_core.wire.arguments import parse_arguments
from vessel_core.wire.reading import mappings, number

ASSISTANT = MessageRole.ASSISTANT

MESSAGE_FIELDS = {"role", "additional_kwargs", "blocks"}
CHAT_FIELDS = {"message", "raw", "delta", "logprobs", "additional_kwargs"}
COMPLETION_FIELDS = {"text", "additional_kwargs", "raw", "logprobs", "delta"}
LOGPROB_FIELDS = {"token", "logprob", "bytes"}
"""All fields of a model are said, so that the set can be everyone's: who sets one adds nothing to it."""

TIMINGS = (*Timings.__dataclass_fields__, "tokens_per_second", "prompt_tokens_per_second")


class Answer:
    """One answer: `take` each delta, then show it. The state of a stream is here, and lives as long as the stream."""

    def __init__(self) -> None:
        self._text = Growing()
        self._reasoning = Growing()
        self._calls: list[_Call] = []
        self._finish: str | None = None
        self._raw: dict[str, Any] = {}
        self._extra: dict[str, Any] = {}
        self._told: dict[str, Any] = {}
        self._thinking_tokens: int | None = None
        self._logprobs: list[list[LogProb]] = []
        self._newest: list[list[LogProb]] | None = None

    def take(self, delta: Delta) -> None:
        """Take the next piece."""
        if delta.text:
            self._text.add(delta.text)
        if delta.reasoning:
            self._reasoning.add(delta.reasoning)
        if delta.tool_calls:
            self._take_calls(delta.tool_calls)
        if delta.model or delta.response_id:
            head = {"id": delta.response_id, "model": delta.model, "system_fingerprint": delta.system_fingerprint}
            self._raw = {name: value for name, value in head.items() if value} | self._raw
        self._newest = _logprobs(delta.logprobs) if delta.logprobs else None
        if self._newest:
            self._logprobs += self._newest
        if delta.finish or delta.usage or delta.timings or delta.refusal or delta.truncated:
            self._close(delta)

    def chat(self, delta: Delta | None = None) -> ChatResponse:
        """Return the answer so far as a chat response; with the `delta` that came last, as a chunk of a stream."""
        extra = _apart(self._told)
        if delta is not None and (delta.reasoning or delta.progress):
            extra.update(_of_this_piece(delta))
        fields = {
            "message": self._message(whole=delta is None),
            "raw": _apart(self._raw),
            "delta": None if delta is None else delta.text,
            "logprobs": (self._logprobs or None) if delta is None else self._newest,
            "additional_kwargs": extra,
        }
        return built(ChatResponse, fields, CHAT_FIELDS)

    def completion(self, delta: Delta | None = None) -> CompletionResponse:
        """Return the answer so far as a completion; its `additional_kwargs` hold the thinking so far."""
        extra = {**self._extra, **_apart(self._told)}
        if delta is not None and (delta.reasoning or delta.progress):
            extra.update(_of_this_piece(delta))
        fields: dict[str, Any] = {
            "raw": _apart(self._raw),
            "logprobs": (self._logprobs or None) if delta is None else self._newest,
            "delta": None if delta is None else delta.text,
        }
        text, thoughts = self._text, self._reasoning
        if thoughts.length:
            so_far = text, text.length, thoughts, thoughts.length, extra
            made = late(LateThoughtful, fields, COMPLETION_FIELDS, *so_far)
        else:
            fields["additional_kwargs"] = extra
            made = late(LateCompletion, fields, COMPLETION_FIELDS, text, text.length)
        return plain(made) if delta is None else made

    def _message(self, *, whole: bool) -> ChatMessage:
        """Return the answer so far as a message: thinking, one text, tool calls."""
        extra: dict[str, Any] = {}
        text, thoughts = self._text, self._reasoning
        blocks: list[Any] = [late(LateText, {"block_type": "text"}, {"text"}, text, text.length)]
        if thoughts.length:
            fields: dict[str, Any] = {"num_tokens": self._thinking_tokens, "additional_information": {}}
            fields["block_type"] = "thinking"
            blocks.insert(0, late(LateThinking, fields, {"content", "num_tokens"}, thoughts, thoughts.length))
        if whole:
            blocks = [plain(block) for block in blocks]
        if self._calls:
            self._show_calls(blocks, extra)
        if self._extra:
            extra.update(self._extra)
        return built(ChatMessage, {"role": ASSISTANT, "additional_kwargs": extra, "blocks": blocks}, MESSAGE_FIELDS)

    def _show_calls(self, blocks: list[Any], extra: dict[str, Any]) -> None:
        """Put the calls that can be run, or may become so, into blocks and, for core's older code, into the extra."""
        shown = [call for call in self._calls if call.name and not (self._finish and call.error)]
        if shown:
            blocks.extend(call.block() for call in shown)
            extra["tool_calls"] = [call.plain() for call in shown]
        if self._finish and len(shown) < len(self._calls):
            extra["invalid_tool_calls"] = [call.invalid() for call in self._calls if call.error]
        if repaired := {call.id: call.repaired for call in self._calls if call.repaired is not None}:
            extra["repaired_tool_calls"] = repaired

    def _take_calls(self, pieces: Sequence[ToolCallDelta]) -> None:
        for piece in pieces:
            while piece.index >= len(self._calls):
                self._calls.append(_Call())
            self._calls[piece.index].take(piece)

    def _close(self, delta: Delta) -> None:
        """Take what comes with the end: the reason, the counts and the times."""
        if delta.refusal:
            self._extra = {**self._extra, "refusal": self._extra.get("refusal", "") + delta.refusal}
        if delta.truncated:
            self._told = {**self._told, "truncated": True}
        if delta.finish and self._finish is None:
            self._finish = delta.finish
            self._raw = {**self._raw, "finish_reason": delta.finish}
            self._told = {**self._told, "finish_reason": delta.finish}
            for call in self._calls:
                call.ended = True
        if delta.usage is not None:
            self._count(delta.usage)
        if delta.timings is not None:
            times = _said(delta.timings, TIMINGS)
            self._raw, self._told = {**self._raw, "timings": times}, {**self._told, "timings": times}

    def _count(self, usage: Usage) -> None:
        """Put the counts where core looks for them (`raw["usage"]`) and where its users do."""
        counts = _said(usage, Usage.__dataclass_fields__)
        self._raw, self._told = {**self._raw, "usage": counts}, {**self._told, **counts}
        if usage.reasoning_tokens is not None:
            self._thinking_tokens = usage.reasoning_tokens


class _Call:
    """One tool call as it comes; `repaired` is the text as the model wrote it, if its arguments were mended."""

    __slots__ = ("_reader", "arguments", "ended", "error", "id", "name", "repaired")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments = ""
        self.error: str | None = None
        self.repaired: str | None = None
        self.ended = False
        self._reader = PartialJSON()

    def take(self, piece: ToolCallDelta) -> None:
        self.id = piece.id or self.id
        self.name = piece.name or self.name
        self.error = piece.error or self.error
        self.repaired = piece.repaired or self.repaired
        self.arguments += piece.arguments

    def block(self) -> ToolCallBlock:
        coming = self.error is not None or not self.ended
        arguments = Arguments.read_by(self.arguments, self._reader) if coming else parse_arguments(self.arguments)
        said = {"tool_call_id": self.id, "tool_name": self.name, "tool_kwargs": arguments}
        return built(ToolCallBlock, {"block_type": "tool_call", **said}, set(said))

    def plain(self) -> dict[str, Any]:
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}

    def invalid(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, "arguments": self.arguments, "error": self.error}


def _apart(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a copy: who changes one response changes no other."""
    return {name: value.copy() if type(value) is dict else value for name, value in fields.items()}


def _of_this_piece(delta: Delta) -> dict[str, Any]:
    """Return what belongs to one piece of a stream, and not to the answer: the next thoughts, how far the server is."""
    told: dict[str, Any] = {"thinking_delta": delta.reasoning} if delta.reasoning else {}
    return {**told, "progress": asdict(delta.progress)} if delta.progress else told


def _said(value: Usage | Timings, names: Iterable[str]) -> dict[str, Any]:
    """Return the fields that say something."""
    return {name: said for name in names if (said := getattr(value, name)) is not None}


def _logprobs(tokens: Sequence[Mapping[str, Any]]) -> list[list[LogProb]]:
    """Return the log probabilities token by token: the alternatives if they were asked for, else the token itself."""
    return [[_logprob(each) for each in mappings(token.get("top_logprobs")) or (token,)] for token in tokens]


def _logprob(token: Mapping[str, Any]) -> LogProb:
    """Return one; what is no number in it is left out, as a server may write anything."""
    spelt = token.get("bytes")
    values: list[Any] = cast("list[Any]", spelt) if isinstance(spelt, list) else []
    fields = {
        "token": str(token.get("token", "")),
        "logprob": float(number(token.get("logprob")) or 0.0),
        "bytes": [each for each in values if type(each) is int],
    }
    return built(LogProb, fields, LOGPROB_FIELDS)
