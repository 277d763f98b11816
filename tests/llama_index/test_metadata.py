"""What is known of the model: asked for when it is read, learnt with the first answer, never sent back."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.base.llms.types import ChatMessage, LLMMetadata
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.llms.vessel import Vessel, knowledge
from vessel_core import Timeout
from vessel_core.errors import ModelNotFound, ServerUnreachable
from vessel_core.local import LocalServer

from tests.fake_server import FakeServer, Response, llamacpp_server, lmstudio_server, ollama_server
from tests.llama_index.conformance.answers import answer
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


def test_the_metadata_itself_makes_no_request() -> None:
    with llamacpp_server(answer("Hello"), n_ctx=2048) as server:
        llm = Vessel(backend="llamacpp", base_url=server.base_url)
        metadata = llm.metadata
        assert (metadata.is_chat_model, metadata.num_output, metadata.model_name) == (True, 256, "unknown")
        assert llm.to_payload()["context_window"] == 4096
        assert metadata == llm.metadata
        assert server.requests == []
        assert metadata.context_window == 2048  # read, in code that may wait
        asked = len(server.requests)
        assert (metadata.context_window, metadata.is_function_calling_model) == (2048, True)
        assert (llm.metadata.context_window, llm.to_payload()["context_window"]) == (2048, 2048)
        assert len(server.requests) == asked
        llm.close()


@pytest.mark.parametrize("show", [str, repr, LLMMetadata.model_dump, LLMMetadata.model_dump_json])
def test_what_is_printed_and_dumped_is_what_is_read(show: Callable[[LLMMetadata], object]) -> None:
    with llamacpp_server(answer("Hello"), n_ctx=2048) as server:
        llm = Vessel(backend="llamacpp", base_url=server.base_url)
        assert "2048" in str(show(llm.metadata))
        llm.close()


@pytest.mark.usefixtures("nothing_left_open")
def test_what_is_built_before_the_first_answer_has_the_real_window(small_context_server: LocalServer) -> None:
    index: Any = VectorStoreIndex(nodes=[], embed_model=MockEmbedding(2))

    def made() -> Vessel:
        return Vessel(backend="llamacpp", base_url=small_context_server.base_url)

    engine = index.as_query_engine(llm=made())
    assert engine._response_synthesizer._prompt_helper.context_window == 1024
    chat_engine = index.as_chat_engine(chat_mode="condense_plus_context", llm=made())
    assert chat_engine._memory.token_limit == 1024 - 256
    memory: Any = ChatMemoryBuffer
    assert memory.from_defaults(llm=made()).token_limit == 768


def test_the_window_of_minus_one_of_ollamas_class_is_asked_for(small_context_server: LocalServer) -> None:
    llm = Vessel(backend="llamacpp", base_url=small_context_server.base_url, context_window=-1)
    assert llm.metadata.context_window == 1024
    llm.close()


def test_a_given_window_is_not_asked_for() -> None:
    with llamacpp_server(answer("Hello"), n_ctx=2048) as server:
        llm = Vessel(base_url=server.base_url, context_window=8192, is_function_calling_model=True)
        assert (llm.metadata.context_window, llm.metadata.is_function_calling_model) == (8192, True)
        assert server.requests == []
        llm.backend, llm.model = "llamacpp", "plain.gguf"
        llm.complete("Hello")
        assert [request.path for request in server.requests] == ["/v1/chat/completions"]
        llm.close()


async def test_in_an_event_loop_nothing_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    with llamacpp_server(answer("Hello"), n_ctx=2048) as server:
        llm = Vessel(backend="llamacpp", base_url=server.base_url)
        assert [llm.metadata.context_window for _ in range(2)] == [4096, 4096]
        assert llm.metadata.is_function_calling_model
        assert server.requests == []
        (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert "4096" in warning.message
        assert "await aconnect()" in warning.message
        assert "Memories" in warning.message
        await llm.aconnect()
        assert llm.metadata.context_window == 2048
        await llm.aclose()


async def test_a_notebooks_loop_is_none_that_others_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython

    monkeypatch.setattr(IPython, "get_ipython", object)
    with llamacpp_server(answer("Hello"), n_ctx=2048) as server:
        llm = Vessel(backend="llamacpp", base_url=server.base_url)
        assert llm.metadata.context_window == 2048
        llm.close()


def test_a_server_that_is_not_there_is_asked_once_and_told_of(caplog: pytest.LogCaptureFixture) -> None:
    llm = Vessel(backend="llamacpp", base_url="http://127.0.0.1:9")
    with caplog.at_level(logging.INFO, "vessel_core"):
        assert [llm.metadata.context_window for _ in range(2)] == [4096, 4096]
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]
    assert "context_window=" in caplog.text


def hanging() -> Any:
    return {("GET", path): Response.stream(threading.Event()) for path in ("/props", "/v1/models")}


def test_a_server_that_does_not_say_it_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowledge, "BRIEF", Timeout(connect=1, request=0.1, load=0))
    with llamacpp_server(answer("Hello", " there."), routes=hanging()) as server:
        llm = Vessel(backend="llamacpp", base_url=server.base_url, model="plain.gguf")
        assert llm.metadata.context_window == 4096
        assert llm.complete("Hello").text == "Hello there."
        assert asyncio.run(asking(llm)) == "Hello there."
        llm.close()


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(("options", "times"), [({}, 2), ({"context_window": 8192}, 1)])
def test_a_server_that_never_says_it_makes_no_later_answer_late(
    options: dict[str, Any], times: int, asynchronous: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knowledge, "BRIEF", Timeout(connect=1, request=0.1, load=0))
    with scripted(answer("Hello", " there."), **options) as (llm, server):
        server.routes["GET", "/v1/models"] = Response.stream(threading.Event())
        for _ in range(4):
            assert asyncio.run(asking(llm)) if asynchronous else llm.complete("Hello")
        assert len(server.asked("/v1/models")) == times
        assert llm.metadata.context_window == options.get("context_window", 4096)


def test_a_given_window_is_not_asked_for_again_where_other_things_were_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(knowledge, "BRIEF", Timeout(connect=1, request=0.1, load=0))
    with scripted(answer("Hello"), context_window=8192) as (llm, server):
        server.routes["GET", "/v1/models"] = Response.stream(threading.Event())
        assert llm.metadata.is_function_calling_model
        llm.chat(HELLO)
        assert len(server.asked("/v1/models")) == 1


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_what_one_call_made_ollama_allocate_is_the_window_of_those_after_it(asynchronous: bool) -> None:
    with ollama() as server:
        llm = Vessel(backend="ollama", base_url=server.base_url, model="qwen3:8b")
        for options in ({"num_ctx": 2048}, {}):
            await (llm.achat(HELLO, **options) if asynchronous else asyncio.to_thread(llm.chat, HELLO, **options))
            assert server.asked("/api/chat")[-1].json()["options"] == {"num_ctx": 2048}
            assert llm.metadata.context_window == llm.to_payload()["context_window"] == 2048
        llm.num_ctx = 1024
        assert llm.metadata.context_window == 1024
        await llm.aclose()
        llm.close()


def test_what_was_not_loaded_yet_is_asked_for_again_behind_the_first_answer() -> None:
    with ollama() as server:
        loaded, none = server.routes["GET", "/api/ps"], Response.json({"models": []})
        for asynchronous in (False, True):
            server.routes["GET", "/api/ps"] = none
            llm = Vessel(backend="ollama", base_url=server.base_url, model="qwen3:8b")
            assert llm.metadata.context_window == 4096
            server.routes["GET", "/api/ps"] = loaded
            assert llm.to_payload()["context_window"] == 4096
            assert asyncio.run(asking(llm)) if asynchronous else llm.complete("Hello")
            assert llm.to_payload()["context_window"] == 4321
            llm.close()


async def test_of_many_first_calls_at_once_one_asks_and_the_others_hold_no_place_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Vessel] = []

    async def note(llm: Vessel) -> None:
        asked.append(llm)

    monkeypatch.setattr(Vessel, "_alook", note)
    with llamacpp_server(answer("Hello there."), n_ctx=2048) as server:
        llm = Vessel(backend="llamacpp", base_url=server.base_url, model="plain.gguf")
        await asyncio.gather(*(llm.achat(HELLO) for _ in range(20)))
        assert asked == [llm]
        await llm.aclose()


def test_what_ollama_is_made_to_allocate_is_the_window_up_to_what_the_model_takes() -> None:
    with ollama() as server:
        given: list[dict[str, Any]] = [{"num_ctx": 16384}, {"additional_kwargs": {"num_ctx": 16384}}]
        for options in given:
            llm = Vessel(backend="ollama", base_url=server.base_url, model="qwen3:8b", **options).connect()
            assert llm.metadata.context_window == 16384
            llm.num_ctx, llm.additional_kwargs = 10**6, {}
            assert llm.metadata.context_window == 40960
            llm.close()


def test_it_is_asked_for_once_and_behind_the_first_piece_of_an_answer() -> None:
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


async def asking(llm: Vessel) -> str | None:
    reply = await llm.achat(HELLO)
    await llm.aclose()
    return reply.message.content


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
        assert llm.metadata.context_window == 4096
        assert len(server.asked("/v1/models")) == 1
        assert "context_window=" in caplog.text


def test_connecting_raises_what_is_wrong() -> None:
    with pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1:9"):
        Vessel(backend="llamacpp", base_url="http://127.0.0.1:9").connect()


def test_another_model_is_another_context_window() -> None:
    with llamacpp_server(answer("Hello"), n_ctx=2048) as server:
        llm = Vessel(backend="llamacpp", base_url=server.base_url, model="plain.gguf").connect()
        llm.model = "other"
        assert llm.to_payload()["context_window"] == 4096
        assert llm.metadata.context_window == 2048
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
