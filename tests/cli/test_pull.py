"""`vessel pull`, as a person or a script calls it."""

from __future__ import annotations

import json

from vessel_core.local import LocalServer

from tests.cli.running import run
from tests.fake_server import FakeServer, Response


def test_pull_shows_each_step_and_what_goes_wrong() -> None:
    lines = [
        {"status": "pulling manifest"},
        {"status": "pulling 6a0746a1ec1a", "digest": "sha256:6a", "total": 2000, "completed": 1000},
        {"error": "the registry is closed"},
    ]
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    with FakeServer(
        {("POST", "/api/pull"): Response(headers={"Content-Type": "application/x-ndjson"}, body=body)}
    ) as server:
        result = run("pull", "qwen3", "--backend", "ollama", "--url", server.base_url)
    assert result.exit_code == 1
    assert "the registry is closed" in result.output
    assert server.asked("/api/pull")[0].json() == {"model": "qwen3", "stream": True}


def test_in_a_pipe_pull_says_that_it_is_done_and_no_more() -> None:
    body = b'{"status": "pulling manifest"}\n{"status": "success"}\n'
    done = Response(headers={"Content-Type": "application/x-ndjson"}, body=body)
    with FakeServer({("POST", "/api/pull"): done}) as server:
        result = run("pull", "qwen3", "--backend", "ollama", "--url", server.base_url)
    assert (result.exit_code, result.stdout) == (0, "✓ pull qwen3\n")


def test_pull_on_a_server_that_cannot_says_so(chat_server: LocalServer) -> None:
    result = run("pull", "qwen3", "--url", chat_server.base_url)
    assert result.exit_code == 1
    assert "llama.cpp can't fetch a model" in result.output
