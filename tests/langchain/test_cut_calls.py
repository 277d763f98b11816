"""Tool calls that were cut off, that were not allowed, or that say nothing: which are calls, and which are none."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils.json import parse_partial_json
from langchain_vessel import ChatVessel, chunks
from langchain_vessel.chunks import Chunks, unparsable
from vessel_core.errors import StreamInterrupted
from vessel_core.types import Delta, ToolCallDelta

from tests.fake_server import Response, llamacpp_server, ollama_server
from tests.langchain.scripted import calling, ending, ollama_lines
from tests.langchain.ways import BETA, OUTPUT_VERSIONS, every_way, model, total

NOTHING = {"title": "f", "description": "Do nothing.", "type": "object", "properties": dict[str, Any]()}

pytestmark = pytest.mark.filterwarnings(BETA)

CUT = (
    '{"path": "/tmp/a", "re',
    '{"path": "/tm',
    '{"a": [1, 2',
    '{"a": {"b": "c\\',
    '{"a"',
    "{",
    '{"a": 1}}',
    "[1]",
    "nul",
    "",
    " ",
)


@pytest.mark.parametrize("output_version", OUTPUT_VERSIONS)
@pytest.mark.parametrize("arguments", CUT)
async def test_a_call_that_was_cut_off_is_never_executable(output_version: str, arguments: str) -> None:
    with llamacpp_server(calling(("delete", arguments), finish="length")) as server:
        answers = await every_way(model(server, output_version=output_version))
        answers["invoke that streams"] = model(server, streaming=True).invoke("x")
    for way, message in answers.items():
        assert message.tool_calls == [], way
        [invalid] = message.invalid_tool_calls
        assert (invalid["name"], invalid["id"]) == ("delete", "call-x0"), way
        assert str(invalid["args"]).startswith(arguments), way
        assert not any(block["type"] == "tool_call" for block in message.content_blocks), way


@pytest.mark.parametrize("arguments", ['{"a":' * 3000, '{"a":' * 3000 + "1" + "}" * 3000], ids=["open", "closed"])
async def test_arguments_too_deep_to_be_read_are_no_call_and_no_error(arguments: str) -> None:
    with llamacpp_server(calling(("delete", arguments))) as server:
        for way, message in (await every_way(model(server))).items():
            assert (message.tool_calls, len(message.invalid_tool_calls)) == ([], 1), way


def test_a_long_piece_of_arguments_that_is_no_json_costs_no_seconds() -> None:
    """LangChain's own completion takes a minute of CPU for the first of these two pieces."""
    with llamacpp_server(calling(("delete", '{"a": ' + '"b" ' * 60_000))) as server:
        chat = model(server)
        began = time.process_time()
        pieces = [piece for each in chat.stream("x") for piece in each.tool_call_chunks]
        assert time.process_time() - began < 1.0
    assert sum(len(piece["args"] or "") for piece in pieces) > 240_000


def test_langchain_completes_no_piece_but_the_first_of_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take seconds for thousands that look like a beginning, and what it made of them was never said."""
    completed: list[str] = []

    def noted(text: str) -> Any:
        completed.append(text)
        return parse_partial_json(text)

    monkeypatch.setattr(chunks, "parse_partial_json", noted)
    pieces = ["", " ", '{"a" b', '{"a" c', '{"a": 1', " ", '{"a": 2}']
    these = Chunks()
    made = [
        these.of(Delta(tool_calls=[ToolCallDelta(index, f"call-{index}", "f", piece)]))
        for piece in pieces
        for index in (0, 1)
    ]
    assert completed == ['{"a" b', '{"a" b']
    read = [each.message.tool_calls for each in made if each is not None and isinstance(each.message, AIMessageChunk)]
    assert [[call["args"] for call in calls] for calls in read] == [
        [{}],
        [{}],
        [],
        [],
        [{}],
        [{}],
        *([] for _ in range(8)),
    ]


async def test_a_call_at_which_a_stream_broke_off_is_none_in_what_came_before_the_error() -> None:
    """LangChain itself would complete `{"path": "/tmp/a` and, for a long one that is no JSON, try for minutes."""
    came: list[AIMessageChunk] = []
    awaited: list[AIMessageChunk] = []

    async def keep(chat: ChatVessel) -> None:
        async for chunk in chat.astream("x"):
            awaited.append(chunk)

    answer = calling(("list", "{}"), ("delete", '{"path": "/tmp/a'))
    with llamacpp_server(answer.removesuffix(ending("tool_calls"))) as server:
        chat = model(server, max_retries=0)
        with pytest.raises(StreamInterrupted):
            came.extend(chat.stream("x"))
        with pytest.raises(StreamInterrupted):
            await keep(chat)
    for message in (total(came), total(awaited)):
        assert [call["name"] for call in message.tool_calls] == ["list"]
        assert [call["name"] for call in message.invalid_tool_calls] == ["delete"]


class Heard(BaseCallbackHandler):
    """Keeps what LangChain tells of an answer that did not come to its end."""

    def __init__(self) -> None:
        self.messages: list[AIMessage] = []

    def on_llm_error(self, error: BaseException, *, response: Any = None, **_: Any) -> None:
        self.messages.append(response.generations[0][0].message)


@pytest.mark.parametrize("output_version", OUTPUT_VERSIONS)
@pytest.mark.parametrize("way", ["close", "aclose", "cancel"])
async def test_who_stops_in_the_middle_of_a_call_makes_langchain_complete_nothing(
    way: str, output_version: str
) -> None:
    """It adds up what came before it lets go of the connection; a long call that is no JSON took it many seconds."""
    gate, heard = threading.Event(), Heard()
    came = calling(("list", "{}"), ("delete", '{"path": "/tmp/a')).removesuffix(ending("tool_calls"))
    answer = Response(headers={"content-type": "text/event-stream"}, pieces=[came, gate])
    reached = asyncio.Event()

    async def read(chunks: AsyncIterator[AIMessageChunk]) -> None:
        for _ in range(4):
            await anext(chunks)
        reached.set()
        if way == "cancel":
            await anext(chunks)

    with llamacpp_server(answer) as server:
        chat = model(server, output_version=output_version)
        config: Any = {"callbacks": [heard]}
        if way == "close":
            stream: Any = chat.stream("x", config)
            assert len([next(stream) for _ in range(4)]) == 4
            stream.close()
        else:
            chunks: Any = chat.astream("x", config)
            task = asyncio.create_task(read(chunks))
            await reached.wait()
            if way == "cancel":
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            await task if way == "aclose" else None
            await chunks.aclose()
        assert await asyncio.to_thread(server.disconnected.wait, 10)
        gate.set()
    [message] = heard.messages
    assert [call["name"] for call in message.tool_calls] == ["list"]
    assert [call["name"] for call in message.invalid_tool_calls] == ["delete"]


def test_a_piece_is_to_others_the_chunk_that_it_is() -> None:
    made = Chunks().of(Delta(text="Hi"))
    assert made is not None
    assert type(loads(dumps(made), allowed_objects=[ChatGenerationChunk, AIMessageChunk])) is ChatGenerationChunk
    assert type(made.__add__([made])) is ChatGenerationChunk


async def test_a_call_that_was_cut_off_says_why_and_what_came() -> None:
    with llamacpp_server(calling(("delete", CUT[0]), finish="length")) as server:
        for way, message in (await every_way(model(server))).items():
            [block] = [dict(each) for each in message.content_blocks]
            assert (block["type"], block["args"]) == ("invalid_tool_call", CUT[0]), way
            assert "cut off" in str(block["error"]), way


def test_a_cut_call_in_a_sum_of_v1_chunks_says_why_beside_the_blocks() -> None:
    """LangChain itself leaves the block what it was, a piece of a call, and asks no translator for a sum of lists."""
    with llamacpp_server(calling(("delete", CUT[0]), finish="length")) as server:
        first, *others = model(server, output_version="v1").stream("x")
    summed = first.__add__(others)
    assert [block["type"] for block in summed.content_blocks] == ["tool_call_chunk"]
    [told] = summed.response_metadata["invalid_tool_calls"]
    assert told["args"] == CUT[0]
    assert "cut off" in told["error"]


async def test_a_whole_call_beside_one_that_was_cut_off_is_kept() -> None:
    with llamacpp_server(calling(("f", '{"a": 1}'), ("g", '{"b": '), finish="length")) as server:
        for way, message in (await every_way(model(server))).items():
            assert [call["name"] for call in message.tool_calls] == ["f"], way
            assert [call["name"] for call in message.invalid_tool_calls] == ["g"], way


@pytest.mark.parametrize("output_version", OUTPUT_VERSIONS)
async def test_a_call_where_none_was_allowed_is_never_executable(output_version: str) -> None:
    with llamacpp_server(calling(("f", '{"a": 1}'))) as server:
        chat: Any = model(server, output_version=output_version)
        for way, message in (await every_way(chat.bind_tools([NOTHING], tool_choice="none"))).items():
            assert message.tool_calls == [], way
            assert [call["name"] for call in message.invalid_tool_calls] == ["f"], way
            assert not any(block["type"] == "tool_call" for block in message.content_blocks), way


@pytest.mark.parametrize("text", CUT)
def test_nothing_completes_what_was_marked(text: str) -> None:
    marked = text + unparsable(text)
    try:
        parsed = parse_partial_json(marked)
    except json.JSONDecodeError:
        parsed = None
    assert not isinstance(parsed, dict)


@pytest.mark.parametrize("output_version", OUTPUT_VERSIONS)
@pytest.mark.parametrize("names", [["now"], ["now", "today"]])
async def test_calls_without_arguments_are_calls_with_none(names: list[str], output_version: str) -> None:
    with llamacpp_server(calling(*((name, "") for name in names))) as server:
        for way, message in (await every_way(model(server, output_version=output_version))).items():
            assert [(call["name"], call["args"]) for call in message.tool_calls] == [(name, {}) for name in names], way
            assert message.invalid_tool_calls == [], way


async def test_two_whole_calls_of_ollama_stay_two() -> None:
    calls = [{"function": {"name": name, "arguments": {"city": "Rome"}}} for name in ("f", "g")]
    with ollama_server(ollama_lines({"content": "", "tool_calls": calls})) as server:
        for way, message in (await every_way(ChatVessel(base_url=server.base_url, model="qwen3:8b"))).items():
            assert [(call["name"], call["args"]) for call in message.tool_calls] == [
                ("f", {"city": "Rome"}),
                ("g", {"city": "Rome"}),
            ], way
            assert all(call["id"] for call in message.tool_calls), way
