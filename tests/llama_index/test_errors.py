"""What goes wrong is said in Vessel's errors, through every layer of LlamaIndex, once."""

from __future__ import annotations

import asyncio
import pickle

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.llms.vessel import Vessel
from vessel_core.errors import (
    AuthFailed,
    BadRequest,
    ContextOverflow,
    NoServerFound,
    ServerUnreachable,
    StreamInterrupted,
)
from vessel_core.local import LocalServer

from tests.fake_server import Response
from tests.llama_index.conformance.answers import answer, event
from tests.llama_index.scripted import in_turn, scripted
from tests.servers import KEY

HELLO = [ChatMessage("Hello")]


def test_a_key_is_wanted_and_taken(keyed_server: LocalServer) -> None:
    with pytest.raises(AuthFailed, match="llama"):
        Vessel(backend="llamacpp", base_url=keyed_server.base_url).chat(HELLO)
    llm = Vessel(backend="llamacpp", base_url=keyed_server.base_url, api_key=KEY)
    assert llm.chat(HELLO).message.content
    assert llm.metadata.context_window > 4096
    llm.close()


async def test_a_prompt_that_is_too_long_says_by_how_much(small_context_server: LocalServer) -> None:
    llm = Vessel(backend="llamacpp", base_url=small_context_server.base_url)
    with pytest.raises(ContextOverflow) as caught:
        await llm.achat([ChatMessage("bread and boats " * 3000)])
    assert caught.value.context_length == 1024
    assert (caught.value.prompt_tokens or 0) > 1024
    await llm.aclose()


def test_a_stream_that_breaks_keeps_what_had_come(broken_stream_server: LocalServer) -> None:
    cut = event({"content": "Hello"}) + event({"content": " the"})
    with scripted(cut) as (llm, _):
        with pytest.raises(StreamInterrupted) as caught:
            list(llm.stream_chat(HELLO))
        assert caught.value.partial is not None
        assert caught.value.partial.text == "Hello the"
        with pytest.raises(StreamInterrupted):
            llm.complete("Hello")
    llm = Vessel(backend="llamacpp", base_url=broken_stream_server.base_url)
    with pytest.raises(Exception, match=r"llama\.cpp at"):
        llm.chat(HELLO)
    llm.close()


def test_a_server_that_is_not_there_is_named_and_how_to_start_it() -> None:
    with pytest.raises(ServerUnreachable, match="ollama serve"):
        Vessel(backend="ollama", base_url="http://127.0.0.1:9", model="demo").complete("Hello")


def test_no_server_at_all_names_the_places_that_were_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OLLAMA_URL", "LLAMACPP_URL", "LMSTUDIO_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(NoServerFound, match="LMSTUDIO_URL"):
        Vessel().complete("Hello")


def test_there_is_one_layer_of_retries() -> None:
    with scripted(Response.json({"error": {"message": "bad", "code": 400}}, 400)) as (llm, server):
        with pytest.raises(BadRequest, match="bad") as caught:
            llm.chat(HELLO)
        assert len(server.asked("/v1/chat/completions")) == 1
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_model_that_is_still_loading_is_waited_for() -> None:
    loading = Response.json({"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}, 503)
    with scripted(answer("Hello")) as (llm, server):
        server.routes["POST", "/v1/chat/completions"] = [loading, Response.stream(answer("Hello"))]
        server.routes["GET", "/v1/models"] = Response.json({"data": []})
        assert llm.chat(HELLO).message.content == "Hello"
        assert len(server.asked("/v1/chat/completions")) == 2


async def test_an_error_reaches_async_callers_as_it_is() -> None:
    with scripted(in_turn(event({"content": "He"}))) as (llm, _):
        with pytest.raises(StreamInterrupted):
            await llm.achat(HELLO)
        stream = await llm.astream_chat(HELLO)
        assert (await anext(stream)).delta == "He"
        with pytest.raises(StreamInterrupted):
            await anext(stream)
        await llm.aclose()


def test_an_error_in_one_call_leaves_the_next_alone() -> None:
    with scripted(in_turn(event({"content": "He"}), answer("Hello"))) as (llm, _):
        with pytest.raises(StreamInterrupted):
            llm.chat(HELLO)
        assert llm.chat(HELLO).message.content == "Hello"
        assert asyncio.run(_asked(llm)) == "Hello"


async def _asked(llm: Vessel) -> str | None:
    response = await llm.achat(HELLO)
    await llm.aclose()
    return response.message.content
