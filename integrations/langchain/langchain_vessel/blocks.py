"""Our translator for `message.content_blocks`: reasoning, text and tool calls, each with an index of its own.

LangChain puts chunks together by the index of their blocks. Strings beginning with `lc_` never meet the integers that it
hands out itself, so a tool call can't be fused into the text before it, in `output_version="v1"` either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages.block_translators import register_translator

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall
    from langchain_core.messages.content import ContentBlock

PROVIDER = "vessel"
"""`model_provider` of each reply, and `ls_provider` of each trace: middleware compares the two."""

REASONING, TEXT, CALL = "lc_rs_0", "lc_txt_0", "lc_tc_"


def message_blocks(message: AIMessage) -> list[ContentBlock]:
    """Return the blocks of a whole answer."""
    blocks = _said(message, {}, {})
    blocks += [{"type": "tool_call", "id": c["id"], "name": c["name"], "args": c["args"]} for c in message.tool_calls]
    return cast("list[ContentBlock]", [*blocks, *invalid_calls(message)])


def invalid_calls(message: AIMessage) -> list[InvalidToolCall]:
    """Return the calls that must not be run, with the reason and the arguments as they came.

    In a sum of chunks, LangChain's own list has neither: they stand in `response_metadata` there.
    """
    return message.response_metadata.get("invalid_tool_calls") or message.invalid_tool_calls


def chunk_blocks(chunk: AIMessageChunk) -> list[ContentBlock]:
    """Return the blocks of a piece of an answer; those of a whole one if it is the sum up to the last piece."""
    if chunk.chunk_position == "last" and chunk.tool_call_chunks:
        return message_blocks(chunk)
    blocks = _said(chunk, {"index": REASONING}, {"index": TEXT})
    blocks += [
        {"type": "tool_call_chunk", "id": c["id"], "name": c["name"], "args": c["args"], "index": f"{CALL}{c['index']}"}
        for c in chunk.tool_call_chunks
    ]
    return cast("list[ContentBlock]", blocks)


def _said(message: AIMessage, reasoning: dict[str, str], text: dict[str, str]) -> list[dict[str, Any]]:
    if not isinstance(message.content, str):
        raise NotImplementedError  # content that is a list already is LangChain's to read
    blocks: list[dict[str, Any]] = []
    if thought := message.additional_kwargs.get("reasoning_content"):
        blocks.append({"type": "reasoning", "reasoning": thought, **reasoning})
    if message.content:
        blocks.append({"type": "text", "text": message.content, **text})
    return blocks


def register() -> None:
    """Make LangChain use these for what we answered."""
    register_translator(PROVIDER, message_blocks, chunk_blocks)
