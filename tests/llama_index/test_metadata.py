"""What is known of the model: without asking, learnt with the first answer, or asked for; never sent back."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.llms.vessel import Vessel
from vessel_core.errors import ModelNotFound, ServerUnreachable
from vessel_core.local import LocalServer

from tests.fake_server import FakeServer, Response, llamacpp_server, lmstudio_server, ollama_server
from tests.llama_index.answers import answer
from tests.llama_index.scripted import scripted, sent

HELLO = [ChatMessage("Hello")]
OLLAMA = (
    b'{"model":"qwen3:8b","message":{"role":"assistant","content":"Hi"},"done":false}\n'
    b'{"model":"qwen3:8b","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",'
    b'"prompt_eval_count":3,"eval_count":2,"total_duration":5,"prompt_eval_duration":2,"eval_duration":2}\n'
)


def test_it_is_sensible_before_anything_is_known_and_asks_nobody() -> None:
    llm = Vessel(backend="llamacpp", base_url="http://127.0.0.1:9")
    metadata = llm.metadata
    assert metadata.is_chat_model
    assert metadata.is_function_calling_model
    assert (metadata.context_window, metadata.num_output, metadata.model_name) == (4096, 256, "unknown")
    assert Vessel(model="a", max_tokens=9, num_ctx=2048).metadata.context_window == 2048
    assert Vessel(model="a", max_tokens=9, context_window=99, num_ctx=2048).metadata.context_window == 99
    assert Vessel(model="a", max_tokens=9).metadata.num_output == 9


def test_the_first_answer_tells_the_real_context_window(small_context_server: LocalServer) -> None:
    llm = Vessel(backend="llamacpp", base_url=small_context_server.base_url)
    llm.chat(HELLO)
    assert (llm.metadata.context_window, llm.metadata.model_name) == (1024, "demo-chat")
    llm.close()


async def test_connecting_tells_it_at_once(small_context_server: LocalServer) -> None:
    llm = Vessel(backend="llamacpp", base_url=small_context_server.base_url)
    assert (await asyncio.to_thread(llm.connect)) is llm
    assert llm.metadata.context_window == 1024
    memory: Any = ChatMemoryBuffer
    assert memory.from_defaults(llm=llm).token_limit == 768
    other = Vessel(backend="llamacpp", base_url=small_context_server.base_url)
    assert (await other.aconnect()).metadata.context_window == 1024
    await other.aclose()
    llm.close()


def test_it_is_asked_for_once_and_behind_the_first_answer() -> None:
    with llamacpp_server(answer("Hello"), n_ctx=2048) as server:
        llm = Vessel(backend="llamacpp", base_url=server.base_url, model="plain.gguf")
        stream = llm.stream_chat(HELLO)
        next(stream)
        assert [request.path for request in server.requests] == ["/v1/chat/completions"]
        list(stream)
        asked = len(server.requests)
        llm.chat(HELLO)
        asyncio.run(asking(llm))
        assert llm.metadata.context_window == 2048
        assert len(server.requests) == asked + 2
        llm.close()


async def asking(llm: Vessel) -> None:
    await llm.achat(HELLO)
    await llm.aclose()


def lm_studio() -> FakeServer:
    return lmstudio_server(answer("Hello"), models=["qwen3:8b"])


def ollama() -> FakeServer:
    return ollama_server(OLLAMA, context_length=4321)


@pytest.mark.parametrize(("made", "backend", "window"), [(lm_studio, "lmstudio", 4096), (ollama, "ollama", 4321)])
async def test_each_server_says_it_in_its_own_way(made: Any, backend: str, window: int) -> None:
    with made() as server:
        llm = Vessel(backend=backend, base_url=server.base_url, model="qwen3:8b")
        await llm.achat(HELLO)
        assert llm.metadata.context_window == window
        assert llm.metadata.is_function_calling_model
        await llm.aclose()


def test_the_context_window_is_never_sent_to_ollama() -> None:
    with ollama() as server:
        llm = Vessel(backend="ollama", base_url=server.base_url, model="qwen3:8b", context_window=8192)
        llm.connect().chat(HELLO)
        assert "num_ctx" not in str(server.asked("/api/chat")[0].json())
        llm.num_ctx = 2048
        llm.chat(HELLO)
        assert server.asked("/api/chat")[1].json()["options"] == {"num_ctx": 2048}
        llm.close()


def test_a_model_without_tools_says_so(no_tools_server: LocalServer) -> None:
    llm = Vessel(backend="llamacpp", base_url=no_tools_server.base_url).connect()
    assert llm.metadata.is_function_calling_model is False
    llm.is_function_calling_model = True
    assert llm.metadata.is_function_calling_model is True
    llm.close()


def test_a_server_that_tells_nothing_is_asked_once(caplog: pytest.LogCaptureFixture) -> None:
    routes = {("GET", "/v1/models"): Response.json({"detail": "Not Found"}, 404)}
    with scripted(answer("Hello")) as (llm, server):
        server.routes.update(routes)
        with caplog.at_level(logging.INFO, "vessel_core"):
            llm.chat(HELLO)
            llm.chat(HELLO)
        assert len(server.asked("/v1/models")) == 1
        assert "4096" in caplog.text
        assert llm.metadata.context_window == 4096


def test_connecting_raises_what_is_wrong() -> None:
    with pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1:9"):
        Vessel(backend="llamacpp", base_url="http://127.0.0.1:9").connect()


def test_another_model_is_another_context_window() -> None:
    with llamacpp_server(answer("Hello"), n_ctx=2048) as server:
        llm = Vessel(backend="llamacpp", base_url=server.base_url, model="plain.gguf").connect()
        llm.model = "other"
        assert llm.metadata.context_window == 4096
        llm.close()


def test_an_unknown_model_names_those_there_are() -> None:
    missing = Response.json({"error": "model 'qwen3:9b' not found"}, 404)
    with ollama_server(missing) as server:
        llm = Vessel(backend="ollama", base_url=server.base_url, model="qwen3:9b")
        with pytest.raises(ModelNotFound, match="qwen3:8b"):
            llm.chat(HELLO)
        llm.close()


def test_what_is_sent_is_the_model_that_was_named() -> None:
    with scripted(answer("Hello")) as (llm, server):
        llm.chat(HELLO, model="other")
        assert sent(server)["model"] == "other"
