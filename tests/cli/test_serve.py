"""`vessel serve`, as a person or a script calls it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from vessel_core.local import LocalServer

from tests.cli.running import run


def test_serve_serves_the_demo_model_until_it_is_stopped() -> None:
    command = [sys.executable, "-m", "vessel_core.cli", "serve", "--demo", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2]
        assert httpx.get(f"{url}/health", trust_env=False).json() == {"status": "ok"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}/health", trust_env=False)
    finally:
        process.kill()
        process.communicate()


def test_serve_serves_the_demo_model_that_is_named() -> None:
    command = [sys.executable, "-m", "vessel_core.cli", "serve", "--demo", "embedding", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2]
        assert len(json.loads(run("embed", "a fox", "--url", url).output)) == 256
        assert "demo-embedding" in run("models", "--url", url).output
    finally:
        process.terminate()
        process.communicate()


def test_serve_chooses_no_model_by_itself() -> None:
    result = run("serve", "--port", "0")
    assert result.exit_code == 1
    assert "Give a GGUF file, or --demo." in result.output


def test_serve_names_the_demo_models_there_are() -> None:
    result = run("serve", "--demo", "larger")
    assert result.exit_code == 1
    assert "There is no demo model 'larger'" in result.output
    assert "assistant" in result.output
    assert "embedding" in result.output


@pytest.mark.parametrize("option", [["--rerank"], ["--embeddings"], ["--mmproj", "mmproj.gguf"]], ids=" ".join)
def test_serve_refuses_for_a_demo_model_what_it_would_not_do(option: list[str]) -> None:
    result = run("serve", "--demo", "--port", "0", *option)
    assert result.exit_code == 1
    assert "each demo model has what it needs" in result.output


def test_serve_says_that_its_port_is_taken(chat_server: LocalServer) -> None:
    port = chat_server.base_url.rpartition(":")[2]
    result = run("serve", "--demo", "--port", port)
    assert result.exit_code == 1
    assert f"can't listen at 127.0.0.1:{port}" in result.output
    assert "GGUF" not in result.output


@pytest.mark.parametrize("host", ["", " "])
def test_serve_refuses_a_host_that_is_none(host: str) -> None:
    result = run("serve", "--demo", "--port", "0", "--host", host)
    assert result.exit_code == 1
    assert "host is empty." in result.stderr
    assert "0.0.0.0" in result.stderr


def test_serve_refuses_a_port_that_cannot_be() -> None:
    result = run("serve", "--demo", "--port", "99999")
    assert result.exit_code == 2
    assert "65535" in result.output


def test_serve_warns_where_everybody_may_use_the_server_and_says_how_it_is_reached(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vessel_core.cli", "serve", "--demo", "--port", "0", "--host", "0.0.0.0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:  # to its end: nothing is waited for that may not come
            said += line
            if "Serving at" in line:
                process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()
    assert "Everybody who reaches 0.0.0.0" in said
    assert "LLAMACPP_URL=http://127.0.0.1:" in said
    assert "LLAMACPP_URL=http://host.docker.internal:" in said
