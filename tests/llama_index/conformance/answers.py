"""What servers answer, in the form of `/v1/chat/completions`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

COUNTS = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """Return one chunk of a stream."""
    chunk = {
        "id": "chat-1",
        "model": "demo",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def ending(finish: str = "stop", usage: dict[str, Any] | None = None) -> bytes:
    """Return the end of a stream: the reason, the counts, `[DONE]`."""
    counts: dict[str, Any] = {"id": "chat-1", "model": "demo", "choices": [], "usage": usage or COUNTS}
    return event({}, finish) + b"data: " + json.dumps(counts).encode() + b"\n\ndata: [DONE]\n\n"


def answer(*pieces: str, reasoning: Sequence[str] = (), finish: str = "stop") -> bytes:
    """Return a streamed text, piece by piece, after some reasoning."""
    thoughts = b"".join(event({"reasoning_content": piece}) for piece in reasoning)
    return thoughts + b"".join(event({"content": piece}) for piece in pieces) + ending(finish)


def call_piece(index: int, arguments: str = "", *, name: str | None = None, call_id: str | None = None) -> bytes:
    """Return one piece of a tool call."""
    function: dict[str, Any] = {"arguments": arguments}
    call: dict[str, Any] = {"index": index, "function": function}
    if name is not None:
        function["name"] = name
        call["type"] = "function"
    if call_id is not None:
        call["id"] = call_id
    return event({"tool_calls": [call]})


def calls(*wanted: tuple[str, dict[str, Any]], ids: Sequence[str | None] = ()) -> bytes:
    """Return a streamed answer that makes tool calls, each in two pieces of arguments."""
    out = b""
    for index, (name, arguments) in enumerate(wanted):
        text = json.dumps(arguments)
        call_id = ids[index] if ids else f"id-{index}"
        out += call_piece(index, text[:3], name=name, call_id=call_id) + call_piece(index, text[3:])
    return out + ending("tool_calls")
