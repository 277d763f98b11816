"""`ChatVessel` end to end on real servers: answers, streams, tools, schemas, pictures, usage, reasoning."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration
from langchain_core.tools import tool
from langchain_vessel import ChatVessel, image_block
from pydantic import BaseModel
from vessel_core.local import LocalServer

from tests.langchain.media import picture


@tool
def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"Sunny in {city}"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@pytest.fixture
def chat(chat_server: LocalServer) -> ChatVessel:
    return ChatVessel(base_url=chat_server.base_url, max_tokens=80, temperature=0)


def summed(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


def test_invoke_answers_with_text_usage_model_and_timings(chat: ChatVessel) -> None:
    answer = chat.invoke("Hello")
    assert isinstance(answer, AIMessage)
    assert answer.text
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] > 0
    assert answer.usage_metadata["output_tokens"] > 0
    assert answer.response_metadata["model_name"] == "demo-chat"
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.response_metadata["model_provider"] == "vessel"
    assert answer.response_metadata["timings"]["tokens_per_second"] > 0


def test_stream_gives_the_same_text_as_invoke(chat: ChatVessel) -> None:
    chat.together = False
    chunks = list(chat.stream("Hello"))
    assert len(chunks) > 3
    assert summed(chunks).text == chat.invoke("Hello").text


async def test_async_answers_are_the_sync_ones(chat: ChatVessel) -> None:
    chunks = [chunk async for chunk in chat.astream("Hello")]
    assert summed(chunks).text == (await chat.ainvoke("Hello")).text == chat.invoke("Hello").text


def test_async_calls_work_in_loop_after_loop(chat: ChatVessel) -> None:
    assert [asyncio.run(chat.ainvoke("Hello")).text for _ in range(3)] == [chat.invoke("Hello").text] * 3


def test_metadata_usage_and_timings_come_on_exactly_one_chunk_the_last(chat: ChatVessel) -> None:
    chunks = list(chat.stream("Hello"))
    for name in ("model_name", "finish_reason", "timings", "token_usage", "id"):
        assert [name in chunk.response_metadata for chunk in chunks] == [False] * (len(chunks) - 1) + [True], name
    assert [chunk.usage_metadata is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert [chunk.chunk_position for chunk in chunks] == [None] * (len(chunks) - 1) + ["last"]
    assert {chunk.response_metadata["model_provider"] for chunk in chunks} == {"vessel"}


def test_a_tool_is_called_and_its_result_travels_back(chat: ChatVessel) -> None:
    model = chat.bind_tools([get_weather])
    question = HumanMessage("What is the weather in Paris?")
    call = chat.bind_tools([get_weather], tool_choice="any").invoke([question])
    assert [one["name"] for one in call.tool_calls] == ["get_weather"]
    assert isinstance(call.tool_calls[0]["args"]["city"], str)
    assert call.tool_calls[0]["id"]
    result = get_weather.invoke(cast("Any", call.tool_calls[0]))
    assert isinstance(result, ToolMessage)
    final = model.invoke([question, call, result])
    assert final.text
    assert not final.tool_calls


def test_a_named_tool_is_really_forced(chat: ChatVessel) -> None:
    model = chat.bind_tools([get_weather, add], tool_choice="add")
    assert [call["name"] for call in model.invoke("What is the weather in Paris?").tool_calls] == ["add"]


def test_streamed_tool_calls_are_those_of_invoke(chat: ChatVessel) -> None:
    model = chat.bind_tools([add], tool_choice="any")
    chunks = [cast("AIMessageChunk", chunk) for chunk in model.stream("Add 1 and 2")]
    indices = {piece["index"] for chunk in chunks for piece in chunk.tool_call_chunks}
    assert indices == {0}
    [streamed], [invoked] = summed(chunks).tool_calls, model.invoke("Add 1 and 2").tool_calls
    assert (streamed["name"], streamed["args"]) == (invoked["name"], invoked["args"])


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_a_pydantic_object_comes_back_by_every_method(chat: ChatVessel, method: Any) -> None:
    person = chat.with_structured_output(Person, method=method).invoke("Ada Lovelace, 36 years old")
    assert isinstance(person, Person)


def test_a_picture_is_seen(chat: ChatVessel) -> None:
    question: list[Any] = [{"type": "text", "text": "What colour is this?"}, image_block(picture("red"))]
    assert "red" in chat.invoke([HumanMessage(question)]).text.lower()
    question[1] = image_block(picture("blue"))
    assert "blue" in chat.invoke([HumanMessage(question)]).text.lower()


def test_reasoning_is_apart_from_the_answer(thinking_server: LocalServer) -> None:
    chat = ChatVessel(base_url=thinking_server.base_url, max_tokens=120)
    answer = chat.invoke("Why is the sky blue?")
    thought = answer.additional_kwargs["reasoning_content"]
    assert thought
    assert answer.text
    assert "<think>" not in answer.text + thought
    assert [block["type"] for block in answer.content_blocks] == ["reasoning", "text"]
    streamed = summed(list(chat.stream("Why is the sky blue?")))
    assert streamed.additional_kwargs["reasoning_content"]
    assert [block["type"] for block in streamed.content_blocks] == ["reasoning", "text"]


def test_reasoning_can_be_switched_off(thinking_server: LocalServer) -> None:
    chat = ChatVessel(base_url=thinking_server.base_url, max_tokens=120, reasoning=False)
    assert "reasoning_content" not in chat.invoke("Why is the sky blue?").additional_kwargs


def test_batches_answer_each_input(chat: ChatVessel) -> None:
    assert all(answer.text for answer in chat.batch(["Hello", "Who are you?", "What can you do?"]))


def test_the_repr_says_what_is_talked_to(chat: ChatVessel, chat_server: LocalServer) -> None:
    chat.invoke("Hello")
    shown = f"backend='llamacpp', base_url='{chat_server.base_url}', model='demo-chat'"
    assert repr(chat) == f"ChatVessel({shown}, max_tokens=80, temperature=0.0)"


def test_several_answers_tell_their_tokens_together(chat_server: LocalServer) -> None:
    made = ChatVessel(base_url=chat_server.base_url, max_tokens=20).generate(
        [[HumanMessage("Hi")], [HumanMessage("Ho")]]
    )
    each = [cast("AIMessage", cast("ChatGeneration", one[0]).message).usage_metadata for one in made.generations]
    told = made.llm_output or {}
    assert told["model_name"] == "demo-chat"
    assert told["token_usage"]["total_tokens"] == sum(usage["total_tokens"] for usage in each if usage)


async def test_the_server_can_be_asked_itself(chat_server: LocalServer) -> None:
    chat = ChatVessel(base_url=chat_server.base_url)
    assert chat.server.health()
    assert [model.id for model in await chat.aserver.models()] == ["demo-chat"]
