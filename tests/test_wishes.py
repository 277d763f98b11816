"""The fifteen things that users of local servers ask for again and again, each by a test of its name.

What each means in full is tested where it lives; docs/wishes.md says where.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_vessel import ChatVessel, VesselEmbeddings
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.vessel import VesselEmbedding
from llama_index.llms.vessel import Vessel
from pydantic import BaseModel, Field, SecretStr
from vessel_core import Client, LocalServer, Registry, Timeout, doctor
from vessel_core.errors import (
    ContextOverflow,
    FirstTokenTimeout,
    InputTooLarge,
    ModelLoading,
    ModelNotFound,
    ServerUnreachable,
    StreamStalled,
    VesselError,
)

from tests.fake_server import Request, Response, llamacpp_server, ollama_server, openai_server, transcript
from tests.servers import KEY

LONG = "The quick brown fox jumps. " * 480
TEXT = transcript("llamacpp/text.sse")
NDJSON = transcript("ollama/text.ndjson")
CUT = (
    b'{"model":"qwen3:8b","message":{"role":"assistant","content":"Hi"},"done":false}\n'
    b'{"model":"qwen3:8b","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",'
    b'"prompt_eval_count":1030,"eval_count":1}\n'
)
BUSY = Response.json({"error": {"message": "no slot", "type": "unavailable_error", "code": 503}}, 503)


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"It is sunny in {city}."


class Place(BaseModel):
    """A place."""

    city: str = Field(max_length=20)


class Trip(BaseModel):
    """A trip."""

    to: Place
    days: int = Field(ge=1, le=9)


def test_wish_01_no_prompt_is_cut_in_silence() -> None:
    with ollama_server(CUT, context_length=2048) as server:
        place: Any = {"backend": "ollama", "base_url": server.base_url, "model": "qwen3:8b"}
        assert ChatVessel(**place).invoke(LONG).response_metadata["truncated"] is True
        with pytest.raises(ContextOverflow, match="cut the prompt"):
            Client(**place).chat([{"role": "user", "content": LONG}], strict=True)
        ChatVessel(**place, num_ctx=16384).invoke("Hello")
        Vessel(**place, num_ctx=16384).complete("Hello")
        assert [asked.json()["options"]["num_ctx"] for asked in server.asked("/api/chat")[-2:]] == [16384, 16384]


def test_wish_02_timeouts_fit_slow_models_and_tell_the_first_token_from_the_rest() -> None:
    assert (Timeout().first_token, Timeout().between_tokens) == (600, 60)
    quick = Timeout(first_token=0.2, between_tokens=0.2)
    first = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n'
    with openai_server(Response.stream(threading.Event())) as silent:
        with pytest.raises(FirstTokenTimeout):
            ChatVessel(backend="openai", base_url=silent.base_url, model="demo", timeout=quick).invoke("Hello")
    with openai_server(Response.stream(first, threading.Event())) as stuck:
        with pytest.raises(StreamStalled) as caught:
            Vessel(backend="openai", base_url=stuck.base_url, model="demo", timeout=quick).complete("Hello")
    assert caught.value.partial is not None
    assert caught.value.partial.text == "Hi"


def test_wish_03_tool_calls_stream_with_ids_and_are_forced_when_told_so(chat_server: LocalServer) -> None:
    calling = ChatVessel(base_url=chat_server.base_url).bind_tools([get_weather], tool_choice="get_weather")
    chunks = [chunk for chunk in calling.stream("Hello.") if isinstance(chunk, AIMessageChunk)]
    assert sum(bool(chunk.tool_call_chunks) for chunk in chunks) > 2
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    (call,) = whole.tool_calls
    assert (call["name"], bool(call["id"])) == ("get_weather", True)
    with llamacpp_server(transcript("llamacpp/two_tools.sse")) as server:
        llm = Vessel(backend="llamacpp", base_url=server.base_url)
        calls = llm.get_tool_calls_from_response(
            llm.chat_with_tools(
                [FunctionTool.from_defaults(get_weather)], user_msg="Both.", allow_parallel_tool_calls=True
            )
        )
    assert len({call.tool_id for call in calls}) == 2


def test_wish_04_structured_output_works_with_thinking_models_and_nested_schemas(thinking_server: LocalServer) -> None:
    chat = ChatVessel(base_url=thinking_server.base_url, reasoning=True)
    assert isinstance(chat.with_structured_output(Trip).invoke("Three days in Lisbon."), Trip)
    llm = Vessel(base_url=thinking_server.base_url, reasoning=True)
    assert isinstance(llm.structured_predict(Trip, PromptTemplate("Three days in Lisbon.")), Trip)


def test_wish_05_reasoning_is_kept_apart_and_switched_by_the_call(thinking_server: LocalServer) -> None:
    chat = ChatVessel(base_url=thinking_server.base_url)
    thought, plain = chat.invoke("Hello.", reasoning=True), chat.invoke("Hello.", reasoning=False)
    assert [block["type"] for block in thought.content_blocks] == ["reasoning", "text"]
    assert "<think>" not in thought.text
    assert [block["type"] for block in plain.content_blocks] == ["text"]
    blocks = Vessel(base_url=thinking_server.base_url, reasoning=True).chat([ChatMessage("Hello.")]).message.blocks
    assert [block.block_type for block in blocks] == ["thinking", "text"]


def test_wish_06_an_empty_answer_is_explained(thinking_server: LocalServer) -> None:
    with ollama_server(transcript("ollama/load.ndjson")) as server:
        with pytest.raises(VesselError, match="load"):
            ChatVessel(backend="ollama", base_url=server.base_url, model="qwen3:8b").invoke("Hello.")
    ate = ChatVessel(base_url=thinking_server.base_url, reasoning=True, max_tokens=3).invoke("Hello.")
    assert (ate.text, ate.response_metadata["finish_reason"]) == ("", "length")
    assert ate.content_blocks[0]["type"] == "reasoning"


def test_wish_07_servers_are_found_with_their_models_and_what_each_can_do(
    chat_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMACPP_URL", chat_server.base_url)
    for name in ("LMSTUDIO_URL", "OLLAMA_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    registry = Registry()
    found = registry.discover_and_register()
    assert [server.connected for server in found] == [True, False, False]
    assert found[0].models[0].state == "loaded"
    assert registry.active.capabilities().tools is True
    works = doctor().servers[0].works
    assert (works["tools"], works["vision"], works["rerank"]) == (True, True, False)


def test_wish_08_errors_say_where_and_what_to_do() -> None:
    with pytest.raises(ServerUnreachable) as nobody:
        ChatVessel(backend="llamacpp", base_url="http://127.0.0.1:9").invoke("Hello.")
    assert "llama.cpp at http://127.0.0.1:9" in str(nobody.value)
    assert "llama-server -m model.gguf" in str(nobody.value)
    missing = Response.json({"error": "model 'qwen3' not found"}, 404)
    with ollama_server(routes={("POST", "/api/chat"): missing}) as server:
        with pytest.raises(ModelNotFound, match="qwen3:8b"):
            Vessel(backend="ollama", base_url=server.base_url, model="qwen3").complete("Hello.")
    loading = Response.json({"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}, 503)
    with llamacpp_server(loading) as server:
        with pytest.raises(ModelLoading, match="loading"):
            Client("llamacpp", base_url=server.base_url, timeout=Timeout(load=0.1)).chat(
                [{"role": "user", "content": "Hello"}]
            )


def test_wish_09_embeddings_take_texts_in_batches_and_name_one_that_is_too_long(embedding_server: LocalServer) -> None:
    texts = [f"text {number}" for number in range(130)]
    with llamacpp_server() as server:
        vectors = VesselEmbeddings(backend="llamacpp", base_url=server.base_url).embed_documents(texts)
        assert len(vectors) == 130
        asked = server.asked("/v1/embeddings")
        assert len(asked) > 1
        assert all(isinstance(text, str) for request in asked for text in request.json()["input"])
    with pytest.raises(InputTooLarge, match=r"texts\[1\]"):
        VesselEmbeddings(base_url=embedding_server.base_url).embed_documents(["short", LONG])
    assert len(VesselEmbedding(base_url=embedding_server.base_url).get_text_embedding_batch(texts[:8])) == 8


def test_wish_10_models_are_loaded_unloaded_and_kept() -> None:
    done = Response.json({"model": "qwen3:8b", "done": True, "done_reason": "load"})
    with (
        ollama_server(routes={("POST", "/api/chat"): done}) as server,
        Client("ollama", base_url=server.base_url) as client,
    ):
        assert [step.status for step in client.load("qwen3:8b", num_ctx=8192)] == ["loading", "loaded"]
        client.unload("qwen3:8b")
        loaded, unloaded = (asked.json() for asked in server.asked("/api/chat"))
    assert loaded["options"]["num_ctx"] == 8192
    assert unloaded["keep_alive"] == 0
    with ollama_server(NDJSON) as server:
        ChatVessel(backend="ollama", base_url=server.base_url, model="qwen3:8b", keep_alive="30m").invoke("Hello.")
        assert server.asked("/api/chat")[0].json()["keep_alive"] == "30m"


def test_wish_11_streams_tell_their_tokens_and_speed(chat_server: LocalServer) -> None:
    chunks = list(ChatVessel(base_url=chat_server.base_url).stream("Hello."))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] > 0
    assert whole.response_metadata["timings"]["first_token_ms"] > 0
    streamed: Any = Vessel(base_url=chat_server.base_url).stream_complete("Hello.")
    *_, last = streamed
    assert last.additional_kwargs["completion_tokens"] > 0
    timings = Client("llamacpp", base_url=chat_server.base_url).chat([{"role": "user", "content": "Hello."}]).timings
    assert timings is not None
    assert timings.tokens_per_second is not None


def test_wish_12_one_event_loop_after_another(chat_server: LocalServer) -> None:
    chat, llm = ChatVessel(base_url=chat_server.base_url), Vessel(base_url=chat_server.base_url)
    for _ in range(3):
        assert asyncio.run(chat.ainvoke("Hello.")).text
        assert str(asyncio.run(llm.acomplete("Hello.")))
        assert chat.invoke("Hello.").text


def test_wish_13_a_stop_stops_the_server() -> None:
    piece = b'data: {"choices": [{"index": 0, "delta": {"content": "la "}}]}\n\n'
    with openai_server(Response.stream(piece, threading.Event())) as server:
        stream: Any = ChatVessel(backend="openai", base_url=server.base_url, model="demo").stream("Sing.")
        next(stream)
        stream.close()
        assert server.disconnected.wait(5)
    with openai_server(Response.stream(piece, threading.Event())) as server:
        answers: Any = Vessel(backend="openai", base_url=server.base_url, model="demo").stream_complete("Sing.")
        next(answers)
        answers.close()
        assert server.disconnected.wait(5)


def test_wish_14_keys_go_to_their_host_and_another_host_takes_over(keyed_server: LocalServer) -> None:
    assert ChatVessel(base_url=keyed_server.base_url, api_key=SecretStr(KEY)).invoke("Hello.").text
    with llamacpp_server(TEXT) as one, llamacpp_server(TEXT) as other:
        chat = ChatVessel(backend="llamacpp", base_url=[one.base_url, other.base_url])
        assert chat.invoke("Hello.").text == "Hello"
        one.close()
        assert [chat.invoke("Hello.").text for _ in range(4)] == ["Hello"] * 4


def test_wish_15_batches_have_a_limit_and_a_busy_server_is_asked_again() -> None:
    running, most, lock, pair = 0, 0, threading.Lock(), threading.Barrier(2)

    def counting(_: Request) -> Response:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        pair.wait(10)  # so that two are really there at once
        with lock:
            running -= 1
        return Response.stream(TEXT)

    with llamacpp_server(counting) as server:
        chat = ChatVessel(backend="llamacpp", base_url=server.base_url)
        answers = asyncio.run(chat.abatch(["Hello."] * 6, {"max_concurrency": 2}))
    assert (len(answers), most) == (6, 2)
    with llamacpp_server(routes={("POST", "/v1/chat/completions"): [BUSY, Response.stream(TEXT)]}) as server:
        assert ChatVessel(backend="llamacpp", base_url=server.base_url).invoke("Hello.").text == "Hello"
        assert len(server.asked("/v1/chat/completions")) == 2
