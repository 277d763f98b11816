"""What is built by hand, for speed, is what pydantic would have made."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LogProb,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.llms.llm import ToolSelection
from llama_index.llms.vessel.responses import Answer
from llama_index.llms.vessel.tools import tool_selections
from pydantic import BaseModel
from vessel_core import Delta, Timings, Usage
from vessel_core.types import ToolCallDelta
from vessel_core.unvalidated import plain

R = TypeVar("R", ChatResponse, CompletionResponse)

DELTAS = [
    Delta(reasoning="Let me", model="demo", response_id="chat-1"),
    Delta(reasoning=" see."),
    Delta(text="I"),
    Delta(text=" look"),
    Delta(logprobs=[{"token": "x", "logprob": -0.5, "bytes": [120]}], text="x"),
    Delta(tool_calls=[ToolCallDelta(0, "a", "get_weather", '{"ci')]),
    Delta(tool_calls=[ToolCallDelta(0, arguments='ty": "Oslo"}'), ToolCallDelta(1, "b", "search", "{}")]),
    Delta(finish="tool_calls"),
    Delta(usage=Usage(3, 4, 7, reasoning_tokens=2), timings=Timings(completion_tokens=4, completion_ms=2.0)),
]


def shown(show: Callable[[Answer, Delta | None], R]) -> list[R]:
    answer = Answer()
    responses: list[R] = []
    for delta in DELTAS:
        answer.take(delta)
        responses.append(show(answer, delta))
    return [*responses, show(answer, None)]


def same(made: BaseModel, validated: BaseModel) -> None:
    """Compare two models and the models inside them, with everything pydantic keeps of them."""
    assert type(plain(made)) is type(validated)
    assert list(made.__dict__) == list(type(made).model_fields)
    assert made == validated
    assert made.__pydantic_extra__ == validated.__pydantic_extra__
    assert made.__pydantic_private__ == validated.__pydantic_private__
    assert made.model_fields_set == validated.model_fields_set
    for name, value in made.__dict__.items():
        if isinstance(value, BaseModel):
            same(value, getattr(validated, name))
        elif isinstance(value, list):
            for mine, other in zip(value, getattr(validated, name), strict=True):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
                if isinstance(mine, BaseModel):
                    same(mine, other)


def validated_block(block: Any) -> Any:
    if isinstance(block, TextBlock):
        return TextBlock(text=block.text)
    if isinstance(block, ThinkingBlock):
        return ThinkingBlock(content=block.content, num_tokens=block.num_tokens)
    assert isinstance(block, ToolCallBlock)
    return ToolCallBlock(tool_call_id=block.tool_call_id, tool_name=block.tool_name, tool_kwargs=block.tool_kwargs)


@pytest.mark.parametrize("at", range(len(DELTAS) + 1))
def test_a_chat_response_is_what_validation_makes(at: int) -> None:
    made = shown(Answer.chat)[at]
    message = ChatMessage(
        role=made.message.role,
        blocks=[validated_block(block) for block in made.message.blocks],
        additional_kwargs=dict(made.message.__dict__["additional_kwargs"]),
    )
    fields: dict[str, Any] = {**made.__dict__, "message": message}
    same(made, ChatResponse(**fields))
    assert made.model_dump() == ChatResponse.model_validate(made.model_dump()).model_dump()
    assert json.loads(made.model_dump_json()) == made.model_dump(mode="json")
    assert pickle.loads(pickle.dumps(made)) == made == copy.deepcopy(made)


@pytest.mark.parametrize("at", range(len(DELTAS) + 1))
def test_a_completion_is_what_validation_makes(at: int) -> None:
    made = shown(Answer.completion)[at]
    same(made, CompletionResponse(**made.__dict__))
    assert pickle.loads(pickle.dumps(made)) == made


@pytest.mark.parametrize(
    "token",
    [
        {"token": "x", "logprob": -0.5, "bytes": [120]},
        {"token": {"a": 1}, "logprob": "high", "bytes": "x", "top_logprobs": 5},
        {"token": 5, "logprob": 10**400, "bytes": ["x", True], "top_logprobs": [7]},
        {"top_logprobs": [{"logprob": None, "bytes": None}, {"logprob": -1}]},
    ],
)
def test_log_probabilities_are_what_validation_makes_whatever_a_server_writes(token: dict[str, Any]) -> None:
    answer = Answer()
    answer.take(Delta(text="x", logprobs=[token]))
    (made,) = answer.chat().logprobs or [[]]
    assert len(made) == (1 if "token" in token else 2)
    for each in made:
        same(each, LogProb(**each.__dict__))


@pytest.mark.parametrize("at", range(len(DELTAS) + 1))
def test_a_tool_selection_is_what_validation_makes(at: int) -> None:
    response = shown(Answer.chat)[at]
    selections = tool_selections(response, required=False)
    assert len(selections) == sum(isinstance(block, ToolCallBlock) for block in response.message.blocks)
    for made in selections:
        same(made, ToolSelection(**made.__dict__))


def test_what_is_set_of_one_is_said_of_no_other() -> None:
    for response in shown(Answer.chat):
        for model in (response, response.message, *response.message.blocks):
            for name in type(model).model_fields:
                setattr(model, name, getattr(model, name))
    for response in shown(Answer.chat):
        for block in response.message.blocks:
            assert block.model_fields_set == validated_block(block).model_fields_set


def test_earlier_chunks_stay_as_they_were() -> None:
    responses = shown(Answer.chat)
    assert [response.message.content for response in responses[:4]] == ["", "", "I", "I look"]
    first, second = responses[0].message.blocks[0], responses[1].message.blocks[0]
    assert isinstance(first, ThinkingBlock)
    assert isinstance(second, ThinkingBlock)
    assert (first.content, second.content) == ("Let me", "Let me see.")
    assert [len(response.message.blocks) for response in responses] == [2, 2, 2, 2, 2, 3, 4, 4, 4, 4]
    (call,) = tool_selections(responses[5], required=True)
    assert call.tool_kwargs == {}
    assert tool_selections(responses[6], required=True)[0].tool_kwargs == {"city": "Oslo"}
