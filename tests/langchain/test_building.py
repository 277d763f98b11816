"""A whole answer built by hand, for speed, is what pydantic would have made."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_vessel.replies import to_result
from pydantic import BaseModel
from vessel_core.types import ChatReply, InvalidToolCall, Timings, ToolCall, Usage

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
