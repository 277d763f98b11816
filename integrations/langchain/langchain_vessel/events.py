"""The core's deltas → LangChain's content-block events (`stream_events(version="v3")`), without the way through chunks.

A turn is `message-start`, then for each block (the reasoning, the text, each tool call) a start, its deltas and a finish,
then `message-finish` with usage and metadata. Blocks are numbered as they begin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from vessel_core.types import Delta, ToolCallDelta
from vessel_core.wire.arguments import parse_arguments

from langchain_vessel.blocks import PROVIDER
from langchain_vessel.replies import Ending, response_metadata, usage_metadata

if TYPE_CHECKING:
    from langchain_protocol.protocol import MessagesData

Event = dict[str, Any]


class _Block:
    """A block that has begun: its number, and what came of it."""

    __slots__ = ("error", "index", "pieces", "start")

    def __init__(self, index: int, start: Event) -> None:
        self.index = index
        self.start = start
        self.pieces: list[str] = []
        self.error: str | None = None

    def finished(self) -> Event:
        """Return the whole block; a call that must not be run as an invalid one."""
        whole = "".join(self.pieces)
        kind = self.start["type"]
        if kind != "tool_call_chunk":
            return {**self.start, kind: whole}
        call: Event = {"id": self.start["id"], "name": self.start["name"]}
        arguments = parse_arguments(whole) if self.error is None else None
        if arguments is None:
            error = self.error or "the arguments are no JSON object"
            return {"type": "invalid_tool_call", **call, "args": whole, "error": error}
        return {"type": "tool_call", **call, "args": arguments}


class Events:
    """The events of one streamed answer; `message_id` names the message."""

    def __init__(self, message_id: str) -> None:
        self._id = message_id
        self._ending = Ending()
        self._blocks: dict[str | int, _Block] = {}
        self._started = False
        self._logprobs: list[Any] = []

    def of(self, delta: Delta) -> list[MessagesData]:
        """Return the events of a delta. Choices beyond the first are left out."""
        events: list[Event] = []
        if delta.index:
            return []
        self._ending.add(delta)
        if delta.logprobs:
            self._logprobs += delta.logprobs
        if delta.reasoning:
            self._grow("reasoning", delta.reasoning, events)
        if delta.text:
            self._grow("text", delta.text, events)
        for piece in delta.tool_calls:
            self._call(piece, events)
        if events and not self._started:
            events.insert(0, self._start(delta.model))
        return cast("list[MessagesData]", events)

    def end(self) -> list[MessagesData]:
        """Return the events that end the answer."""
        reply = self._ending.reply()
        events: list[Event] = [] if self._started else [self._start(reply.model)]
        events += [
            {"event": "content-block-finish", "index": block.index, "content": block.finished()}
            for block in self._blocks.values()
        ]
        metadata = {"model_provider": PROVIDER, **response_metadata(reply)}
        if self._logprobs:
            metadata["logprobs"] = {"content": self._logprobs}
        finish: Event = {"event": "message-finish", "metadata": metadata}
        if (usage := usage_metadata(reply.usage)) is not None:
            finish["usage"] = usage
        if reply.refusal:
            finish["additional_kwargs"] = {"refusal": reply.refusal}
        return cast("list[MessagesData]", [*events, finish])

    def _start(self, model: str | None) -> Event:
        self._started = True
        metadata = {"provider": PROVIDER, "model": model} if model else {"provider": PROVIDER}
        return {"event": "message-start", "role": "ai", "id": self._id, "metadata": metadata}

    def _grow(self, kind: str, text: str, events: list[Event]) -> None:
        """Add to the text or the reasoning."""
        block = self._block(kind, {"type": kind, kind: ""}, events)
        block.pieces.append(text)
        delta = {"type": f"{kind}-delta", kind: text}
        events.append({"event": "content-block-delta", "index": block.index, "delta": delta})

    def _call(self, piece: ToolCallDelta, events: list[Event]) -> None:
        start = {"type": "tool_call_chunk", "id": piece.id, "name": piece.name, "args": "", "index": piece.index}
        block = self._block(piece.index, start, events)
        block.error = piece.error or block.error
        self._ending.repair(block.start["id"], piece)
        if piece.arguments:
            block.pieces.append(piece.arguments)
            delta = {"type": "tool-call-delta", "args": piece.arguments}
            events.append({"event": "content-block-delta", "index": block.index, "delta": delta})

    def _block(self, key: str | int, start: Event, events: list[Event]) -> _Block:
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = _Block(len(self._blocks), start)
            events.append({"event": "content-block-start", "index": block.index, "content": dict(start)})
        return block
