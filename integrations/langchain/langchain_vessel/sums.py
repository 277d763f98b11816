"""Sums of streamed chunks: a chunk of ours is LangChain's, but reads the arguments of calls on from where it was.

LangChain completes all the arguments that have come at each sum, one character at a time in Python: 2 ms at 64 KB, so that
code which adds chunks up takes a minute for such a call. Here a character is looked at once, in the sum that brings it;
only JSON parsers written in C and Rust read the arguments again, since each sum has objects of its own.
"""

from __future__ import annotations

import json
import re
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.utils._merge import merge_lists
from pydantic import ConfigDict
from pydantic_core import from_json
from vessel_core.unvalidated import built, stands_for

_STRUCTURE = re.compile(r'[]["\\{}]')
_SPACES = " \t\r\n"
_BETWEEN = _SPACES + ",:"
_decoded = json.JSONDecoder(strict=False).decode


class Reading:
    """How far the arguments of one call have been read. It is never changed: sums may begin twice from one chunk."""

    __slots__ = ("_broken", "_escaped", "_inside", "_opened", "_quotes", "text")

    def __init__(self) -> None:
        self.text = ""
        self._opened: list[str] = []  # what closes each bracket
        self._inside = self._broken = False
        self._quotes = (-1, -1)  # where the last string begins, and where it ended
        self._escaped = -1  # where the last character stands, or will, that follows a backslash in a string

    def on(self, text: str) -> Reading:
        """Return the reading of a longer text that begins with this one."""
        new = Reading()
        new.text = text
        opened, inside, escaped, broken = self._opened.copy(), self._inside, self._escaped, self._broken
        begin, end = self._quotes
        for match in _STRUCTURE.finditer(text, len(self.text)):
            character = match[0]
            if inside:
                if match.start() == escaped:
                    continue
                if character == "\\":
                    escaped = match.end()
                elif character == '"':
                    inside, end = False, match.end()
            elif character == '"':
                inside, begin = True, match.start()
            elif character in "{[":
                opened.append("}" if character == "{" else "]")
            elif character in "}]":
                broken = broken or not opened or opened.pop() != character
        new._opened, new._inside, new._escaped, new._broken, new._quotes = opened, inside, escaped, broken, (begin, end)
        return new

    def value(self) -> Any:
        """Return what LangChain's `parse_partial_json` makes of the text.

        It adds what closes all that is open, and takes characters from the end until that is JSON. Those from where the
        decoder stops on need not be tried, nor spaces, commas and colons before them.

        Raises:
            ValueError: It is not JSON, however many are taken.
            RecursionError: It is too deep.
        """
        text = "" if self._broken else self._closed()
        closing = "".join(reversed(self._opened))
        while text:
            try:
                return _parsed(text + closing)
            except json.JSONDecodeError as error:
                text = text[: min(error.pos, len(text) - 1)].rstrip(_BETWEEN)
        raise ValueError("The arguments are no JSON.")

    def _closed(self) -> str:
        """Return the text with its last string closed, or without it if that is a name which has no value yet."""
        text, (begin, end) = self.text, self._quotes
        if not self._inside:
            text = text.rstrip(_BETWEEN)
        if (
            (self._inside or len(text) == end)
            and self._opened[-1:] == ["}"]
            and text[:begin].rstrip(_SPACES)[-1:] in "{,"
        ):
            return text[:begin].rstrip(_BETWEEN)
        if self._inside:
            return (text[:-1] if self._escaped == len(text) else text) + '"'
        return text


def _parsed(text: str) -> Any:
    """Return the value of a JSON text. The quick parser refuses what is right here: a newline in a string, NaN, half an emoji."""
    try:
        return from_json(text, allow_inf_nan=False)
    except (ValueError, TypeError):
        return _decoded(text)


class _Whole(AIMessageChunk):
    """What LangChain calls to make a chunk whole: the class above the chunk's own. It makes an `AIMessage`."""

    model_config = ConfigDict(defer_build=True)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return AIMessage(*args, **kwargs) if cls is _Whole else super().__new__(cls)


@stands_for(AIMessageChunk)
class Chunk(_Whole):
    """An `AIMessageChunk`, equal to one with the same fields, whose sums equal LangChain's in each field."""

    __slots__ = ("_readings",)

    def __add__(self, other: Any) -> Any:
        """Return the sum with another chunk. All but the arguments of calls, and a sum with several, is LangChain's work."""
        if not isinstance(other, AIMessageChunk) or _finishes_blocks(self, other):
            return super().__add__(other)
        pieces = merge_lists(self.tool_call_chunks, other.tool_call_chunks)
        if not pieces:
            return super().__add__(other)
        total = add_ai_message_chunks(_without_calls(self), _without_calls(other))
        total.tool_call_chunks = [
            tool_call_chunk(
                name=piece.get("name"), args=piece.get("args"), id=piece.get("id"), index=piece.get("index")
            )
            for piece in pieces
        ]
        before: list[Reading] = getattr(self, "_readings", [])
        readings = [
            _read(piece["args"] or "", before[at] if at < len(before) else Reading())
            for at, piece in enumerate(total.tool_call_chunks)
        ]
        _set_calls(total, readings)
        object.__setattr__(total, "_readings", readings)
        return total


def _read(text: str, before: Reading) -> Reading:
    """Read on; from the beginning, if what has been read was changed."""
    return (before if text.startswith(before.text) else Reading()).on(text)


def _set_calls(total: AIMessageChunk, readings: list[Reading]) -> None:
    """Sort the calls as LangChain does: those whose arguments can be completed to an object, and the others."""
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for piece, reading in zip(total.tool_call_chunks, readings, strict=True):
        arguments = _arguments(reading)
        if arguments is None:
            invalid.append(invalid_tool_call(name=piece["name"], args=piece["args"], id=piece["id"], error=None))
        else:
            calls.append(tool_call(name=piece["name"] or "", args=arguments, id=piece["id"]))
    total.tool_calls = calls
    total.invalid_tool_calls = invalid


def _arguments(reading: Reading) -> dict[str, Any] | None:
    if not reading.text:
        return {}
    try:
        value = reading.value()
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _finishes_blocks(*chunks: AIMessageChunk) -> bool:
    """Say whether LangChain puts calls in the place of their pieces, in content that is a list, once it is whole."""
    return any(chunk.chunk_position for chunk in chunks) and any(isinstance(chunk.content, list) for chunk in chunks)


def _without_calls(chunk: AIMessageChunk) -> Chunk:
    nothing: dict[str, list[Any]] = {"tool_call_chunks": [], "tool_calls": [], "invalid_tool_calls": []}
    return built(Chunk, {**vars(chunk), **nothing}, set(), None)
