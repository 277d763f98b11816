"""Models that are loaded: with which options, and until the one that was named is."""

from __future__ import annotations

from typing import Any

import pytest
from vessel_core.errors import InvalidRequest, ModelNotFound, Unsupported

from tests.core.driving import Connect
from tests.core.wire.play import HELLO
from tests.fake_server import FakeServer, Request, Response, Routes, lmstudio_server, ollama_server, transcript

LOADED = Response.json({"model": "qwen3:8b", "done": True, "done_reason": "load"})
NOTHING = Response.json({"models": []})


@pytest.mark.parametrize("name", ["temperature", "truncate", "draft_num_predict", "num_ctxx", "foo"])
def test_ollama_loads_no_model_with_what_is_no_option_of_the_runner(connect: Connect, name: str) -> None:
    with ollama_server(routes={("POST", "/api/chat"): LOADED}) as server:
        with pytest.raises(InvalidRequest, match=f"option '{name}'") as caught:
            list(connect("ollama", base_url=server.base_url).load("m", **{name: 1}))
        assert server.asked("/api/chat") == []
    assert "num_ctx" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("backend", "method", "option", "meant", "known"),
    [
        ("ollama", "pull", "insecrue", "insecure", "It takes insecure."),
        ("ollama", "create", "form_", "from_", "files, from_, license"),
        ("ollama", "create", "stream", "template", "quantize, system, template"),
        ("lmstudio", "load", "context_len", "context_length", "num_ctx, num_experts, offload_kv_cache_to_gpu"),
        ("lmstudio", "pull", "quantisation", "quantization", "It takes quantization."),
    ],
)
def test_what_a_server_is_not_known_to_take_is_refused_and_sent_where_one_insists(
    connect: Connect, backend: str, method: str, option: str, meant: str, known: str
) -> None:
    done = {"status": "completed"} if backend == "lmstudio" else {"status": "success"}
    with FakeServer(otherwise=Response.json(done)) as server:
        client = connect(backend, base_url=server.base_url)
        with pytest.raises(InvalidRequest, match=rf"with an option '{option.rstrip('_')}'") as caught:
            list(getattr(client, method)("m", **{option: 1}))
        assert server.requests == []
        list(getattr(client, method)("m", extra_body={option: 1}))
        (request,) = server.requests
    assert known in str(caught.value.hint)
    assert "extra_body" in str(caught.value.hint)
    assert (f"did you mean '{meant}'" in str(caught.value)) == (option != "stream")
    assert request.json() == {"model": "m", **({"stream": True} if backend == "ollama" else {}), option: 1}


def test_every_option_that_a_server_documents_is_sent(connect: Connect) -> None:
    done = Response.json({"status": "success"})
    with FakeServer(otherwise=done) as server:
        client = connect("ollama", base_url=server.base_url)
        list(
            client.create("m", from_="a", system="Be brief.", parameters={"seed": 1}, quantize="q4_K_M", license="MIT")
        )
        list(client.pull("m", insecure=True))
        made, pulled = (request.json() for request in server.requests)
    assert made.keys() == {"model", "stream", "from", "system", "parameters", "quantize", "license"}
    assert pulled["insecure"] is True


def test_what_goes_into_the_body_of_a_load_as_it_is(connect: Connect) -> None:
    with ollama_server(routes={("POST", "/api/chat"): LOADED}) as server:
        client = connect("ollama", base_url=server.base_url)
        list(client.load("m", num_ctx=8192, extra_body={"options": {"low_vram": True}}))
        (sent,) = server.asked("/api/chat")
        with pytest.raises(InvalidRequest, match="extra_body is a list"):
            list(client.load("m", extra_body=[]))
    assert sent.json()["options"] == {"num_ctx": 8192, "low_vram": True}


def test_ollama_is_told_of_shift_where_a_chat_tells_it_too(connect: Connect) -> None:
    def chat(request: Request) -> Response:
        if request.json()["messages"]:
            return Response.stream(transcript("ollama/text.ndjson"), content_type="application/x-ndjson")
        return LOADED

    with ollama_server(routes={("POST", "/api/chat"): chat}) as server:
        client = connect("ollama", base_url=server.base_url, model="m")
        list(client.load("m", shift=False, num_ctx=8192, keep_alive=None))
        client.chat([HELLO])
        sent: list[dict[str, Any]] = [request.json() for request in server.asked("/api/chat")]
    assert [(body["shift"], body["options"]) for body in sent] == [(False, {"num_ctx": 8192})] * 2
    assert "keep_alive" not in sent[0]


def test_ollama_is_ready_once_the_named_model_is_loaded(connect: Connect) -> None:
    routes: Routes = {("GET", "/api/ps"): NOTHING, ("POST", "/api/chat"): LOADED}
    with ollama_server(routes=routes) as server:
        client = connect("ollama", base_url=server.base_url, model="qwen3:8b")
        assert [step.status for step in client.wait_until_ready(5)] == ["loading", "loaded", "ready"]
        assert [request.json()["model"] for request in server.asked("/api/chat")] == ["qwen3:8b"]
    with ollama_server() as server:  # it is loaded, and no model is named
        for model in ("qwen3:8b", None):
            client = connect("ollama", base_url=server.base_url, model=model)
            assert [step.status for step in client.wait_until_ready(5)] == ["ready"]
        assert server.asked("/api/chat") == []


def test_a_model_that_is_not_there_is_never_ready(connect: Connect) -> None:
    missing = Response.json({"error": "model 'nope' not found"}, 404)
    with ollama_server(routes={("POST", "/api/chat"): missing}) as server, pytest.raises(ModelNotFound, match="nope"):
        list(connect("ollama", base_url=server.base_url, model="nope").wait_until_ready(5))


def test_lm_studio_is_ready_once_the_named_model_is_loaded(connect: Connect) -> None:
    loaded = Response.json({"type": "embedding", "status": "loaded", "load_time_seconds": 2.5})
    with lmstudio_server(embedding_models=["e"], routes={("POST", "/api/v1/models/load"): loaded}) as server:
        client = connect("lmstudio", base_url=server.base_url, model="e")
        assert [step.status for step in client.wait_until_ready(5)] == ["loading", "loaded in 2.5 s", "ready"]
        client = connect("lmstudio", base_url=server.base_url, model="google/gemma-4-26b-a4b")
        assert [step.status for step in client.wait_until_ready(5)] == ["ready"]
    with lmstudio_server(embedding_models=["e"]) as server, pytest.raises(Unsupported, match="`lms load`"):
        list(connect("lmstudio", base_url=server.base_url, model="e").wait_until_ready(5))


def test_a_model_of_ollamas_that_hears_is_not_said_to(connect: Connect) -> None:
    with ollama_server(capabilities=("completion", "audio")) as server:
        assert connect("ollama", base_url=server.base_url, model="qwen3:8b").capabilities().audio is False
