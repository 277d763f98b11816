"""The core's deltas → LangChain's chunks, made once per delta and without validating what was just made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from langchain_core.messages import AIMessageChunk, InvalidToolCall, ToolCall, ToolCallChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils.json import parse_partial_json
from vessel_core.types import Delta, ToolCallDelta
from vessel_core.unvalidated import built, stands_for
from vessel_core.wire.arguments import parse_arguments

from langchain_vessel.blocks import PROVIDER
from langchain_vessel.replies import Ending, response_metadata, usage_metadata
from langchain_vessel.sums import Chunk

SAYING = ("content", "additional_kwargs", "response_metadata")
CALLING = (*SAYING, "tool_call_chunks", "tool_calls", "invalid_tool_calls")
ENDING = (*SAYING, "usage_metadata", "chunk_position")
"""The fields that are said of a chunk of text, of one with pieces of calls, of the last."""

LONGEST_COMPLETED = 128
"""Characters of a piece of arguments that may lack its end: LangChain's completion takes 8 ms for 1,000 that are no JSON, four
times as long for twice as many, and 500 such pieces may come. A longer piece is read if it is whole."""


def chunk(
    text: str = "",
    *,
    reasoning: str = "",
    calls: list[ToolCallChunk] | None = None,
    later: Collection[int] = (),
    metadata: Mapping[str, Any] | None = None,
    usage: UsageMetadata | None = None,
    last: bool = False,
    kind: type[ChatGenerationChunk] = ChatGenerationChunk,
) -> ChatGenerationChunk:
    """Return one piece of an answer. `later` are the calls, by place, whose arguments began in an earlier one.

    It is not validated, which would cost more than everything else on a token's way. A test holds that it equals a
    validated one in each field.
    """
    tool_calls, invalid_tool_calls = _read(calls, later) if calls else ([], [])
    fields: dict[str, Any] = {
        "content": text,
        "additional_kwargs": {"reasoning_content": reasoning} if reasoning else {},
        "response_metadata": {"model_provider": PROVIDER, **metadata} if metadata else {"model_provider": PROVIDER},
        "type": "AIMessageChunk",
        "name": None,
        "id": None,
        "tool_calls": tool_calls,
        "invalid_tool_calls": invalid_tool_calls,
        "usage_metadata": usage,
        "tool_call_chunks": calls or [],
        "chunk_position": "last" if last else None,
    }
    message = built(Chunk, fields, set(CALLING if calls else ENDING if last else SAYING), {})
    told = {"text": text, "generation_info": None, "type": "ChatGenerationChunk", "message": message}
    return built(kind, told, {"text", "message"}, None)


def _read(pieces: list[ToolCallChunk], later: Collection[int]) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """Return what LangChain reads in pieces of calls: those it can complete to an object, and the others.

    A later piece begins no object, even if it looks like it, and is not tried: that takes longer than everything else, and
    they come by the thousand.
    """
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for at, piece in enumerate(pieces):
        text = piece["args"] or ""
        arguments = None if text and at in later else _completed(text)
        if arguments is None:
            invalid.append(invalid_tool_call(name=piece["name"], args=piece["args"], id=piece["id"], error=None))
        else:
            calls.append(tool_call(name=piece["name"] or "", args=arguments, id=piece["id"]))
    return calls, invalid


def _completed(text: str) -> dict[str, Any] | None:
    """Return the object that LangChain makes of the first piece of arguments."""
    if not text:
        return {}
    if not text.lstrip().startswith("{"):
        return None
    if len(text) > LONGEST_COMPLETED:
        return parse_arguments(text)  # without recursion
    try:
        return parse_partial_json(text)
    except ValueError:
        return None


@stands_for(ChatGenerationChunk)
class Piece(ChatGenerationChunk):
    """A chunk whose sum with others leaves LangChain no call it could complete, if the last one is not among them.

    Stopped in the middle of an answer, it adds up what had come before it lets go of the connection: 32,000 characters of
    arguments that are no JSON took it twelve seconds.
    """

    def __add__(self, other: ChatGenerationChunk | list[ChatGenerationChunk]) -> ChatGenerationChunk:
        """Return a plain chunk."""
        if isinstance(other, list) and (mark := _mark_of([self, *other])) is not None:
            other = [*other, mark]
        return super().__add__(other)


def _mark_of(chunks: list[ChatGenerationChunk]) -> ChatGenerationChunk | None:
    if isinstance(chunks[-1].message, AIMessageChunk) and chunks[-1].message.chunk_position == "last":
        return None
    texts: defaultdict[int, list[str]] = defaultdict(list)
    for each in chunks:
        for piece in each.message.tool_call_chunks if isinstance(each.message, AIMessageChunk) else ():
            texts[piece["index"] or 0].append(piece["args"] or "")
    return _marked({at: "".join(pieces) for at, pieces in texts.items()})


def _marked(texts: Mapping[int, str]) -> ChatGenerationChunk | None:
    """Return what makes calls that can't be run of those whose arguments are not whole, `None` if all are."""
    calls = [
        tool_call_chunk(name=None, args=unparsable(text), id=None, index=at)
        for at, text in texts.items()
        if not text.strip() or parse_arguments(text) is None
    ]
    return chunk(calls=calls) if calls else None


class Chunks:
    """The chunks of one streamed answer. What belongs on exactly one of them is kept for the last."""

    def __init__(self) -> None:
        self._ending = Ending()
        self._calls: dict[int, InvalidToolCall] = {}

    def of(self, delta: Delta) -> ChatGenerationChunk | None:
        """Return the chunk of a delta, `None` if it holds nothing to show yet. Choices beyond the first are left out."""
        if delta.index:
            return None
        self._ending.add(delta)
        if not (delta.tool_calls or delta.text or delta.reasoning or delta.logprobs or delta.progress):
            return None
        calls, later = self._pieces(delta.tool_calls) if delta.tool_calls else (None, ())
        metadata = _beside(delta) if delta.logprobs or delta.progress else None
        return chunk(delta.text, reasoning=delta.reasoning, calls=calls, later=later, metadata=metadata, kind=Piece)

    def last(self) -> ChatGenerationChunk:
        """Return the last chunk, with all that is said once."""
        reply = self._ending.reply()
        metadata = response_metadata(reply)
        if invalid := [call for call in self._calls.values() if call["error"] is not None]:
            metadata["invalid_tool_calls"] = invalid
        made = chunk(metadata=metadata, usage=usage_metadata(reply.usage), last=True)
        if reply.refusal:
            made.message.additional_kwargs["refusal"] = reply.refusal
        return made

    def broken(self) -> ChatGenerationChunk | None:
        """Return what makes calls at which the answer broke off ones that can't be run, `None` if there are none.

        LangChain adds up what came before an error too, and completes it: 100,000 characters that are no JSON take minutes.
        """
        return _marked({at: call["args"] or "" for at, call in self._calls.items()})

    def _pieces(self, pieces: Sequence[ToolCallDelta]) -> tuple[list[ToolCallChunk], set[int]]:
        """Return LangChain's pieces, and the places of those whose arguments began in an earlier one."""
        calls: list[ToolCallChunk] = []
        later: set[int] = set()
        for at, piece in enumerate(pieces):
            if self._has_begun(piece.index):
                later.add(at)
            calls.append(self._call(piece))
        return calls, later

    def _has_begun(self, index: int) -> bool:
        came = self._calls[index]["args"] if index in self._calls else None
        return bool(came) and not came.isspace()

    def _call(self, piece: ToolCallDelta) -> ToolCallChunk:
        call = self._calls.get(piece.index)
        if call is None:
            call = self._calls[piece.index] = invalid_tool_call(name=piece.name, args="", id=piece.id)
        self._ending.repair(call["id"], piece)
        arguments = piece.arguments
        call["args"] = so_far = (call["args"] or "") + arguments
        if piece.error is not None:
            call["error"] = piece.error
            arguments += unparsable(so_far)
        return tool_call_chunk(name=piece.name, args=arguments, id=piece.id, index=piece.index)


def _beside(delta: Delta) -> dict[str, Any]:
    """Return what a chunk says beside its words. Progress is a list, so that chunks which are added up keep all of it."""
    said: dict[str, Any] = {"logprobs": {"content": list(delta.logprobs)}} if delta.logprobs else {}
    return {**said, "progress": [asdict(delta.progress)]} if delta.progress else said


def unparsable(text: str) -> str:
    """Return what to add to the arguments of a call that must not be run, so that LangChain can't complete them.

    It adds missing quotes and brackets to what it gets, even at the end, and would run `{"path": "/tmp/a", "re` with half
    of its arguments (langchain#39275). A bracket that closes what was never opened is the one thing it refuses: such a
    call lands in `invalid_tool_calls`, in any sum of the chunks. What really came, and why it is no call, is in the last
    chunk's `response_metadata["invalid_tool_calls"]`.
    """
    inside, escaped, opened = False, False, list[str]()
    for character in text:
        if inside:
            inside = character != '"' or escaped
            escaped = character == "\\" and not escaped
        elif character == '"':
            inside = True
        elif character in "{[":
            opened.append(character)
        elif character in "}]" and opened:
            opened.pop()
    closing = "}" if opened and opened[-1] == "[" else "]"
    return ("\\" if escaped else "") + ('"' if inside else "") + closing
