"""Tools: asked for, forced, in parallel or one at a time, whole and as they come."""

from __future__ import annotations

import asyncio

import pytest
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ToolCallBlock
from llama_index.core.tools import FunctionTool
from llama_index.llms.vessel import Vessel
from vessel_core.errors import InvalidOutput, InvalidRequest

from tests.llama_index.conformance.looking import extra


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"It is sunny in {city}."


def search(query: str) -> str:
    """Search the web."""
    return f"Nothing is known of {query}."


WEATHER, SEARCH = FunctionTool.from_defaults(get_weather), FunctionTool.from_defaults(search)
QUESTION = "What is the weather in Lisbon?"


def test_a_call_comes_as_a_block_and_as_a_selection(llm: Vessel) -> None:
    response = llm.chat_with_tools([WEATHER], QUESTION, tool_required=True)
    text, call = response.message.blocks
    assert text == TextBlock(text="")
    assert isinstance(call, ToolCallBlock)
    assert isinstance(call.tool_kwargs, dict)
    assert call.tool_kwargs["city"]
    (selection,) = llm.get_tool_calls_from_response(response)
    assert (selection.tool_id, selection.tool_name) == (call.tool_call_id, "get_weather")
    assert selection.tool_kwargs == call.tool_kwargs
    (plain,) = extra(response.message)["tool_calls"]
    assert plain["function"]["name"] == "get_weather"


def test_a_named_tool_is_the_one_that_is_called(llm: Vessel) -> None:
    for name in ("search", "get_weather"):
        response = llm.chat_with_tools([WEATHER, SEARCH], QUESTION, tool_choice=name)
        assert [call.tool_name for call in llm.get_tool_calls_from_response(response)] == [name]


def test_the_openai_form_of_a_choice_is_understood(llm: Vessel) -> None:
    choice = {"type": "function", "function": {"name": "search"}}
    response = llm.chat_with_tools([WEATHER, SEARCH], QUESTION, tool_choice=choice)
    assert [call.tool_name for call in llm.get_tool_calls_from_response(response)] == ["search"]


def test_an_unknown_tool_choice_names_the_nearest(llm: Vessel) -> None:
    with pytest.raises(InvalidRequest, match="get_weather"):
        llm.chat_with_tools([WEATHER], QUESTION, tool_choice="get_wether")


def test_parallel_calls_come_only_if_they_are_allowed(llm: Vessel) -> None:
    both = "What is the weather in both Lisbon and Oslo?"
    response = llm.chat_with_tools([WEATHER], both, allow_parallel_tool_calls=True, tool_required=True)
    calls = llm.get_tool_calls_from_response(response)
    assert len(calls) == 2
    assert len({call.tool_id for call in calls}) == 2
    response = llm.chat_with_tools([WEATHER], both, tool_required=True)
    assert len(llm.get_tool_calls_from_response(response)) == 1
    *_, last = llm.stream_chat_with_tools([WEATHER], both, tool_required=True)
    assert len(llm.get_tool_calls_from_response(last)) == 1


async def test_a_streamed_call_grows_and_ends_as_the_whole_one(llm: Vessel) -> None:
    stream = await llm.astream_chat_with_tools([WEATHER], QUESTION, tool_required=True)
    grown: list[dict[str, str]] = []
    last = None
    async for last in stream:
        for call in llm.get_tool_calls_from_response(last, error_on_no_tool_call=False):
            assert call.tool_name == "get_weather"
            grown.append(call.tool_kwargs)
    assert last is not None
    assert grown[0] == {}
    assert grown[-1]["city"]
    assert isinstance(last.message.blocks[-1], ToolCallBlock)
    assert last.message.blocks[-1].tool_kwargs == grown[-1]
    whole = await llm.achat_with_tools([WEATHER], QUESTION, tool_required=True)
    assert llm.get_tool_calls_from_response(whole)[0].tool_kwargs == grown[-1]


async def test_a_tool_is_predicted_and_called(llm: Vessel) -> None:
    done = await asyncio.to_thread(llm.predict_and_call, [WEATHER], QUESTION)
    assert done.response.startswith("It is sunny in ")
    done = await llm.apredict_and_call([WEATHER], QUESTION)
    assert done.sources[0].tool_name == "get_weather"


def test_the_result_of_a_call_goes_back_to_the_model(llm: Vessel) -> None:
    question = ChatMessage(QUESTION)
    asked = llm.chat_with_tools([WEATHER], chat_history=[question], tool_required=True)
    (call,) = llm.get_tool_calls_from_response(asked)
    result = ChatMessage(
        role="tool", content=get_weather(**call.tool_kwargs), additional_kwargs={"tool_call_id": call.tool_id}
    )
    answer = llm.chat_with_tools([WEATHER], chat_history=[question, asked.message, result])
    assert llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False) == []
    assert answer.message.content
    with pytest.raises(InvalidOutput, match="called no tool"):
        llm.get_tool_calls_from_response(answer)


def test_a_call_that_was_cut_off_is_not_run(llm: Vessel) -> None:
    with pytest.raises(InvalidOutput, match="max_tokens"):
        llm.chat_with_tools([WEATHER], QUESTION, tool_required=True, max_tokens=20)
    response = llm.chat_with_tools([WEATHER], QUESTION, tool_required=True, max_tokens=20, validate=False)
    assert not any(isinstance(block, ToolCallBlock) for block in response.message.blocks)
    (broken,) = extra(response.message)["invalid_tool_calls"]
    assert broken["name"] == "get_weather"
    with pytest.raises(InvalidOutput, match="max_tokens"):
        llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
