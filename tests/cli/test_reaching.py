"""What the commands do with a server that takes a connection and says nothing: they wait no longer than for a look."""

from __future__ import annotations

import threading

import pytest
from vessel_core.types import Timeout

from tests.cli.running import run
from tests.fake_server import FakeServer, Response, Routes, llamacpp_server, transcript

COMMANDS = [
    ["models"],
    ["chat", "Hi.", "-m", "m"],
    ["embed", "a fox", "-m", "m"],
    ["load", "m"],
    ["unload", "m"],
    ["pull", "m"],
]


@pytest.mark.parametrize("backend", ["auto", "ollama"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_named_server_that_hangs_is_waited_for_no_longer_than_a_look_takes(
    command: list[str], backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vessel_core.cli.reaching.LOOK", Timeout(request=0.2))
    silent = threading.Event()
    with FakeServer(otherwise=Response(wait=silent)) as server:
        result = run(*command, "-b", backend, "-u", server.base_url)
        assert len(server.requests) == 1
        silent.set()
    assert result.exit_code == 1
    assert "No answer in time." in result.stderr
    assert server.base_url in result.stderr
    assert "Is it busy, or stuck? See its log." in result.stderr


def test_a_model_that_loads_is_waited_for_once_the_server_was_heard() -> None:
    loading = Response.json(
        {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}, status=503
    )
    answer = Response.stream(transcript("llamacpp/text.sse"))
    routes: Routes = {
        ("GET", "/v1/models"): loading,
        ("GET", "/health"): [loading, Response.json({"status": "ok"})],
        ("POST", "/v1/chat/completions"): [loading, answer],
    }
    with llamacpp_server(routes=routes) as server:
        result = run("chat", "Hi.", "-b", "llamacpp", "-m", "m", "-u", server.base_url)
    assert (result.exit_code, result.stdout) == (0, "Hello\n")
    assert len(server.asked("/health")) == 2


def test_a_server_that_refuses_to_list_its_models_was_heard() -> None:
    listing = Response.json({"error": {"message": "no list"}}, status=403)
    routes: Routes = {
        ("GET", "/v1/models"): listing,
        ("POST", "/v1/chat/completions"): Response.stream(transcript("llamacpp/text.sse")),
    }
    with FakeServer(routes) as server:
        result = run("chat", "Hi.", "-b", "openai", "-m", "m", "-u", server.base_url)
    assert (result.exit_code, result.stdout) == (0, "Hello\n")
