"""Plays bytes to a stream and says what came of it, so that two ways of cutting them can be compared."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vessel_core.backends import find_backend
from vessel_core.errors import VesselError
from vessel_core.types import ChatReply, ChatRequest, Delta, Message, Tool
from vessel_core.wire import Call, Quirks, ReplyStream, ollama, openai
from vessel_core.wire.jsontext import dumps

HELLO: Message = {"role": "user", "content": "Hello"}
DEFAULT = Quirks()


def tool(name: str, **properties: Any) -> Tool:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": f"Do {name}.", "parameters": schema}}


WEATHER = tool("get_weather", city={"type": "string"})
TIME = tool("get_time", tz={"type": "string"})


def ask(*messages: Message, model: str | None = "qwen3", **fields: Any) -> ChatRequest:
    return ChatRequest(messages=messages or (HELLO,), model=model, **fields)


def body_of(call: Call) -> dict[str, Any]:
    """Return the JSON body of a request, as it would be sent."""
    return json.loads(dumps(call.body or {}))


@dataclass
class Played:
    """The deltas that came, and the error at the end if one did."""

    deltas: list[Delta]
    error: VesselError | None

    @property
    def reply(self) -> ChatReply:
        return ChatReply.gather(self.deltas)

    def same(self) -> tuple[object, ...]:
        """What two ways of cutting must have in common, written (NaN is no other NaN): all but the ids that are made up here."""
        return repr([_without_made_ids(delta) for delta in self.deltas]), type(self.error), str(self.error)


def _without_made_ids(delta: Delta) -> Delta:
    calls = [replace(call, id=re.sub(r"^call_[0-9a-f]{24}$", "made", call.id or "")) for call in delta.tool_calls]
    return replace(delta, tool_calls=calls)


def play(stream: ReplyStream, pieces: Iterable[bytes]) -> Played:
    deltas: list[Delta] = []
    try:
        for piece in pieces:
            deltas += stream.feed(piece)
            if stream.done:
                break
        deltas += stream.close()
    except VesselError as error:
        return Played(deltas, error)
    return Played(deltas, None)


def openai_stream(quirks: Quirks = DEFAULT, **fields: Any) -> ReplyStream:
    return openai.ChatStream(ask(**fields), quirks)


def ollama_stream(quirks: Quirks = DEFAULT, **fields: Any) -> ReplyStream:
    return ollama.ChatStream(ask(**fields), quirks)


def stream_for(name: str) -> ReplyStream:
    """Return the reader of a transcript by its file name: the folder is the server, whose quirks it knows."""
    quirks = find_backend(name.partition("/")[0]).quirks
    return ollama_stream(quirks) if name.endswith(".ndjson") else openai_stream(quirks)


def event(document: object) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def chunk(delta: object, finish: object = None, **rest: Any) -> bytes:
    """Return an event with one choice."""
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **rest})


STOP = chunk({}, "stop")
DONE = b"data: [DONE]\n\n"


def said(*frames: bytes, end: Sequence[bytes] = (STOP, DONE), **fields: Any) -> ChatReply:
    """Return the answer in frames of the OpenAI dialect; raise the error in them."""
    played = play(openai_stream(**fields), [*frames, *end])
    if played.error is not None:
        raise played.error
    return played.reply


def line(message: object, **rest: Any) -> bytes:
    """Return a line of Ollama's."""
    return json.dumps({"model": "qwen3", "message": message, "done": False, **rest}).encode() + b"\n"


def last(message: object = None, **rest: Any) -> bytes:
    """Return Ollama's final line."""
    return line(message or {"role": "assistant", "content": ""}, **{"done": True, "done_reason": "stop", **rest})


def told(*lines: bytes, **fields: Any) -> ChatReply:
    """Return the answer in lines of Ollama's; raise the error in them."""
    played = play(ollama_stream(**fields), lines)
    if played.error is not None:
        raise played.error
    return played.reply
