"""`make demo`, as a program of its own: on the embedded server, on somebody's own, and on one that breaks."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from vessel_core.local import LocalServer

from tests.docs.test_pages import ROOT
from tests.fake_server import FakeServer, Request, Response, ollama_server

pytestmark = pytest.mark.timeout(300)

STEPS = (
    "streamed chat",
    "answer from these docs",
    "agent with a tool",
    "question about a picture",
    "structured output",
    "reasoning kept apart",
)
NOWHERE = "http://127.0.0.1:9"


def demo(**variables: str) -> subprocess.CompletedProcess[str]:
    """Run the demo without a terminal, with servers only where `variables` say."""
    nothing_runs = dict.fromkeys(("LLAMACPP_URL", "LMSTUDIO_URL", "OLLAMA_URL"), NOWHERE)
    environment = os.environ | nothing_runs | variables
    program = [sys.executable, ROOT / "docs/examples/demo.py"]
    return subprocess.run(program, capture_output=True, text=True, env=environment, encoding="utf-8")


def outcomes(output: str) -> dict[str, list[str]]:
    """What the summary says of each step, LangChain first."""
    summary = output[output.index("Summary") :]
    rows = {step: re.search(rf"(?m)^{re.escape(step)} +(.+)$", summary) for step in STEPS}
    return {step: re.findall(r"ok|missing|FAILED", row[1]) if row else [] for step, row in rows.items()}


def test_the_demo_builds_its_models_and_every_step_does_what_it_says(tmp_path: Path) -> None:
    with ollama_server(models=()) as empty:
        done = demo(VESSEL_CACHE_DIR=str(tmp_path), OLLAMA_URL=empty.base_url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert outcomes(done.stdout) == {step: ["ok", "ok"] for step in STEPS}
    assert done.stderr == ""
    assert len(re.findall(r"(?m)^ +0\.\d\d +docs/[\w-]+\.md: ", done.stdout)) == 6  # three passages in each framework
    for said in (
        f"{empty.base_url}: Ollama, without a model. Fetch one: ollama pull qwen3.",
        "starts the embedded one",
        "Building the demo model chat.gguf",
        "demo-assistant on llama.cpp",
        "demo-chat on llama.cpp",
        "demo-embedding on llama.cpp",
        "demo-thinking on llama.cpp",
        "get_weather('",
        "it saw green",
        "it saw blue",
        "Trip(city=",
        "Every step did what it says.",
    ):
        assert said in done.stdout
    assert "\x1b" not in done.stdout
    assert not re.search(r"[ \t]{200}", done.stdout)


def test_the_demo_uses_a_server_that_runs_and_says_what_it_is_not_made_for(no_tools_server: LocalServer) -> None:
    done = demo(LLAMACPP_URL=no_tools_server.base_url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"at {no_tools_server.base_url}" in done.stdout
    assert outcomes(done.stdout)["streamed chat"] == ["ok", "ok"]
    assert outcomes(done.stdout)["agent with a tool"] == ["missing", "missing"]
    assert "this server is not made for" in done.stdout


def test_what_a_server_that_runs_is_not_made_for_is_shown_with_embedded_models(
    assistant_server: LocalServer,
) -> None:
    done = demo(LLAMACPP_URL=assistant_server.base_url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert outcomes(done.stdout) == {step: ["ok", "ok"] for step in STEPS}
    assert "is shown with embedded models: pictures, passages, thoughts." in done.stdout
    assert re.search(rf"chat +demo-assistant on llama.cpp at {assistant_server.base_url}", done.stdout)


def test_a_server_that_thinks_shows_its_own_thoughts(thinking_server: LocalServer) -> None:
    done = demo(LLAMACPP_URL=thinking_server.base_url)
    assert re.search(rf"reasoning +demo-thinking on llama.cpp at {thinking_server.base_url}", done.stdout)
    assert outcomes(done.stdout)["reasoning kept apart"] == ["ok", "ok"]


def test_a_step_that_fails_shows_its_error_and_the_demo_ends_with_1(chat_server: LocalServer) -> None:
    """LangChain's picture is seen in the wrong colour, LlamaIndex's not at all."""
    with FakeServer(otherwise=seeing_badly(chat_server)) as broken:
        done = demo(LLAMACPP_URL=broken.base_url)
    assert done.returncode == 1, done.stdout + done.stderr
    assert outcomes(done.stdout) == {
        **{step: ["ok", "ok"] for step in STEPS},
        "question about a picture": ["FAILED", "FAILED"],
    }
    assert "The square is green; the answer names red." in done.stdout
    assert "the projector is broken" in done.stdout
    assert "2 of 12 steps failed." in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def forward(server: LocalServer, request: Request) -> Response:
    """Answer as the server does."""
    connection = http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=60)
    try:
        path = f"{request.path}?{request.query}" if request.query else request.path
        connection.request(request.method, path, request.body, {"content-type": "application/json"})
        answer = connection.getresponse()
        headers = {name: answer.headers[name] for name in ("content-type", "server") if name in answer.headers}
        return Response(answer.status, headers, answer.read())
    finally:
        connection.close()


def seeing_badly(server: LocalServer) -> Callable[[Request], Response]:
    """Answer as the server does, but take the first picture for a red one, and fail at the others."""
    seen = count()

    def answer(request: Request) -> Response:
        if b'"image_url":{' not in request.body:
            return forward(server, request)
        if next(seen):
            return Response.json({"error": {"code": 500, "message": "the projector is broken"}}, 500)
        true = forward(server, request)
        return replace(true, body=true.body.replace(b" green", b" red").replace(b" blue", b" red"))

    return answer
