"""Every server of the table goes through the same turns, each with its own bytes; a new one is one short file."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from vessel_core import backends as registry
from vessel_core.backends import BACKENDS, Backend, find_backend
from vessel_core.errors import ProtocolError
from vessel_core.types import ChatReply, ResponseFormat

from tests.core.driving import Connect
from tests.core.wire.play import HELLO, WEATHER
from tests.fake_server import (
    NDJSON,
    TRANSCRIPTS,
    FakeServer,
    Response,
    llamacpp_server,
    lmstudio_server,
    ollama_server,
    openai_server,
    transcript,
)

TEXT: dict[str, str] = {
    "llamacpp": "llamacpp/reasoning.sse",
    "lmstudio": "lmstudio/text.sse",
    "ollama": "ollama/text.ndjson",
    "vllm": "vllm/reasoning_tool.sse",
    "sglang": "sglang/two_finishes.sse",
    "localai": "localai/error.sse",
    "koboldcpp": "koboldcpp/crlf.sse",
    "tabbyapi": "tabbyapi/reasoning.sse",
    "textgen": "textgen/calls_with_finish.sse",
    "llamaswap": "llamaswap/loading.sse",
    "llamafile": "llamafile/text.sse",
    "mlx": "mlx/keepalive.sse",
    "litellm": "litellm/changing_ids.sse",
    "openai": "llamacpp/text.sse",
}
"""A transcript of each server's own."""
TURNS = [backend for backend in BACKENDS if backend.name != "localai"]
EVERY = pytest.mark.parametrize("backend", TURNS, ids=lambda backend: backend.name)


def server_of(backend: Backend, chat: bytes | Response) -> FakeServer:
    made = {"llamacpp": llamacpp_server, "lmstudio": lmstudio_server, "ollama": ollama_server}
    return made.get(backend.name, openai_server)(chat)


def turn(connect: Connect, backend: Backend, chat: bytes | Response, **fields: Any) -> tuple[ChatReply, dict[str, Any]]:
    with server_of(backend, chat) as server:
        reply = connect(backend.name, base_url=server.base_url, model="demo").chat([HELLO], **fields)
        path = "/api/chat" if backend.name == "ollama" else "/v1/chat/completions"
        return reply, server.asked(path)[-1].json()


def test_every_server_has_a_transcript_of_its_own() -> None:
    assert set(TEXT) == {backend.name for backend in BACKENDS}
    assert all((TRANSCRIPTS / name).is_file() for name in TEXT.values())
    assert all(name.startswith(server) for server, name in TEXT.items() if server != "openai")


@EVERY
def test_a_turn_ends_and_says_something(connect: Connect, backend: Backend) -> None:
    reply, _ = turn(connect, backend, transcript(TEXT[backend.name]), tools=[WEATHER])
    assert reply.finish in ("stop", "tool_calls")
    assert bool(reply.text) != bool(reply.tool_calls)
    assert all(json.loads(call["function"]["arguments"]) for call in reply.tool_calls)


@EVERY
def test_a_stream_that_is_cut_is_never_a_whole_answer(connect: Connect, backend: Backend) -> None:
    data = transcript(TEXT[backend.name])
    content_type = NDJSON if backend.name == "ollama" else "text/event-stream"
    cut = Response(headers={"content-type": content_type}, pieces=[data[: len(data) // 4]], cut="fin")
    with server_of(backend, cut) as server:
        client = connect(backend.name, base_url=server.base_url, model="demo", max_retries=0)
        with pytest.raises(ProtocolError):
            client.chat([HELLO])


@EVERY
def test_the_body_has_no_null_and_the_choice_is_a_word(connect: Connect, backend: Backend) -> None:
    form: ResponseFormat = {"type": "json_object"}
    call: Any = {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
    history: Any = [
        HELLO,
        {"role": "assistant", "content": None, "reasoning": "hm", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "sunny"},
    ]
    for fields in ({"tools": [WEATHER], "tool_choice": "required"}, {"response_format": form}, {"temperature": None}):
        with server_of(backend, transcript(TEXT[backend.name])) as server:
            deltas = connect(backend.name, base_url=server.base_url, model="demo").stream(history, **fields)  # pyright: ignore[reportArgumentType]
            next(deltas)
            deltas.close()
            body = server.requests[-1].json()
        assert "null" not in json.dumps(body)
        assert isinstance(body.get("tool_choice", ""), str)
        field = backend.quirks.reasoning_field
        assert field is None or body["messages"][1][field] == "hm"


@EVERY
def test_models_are_listed_and_described(connect: Connect, backend: Backend) -> None:
    with server_of(backend, b"") as server:
        client = connect(backend.name, base_url=server.base_url)
        (model,) = client.models()
        assert client.model_info().id == model.id
        assert repr(backend) == f"Backend({backend.name!r})"


HEALTH: dict[str, tuple[str, bytes]] = {
    "vllm": ("/health", b""),
    "sglang": ("/health", b""),
    "llamaswap": ("/health", b"OK"),
    "localai": ("/readyz", b"OK"),
    "tabbyapi": ("/health", b'{"status":"healthy","issues":[]}'),
    "litellm": ("/health/liveliness", b'"I\'m alive!"'),
    "mlx": ("/health", b'{"status": "ok"}'),
}
"""What a server that is well answers, where it is not its list of models or its version."""


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_a_server_that_is_well_is_healthy_whatever_it_says(connect: Connect, backend: Backend) -> None:
    path, body = HEALTH.get(backend.name, (backend.health, b""))
    assert path == backend.health
    with server_of(backend, b"") as server:
        if backend.name in HEALTH or ("GET", path) not in server.routes:
            server.routes["GET", path] = Response(headers={"content-type": "text/plain"}, body=body)
        client = connect(backend.name, base_url=server.base_url)
        assert client.health() is True
        assert [one.status for one in client.wait_until_ready(1)] == ["ready"]
        server.routes["GET", path] = Response.json({"error": "Unexpected endpoint or method."})
        assert client.health() is False
        server.routes["GET", path] = Response(body=b"<html>Log in</html>", headers={"content-type": "text/html"})
        assert client.health() is False


def test_every_name_and_alias_is_of_one_server() -> None:
    spellings = [name for backend in BACKENDS for name in (backend.name, *backend.aliases)]
    assert all(sum(find_backend(other) is find_backend(name) for other in spellings) >= 1 for name in spellings)
    assert all(find_backend(name) is backend for backend in BACKENDS for name in (backend.name, *backend.aliases))


# -------------------------------------------------------------------------------------------------- one server more

NEW = '''
"""Acme's server."""

from vessel_core.backends.base import Backend, Evidence, owners
from vessel_core.backends.compatible import model, models, version
from vessel_core.wire import Quirks, openai


def recognises(evidence: Evidence) -> bool:
    """Its name in the model list."""
    return "acme" in owners(evidence)


BACKEND = Backend(
    name="acme",
    title="Acme",
    aliases=("acme-server",),
    env="ACME_URL",
    urls=("http://localhost:9999",),
    dialect=openai,
    quirks=Quirks(reasoning_field="reasoning", thinking="template"),
    models=models,
    model=model,
    version=version,
    recognises=recognises,
    start="acme serve",
)
'''


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Write the file, and put the row into the table, as whoever adds a server does."""
    file = tmp_path / "acme.py"
    file.write_text(NEW, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("acme", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    backend: Backend = module.BACKEND
    with_it = (backend, *BACKENDS)
    for name, loaded in list(sys.modules.items()):
        if name.startswith("vessel_core.") and getattr(loaded, "BACKENDS", None) is BACKENDS:
            monkeypatch.setattr(loaded, "BACKENDS", with_it)
    assert registry.BACKENDS is with_it
    return backend


def test_a_server_that_is_added_is_chosen_by_name_found_and_recognised(
    connect: Connect, acme: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(NEW.strip().splitlines()) < 40
    with openai_server(transcript("llamacpp/reasoning.sse"), owned_by="acme") as server:
        for client in (
            connect("acme-server", base_url=server.base_url),
            connect("auto", base_url=server.base_url),
        ):
            reply = client.chat([{"role": "assistant", "content": "Hi", "reasoning": "hm"}, HELLO], reasoning=True)
            assert (reply.text, reply.reasoning, client.info().backend) == ("The", "Okay", "acme")
        monkeypatch.setenv("ACME_URL", server.base_url)
        assert connect("acme").chat([HELLO]).text == "The"
        sent = server.asked("/v1/chat/completions")[0].json()
    assert sent["messages"][0]["reasoning"] == "hm"
    assert sent["chat_template_kwargs"] == {"enable_thinking": True}
