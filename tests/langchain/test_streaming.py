"""Streams: blocks in v0, v1 and v3, events, callbacks, progress."""

from __future__ import annotations

import threading
from typing import Any
from unittest.mock import AsyncMock, MagicMock
from uuid import uuid4

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessageChunk, HumanMessage, message_chunk_to_message
from langchain_vessel import ChatVessel
from vessel_core.local import LocalServer

from tests.fake_server import FakeServer, Response, llamacpp_server
from tests.langchain.scripted import answer, calling, piece
from tests.langchain.ways import BETA, OUTPUT_VERSIONS, every_way, model, total

TURN = calling(("f", '{"a": 1}'), ("g", '{"b": [2, 3]}'), text="Let me check", thought="Hmm")
CALLS = [
    {"name": "f", "args": {"a": 1}, "id": "call-x0", "type": "tool_call"},
    {"name": "g", "args": {"b": [2, 3]}, "id": "call-x1", "type": "tool_call"},
]

pytestmark = pytest.mark.filterwarnings(BETA)


@pytest.mark.parametrize("output_version", OUTPUT_VERSIONS)
async def test_thought_text_and_two_calls_arrive_intact_by_every_way(output_version: str) -> None:
    with llamacpp_server(TURN) as server:
        answers = await every_way(model(server, output_version=output_version))
    for way, message in answers.items():
        assert message.tool_calls == CALLS, way
        assert message.invalid_tool_calls == [], way
        assert message.text == "Let me check", way
        blocks = [(block["type"], block.get("reasoning") or block.get("text")) for block in message.content_blocks]
        assert blocks == [("reasoning", "Hmm"), ("text", "Let me check"), ("tool_call", None), ("tool_call", None)], way
        assert message.response_metadata["model_name"] == "demo", way
        assert message.response_metadata["finish_reason"] == "tool_calls", way
        assert message.response_metadata["timings"]["completion_ms"] == 50.25, way
        assert message.usage_metadata == {
            "input_tokens": 11,
            "output_tokens": 5,
            "total_tokens": 16,
            "input_token_details": {"cache_read": 4},
        }, way


async def test_v0_content_is_text_and_v1_content_is_blocks() -> None:
    with llamacpp_server(TURN) as server:
        plain = model(server, output_version="v0").invoke("x")
        blocks = model(server, output_version="v1").invoke("x")
    assert plain.content == "Let me check"
    assert blocks.content == plain.content_blocks


def test_each_block_of_a_chunk_has_an_index_of_its_own() -> None:
    with llamacpp_server(TURN) as server:
        chunks = list(model(server).stream("x"))
    indices = [[block.get("index") for block in chunk.content_blocks] for chunk in chunks]
    assert indices == [["lc_rs_0"], ["lc_txt_0"], ["lc_tc_0"], ["lc_tc_0"], ["lc_tc_1"], ["lc_tc_1"], []]
    assert [piece["index"] for chunk in chunks for piece in chunk.tool_call_chunks] == [0, 0, 1, 1]


def test_events_number_the_blocks_and_name_model_and_message() -> None:
    run = uuid4()
    with llamacpp_server(TURN) as server:
        stream = model(server).stream_events("x", {"run_id": run}, version="v3")
        events: list[Any] = list(stream)
    assert events[0]["metadata"] == {"provider": "vessel", "model": "demo"}
    assert events[0]["id"] == stream.output.id == f"lc_run--{run}"
    starts = [(event["index"], event["content"]["type"]) for event in events if event["event"] == "content-block-start"]
    assert starts == [(0, "reasoning"), (1, "text"), (2, "tool_call_chunk"), (3, "tool_call_chunk")]
    assert events[-1]["usage"]["input_tokens"] == 11
    assert str(stream.text) == "Let me check"
    assert str(stream.reasoning) == "Hmm"


LOADING = Response.json({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, 503)


def loading_server(times: int) -> FakeServer:
    """Return a server that says so many times that its model loads."""
    answers: list[Any] = [*[LOADING] * times, Response.stream(answer("Hel", "lo"))]
    return llamacpp_server(routes={("POST", "/v1/chat/completions"): answers})


class Heard(BaseCallbackHandler):
    """Hears what is told of how far the server is."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        self.told.append((name, data["status"]))


async def test_who_waits_for_a_whole_answer_is_told_by_callback_that_the_model_loads() -> None:
    for ask in ("invoke", "ainvoke", "stream_events", "astream_events"):
        heard = Heard()
        with loading_server(1) as server:
            chat = ChatVessel(backend="llamacpp", base_url=server.base_url, model="demo")
            config: Any = {"callbacks": [heard]}
            if ask == "ainvoke":
                await chat.ainvoke("Hello", config)
            elif ask == "invoke":
                chat.invoke("Hello", config)
            elif ask == "astream_events":
                [_ async for _ in await chat.astream_events("Hello", config, version="v3")]
            else:
                list(chat.stream_events("Hello", config, version="v3"))
        assert heard.told == [("vessel_progress", "waiting for the model to load")], ask


def test_a_stream_tells_that_the_model_loads_in_chunks_without_words() -> None:
    with loading_server(2) as server:
        chat = ChatVessel(backend="llamacpp", base_url=server.base_url, model="demo")
        chunks: list[Any] = list(chat.stream("Hello"))
    assert [each.text for each in chunks if "progress" in each.response_metadata] == ["", ""]
    whole = total(chunks)
    assert whole.text == "Hello"
    assert [each["unit"] for each in whole.response_metadata["progress"]] == ["seconds"] * 2


def test_a_summed_stream_is_the_message_of_invoke() -> None:
    with llamacpp_server(TURN) as server:
        chat = model(server)
        streamed, invoked = message_chunk_to_message(total(list(chat.stream("x")))), chat.invoke("x")
    for message in (streamed, invoked):
        message.id = None
        message.response_metadata["timings"].pop("first_token_ms")
    assert streamed == invoked


async def test_events_v2_carry_each_token(chat_server: LocalServer) -> None:
    chat = ChatVessel(base_url=chat_server.base_url, temperature=0, together=False)
    events = [event async for event in chat.astream_events("Hello", version="v2")]
    tokens = [event["data"].get("chunk") for event in events if event["event"] == "on_chat_model_stream"]
    assert len(tokens) > 3
    assert "".join(token.text for token in tokens if isinstance(token, AIMessageChunk)) == chat.invoke("Hello").text


def test_callbacks_see_each_token() -> None:
    class Tokens(BaseCallbackHandler):
        def __init__(self) -> None:
            self.seen: list[str] = []

        def on_llm_new_token(self, token: Any, **_: Any) -> None:
            self.seen.append(token)

    tokens = Tokens()
    with llamacpp_server(answer("One", " two", " three")) as server:
        list(model(server, together=False).stream("x", config={"callbacks": [tokens]}))
        assert tokens.seen == ["One", " two", " three", ""]
        tokens.seen.clear()
        model(server, streaming=True, together=False).invoke("x", config={"callbacks": [tokens]})
        assert tokens.seen == ["One", " two", " three", ""]


async def test_who_hands_a_run_manager_to_the_hooks_hears_each_token() -> None:
    """As LangChain's own bridge to events does, for a subclass of this."""
    heard, aheard = MagicMock(), AsyncMock()
    with llamacpp_server(answer("One", " two")) as server:
        chat: Any = model(server, together=False)
        list(chat._stream([HumanMessage("x")], run_manager=heard))
        [_ async for _ in chat._astream([HumanMessage("x")], run_manager=aheard)]
    for manager in (heard, aheard):
        assert [call.args[0] for call in manager.on_llm_new_token.call_args_list] == ["One", " two"]


def test_tokens_that_arrive_together_are_delivered_together() -> None:
    with llamacpp_server(answer("One", " two", " three")) as server:
        assert [chunk.text for chunk in model(server).stream("x")] == ["One", " two three", ""]


def test_streaming_can_be_switched_off() -> None:
    with llamacpp_server(answer("One", " two")) as server:
        assert len(list(model(server, streaming=False).stream("x"))) == 1
        assert len(list(model(server, disable_streaming=True).stream("x"))) == 1


def test_closing_a_stream_stops_the_server() -> None:
    gate = threading.Event()
    with llamacpp_server(Response.stream(piece({"content": "One"}), gate, answer("two"))) as server:
        stream = model(server).stream("x")
        assert next(iter(stream)).text == "One"
        stream.close()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - it is a generator
        assert server.disconnected.wait(5)
