"""An answer and its chunks, built by hand for speed, are what pydantic would have made."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_vessel.chunks import Chunks, chunk
from langchain_vessel.replies import to_result
from pydantic import BaseModel
from vessel_core.types import ChatReply, Delta, InvalidToolCall, Progress, Timings, ToolCall, ToolCallDelta, Usage

CALL: ToolCall = {"id": "a", "type": "function", "function": {"name": "search", "arguments": '{"query": "x"}'}}
REPLIES = {
    "text": ChatReply("Hello", finish="stop", model="demo", usage=Usage(3, 4, 7, cached_tokens=2, reasoning_tokens=1)),
    "nothing": ChatReply(),
    "reasoning and times": ChatReply(
        "Hello", "Let me see.", timings=Timings(completion_tokens=4, completion_ms=2.0), response_id="chat-1"
    ),
    "calls": ChatReply(
        tool_calls=[CALL], invalid_tool_calls=[InvalidToolCall("b", "look", '{"', "cut off")], finish="tool_calls"
    ),
    "refusal and log probabilities": ChatReply("No", refusal="I won't", logprobs=[{"token": "No", "logprob": -0.1}]),
    "choices": ChatReply("One", model="demo", finish="stop", alternatives=[ChatReply("Two", finish="length")]),
}


@pytest.mark.parametrize("name", REPLIES)
def test_a_whole_answer_made_by_hand_is_a_validated_one_in_every_field(name: str) -> None:
    made = to_result(REPLIES[name])
    for generation in made.generations:
        message = generation.message
        assert isinstance(message, AIMessage)
        fields = {field: getattr(message, field) for field in message.model_fields_set}
        same(message, AIMessage(**fields))
        same(generation, ChatGeneration(message=message, generation_info=generation.generation_info))
    same(made, ChatResult(generations=made.generations, llm_output=made.llm_output))


def same(made: BaseModel, validated: BaseModel) -> None:
    assert type(made) is type(validated)
    assert list(made.__dict__) == list(type(made).model_fields)
    assert made == validated
    assert made.__pydantic_extra__ == validated.__pydantic_extra__
    assert made.__pydantic_private__ == validated.__pydantic_private__
    assert made.model_fields_set == validated.model_fields_set
    assert made.model_dump() == validated.model_dump()
    assert made.model_dump_json() == validated.model_dump_json()
    assert made.model_copy(deep=True) == validated


PIECE = tool_call_chunk(name="f", args='{"a": 1}', id="1", index=0)
PARTS = [
    tool_call_chunk(name=None, args=args, id=None, index=0)
    for args in (
        *(
            '{"a',
            '": "b',
            '"}',
            "",
            " ",
            " {",
            '\n{"a": [1, {"b": "c',
            "[1]",
            "null",
            '"a"',
            "12",
            "}",
            "]",
            "{]",
            "{'a'",
        ),
        *('\u00a0{"a": 1}', '{"a": 1}{', '{"a": NaN', "tr"),
    )
]


def streamed(delta: Delta) -> ChatGenerationChunk:
    """Return the chunk of a delta, of the class that is really streamed."""
    made = Chunks().of(delta)
    assert made is not None
    return made


LOGPROB: dict[str, Any] = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}
PROGRESS = {"status": "reading", "completed": 2, "total": 3, "unit": "tokens"}
VESSEL = {"model_provider": "vessel"}


@pytest.mark.parametrize(
    ("made", "fields"),
    [
        (streamed(Delta("Hi")), {"content": "Hi"}),
        (
            streamed(Delta("Hi", logprobs=[LOGPROB])),
            {"content": "Hi", "response_metadata": {**VESSEL, "logprobs": {"content": [LOGPROB]}}},
        ),
        (
            streamed(Delta(progress=Progress("reading", 2, 3, "tokens"))),
            {"content": "", "response_metadata": {**VESSEL, "progress": [PROGRESS]}},
        ),
        (
            streamed(Delta("Hi", reasoning="Hm", logprobs=[LOGPROB], progress=Progress("reading", 2, 3, "tokens"))),
            {
                "content": "Hi",
                "additional_kwargs": {"reasoning_content": "Hm"},
                "response_metadata": {**VESSEL, "logprobs": {"content": [LOGPROB]}, "progress": [PROGRESS]},
            },
        ),
        (
            streamed(Delta(tool_calls=[ToolCallDelta(0, "1", "f", '{"a": 1}')])),
            {"content": "", "tool_call_chunks": [PIECE]},
        ),
        (chunk("Hi"), {"content": "Hi"}),
        (chunk(""), {"content": ""}),
        (chunk("Hi", reasoning="Hm"), {"content": "Hi", "additional_kwargs": {"reasoning_content": "Hm"}}),
        (chunk("", calls=[PIECE]), {"content": "", "tool_call_chunks": [PIECE]}),
        *((chunk("", calls=[part]), {"content": "", "tool_call_chunks": [part]}) for part in PARTS),
        (chunk("Hi", calls=[PIECE, *PARTS]), {"content": "Hi", "tool_call_chunks": [PIECE, *PARTS]}),
        (
            chunk(
                metadata={"model_name": "m"},
                usage={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
                last=True,
            ),
            {
                "content": "",
                "response_metadata": {"model_provider": "vessel", "model_name": "m"},
                "usage_metadata": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
                "chunk_position": "last",
            },
        ),
    ],
)
def test_a_chunk_made_by_hand_is_a_validated_one_in_every_field(
    made: ChatGenerationChunk, fields: dict[str, Any]
) -> None:
    everything: dict[str, Any] = {"response_metadata": {"model_provider": "vessel"}, **fields}
    message = AIMessageChunk(**everything)
    validated = ChatGenerationChunk(message=message)
    for mine, theirs in ((made, validated), (made.message, validated.message)):
        assert isinstance(mine, type(theirs))
        assert mine.__dict__.keys() == theirs.__dict__.keys() == type(theirs).model_fields.keys()
        for name in theirs.__dict__:
            assert getattr(mine, name) == getattr(theirs, name), name
        assert mine.__pydantic_extra__ == theirs.__pydantic_extra__
        assert mine.__pydantic_private__ == theirs.__pydantic_private__
        assert mine == theirs
        assert theirs == mine
        assert repr(mine) == repr(theirs)
        assert mine.model_dump() == theirs.model_dump()
        assert mine.model_copy(deep=True) == theirs
    said = {name: getattr(made.message, name) for name in made.message.model_fields_set}
    assert everything.keys() <= said.keys() == AIMessageChunk(**said).model_fields_set
    assert made.model_fields_set == validated.model_fields_set
    assert made.message.model_dump_json() == validated.message.model_dump_json()
    assert (made.message + made.message).model_dump() == (validated.message + validated.message).model_dump()
