"""`vessel models`, as a person or a script calls it."""

from __future__ import annotations

import json
import threading
from functools import partial

import pytest
from vessel_core.discovery import look_around
from vessel_core.local import LocalServer

from tests.cli.running import run
from tests.fake_server import FakeServer, Response

BAD = {"OLLAMA_URL": "ftp://user:secret@foo"}


def test_a_variable_that_holds_no_url_hides_no_other_server(chat_server: LocalServer) -> None:
    env = {"LLAMACPP_URL": chat_server.base_url, **BAD}
    examined, listed = run("doctor", "--no-check", env=env), run("models", env=env)
    assert (examined.exit_code, listed.exit_code) == (0, 0)
    assert "✗ Ollama  (OLLAMA_URL)  OLLAMA_URL='ftp://" in examined.output
    assert "✓ llama.cpp" in examined.output
    assert "demo-chat" in listed.stdout
    assert "OLLAMA_URL='ftp://" in listed.stderr
    assert "secret" not in examined.output + listed.output


def test_without_any_server_a_variable_that_holds_no_url_is_named() -> None:
    result = run("models", env=BAD)
    assert result.exit_code == 1
    assert "(OLLAMA_URL): OLLAMA_URL='ftp://" in result.output


@pytest.mark.parametrize("key", ["", "another-key"])
def test_models_says_of_a_server_that_is_found_that_it_wants_a_key(key: str, keyed_server: LocalServer) -> None:
    result = run("models", env={"LLAMACPP_URL": keyed_server.base_url, "VESSEL_API_KEY": key})
    assert f"{keyed_server.base_url} (LLAMACPP_URL): The key is missing or wrong" in result.stderr


def test_certificates_that_are_not_there_are_said_in_two_lines() -> None:
    result = run("models", "--url", "https://127.0.0.1:9", env={"SSL_CERT_FILE": "/nowhere.pem"})
    assert result.exit_code == 1
    assert "The CA certificates can't be read: [Errno 2] No such file or directory." in result.stderr
    assert "SSL_CERT_FILE" in result.stderr


def test_models_lists_what_is_there(chat_server: LocalServer) -> None:
    result = run("models", "--url", chat_server.base_url)
    assert result.exit_code == 0
    assert "demo-chat" in result.output
    assert "tools, vision" in result.output


@pytest.mark.parametrize("named", [True, False], ids=["named", "found"])
def test_models_as_json_are_a_list_of_servers(chat_server: LocalServer, named: bool) -> None:
    url = chat_server.base_url
    result = run("models", "--json", "--url", url) if named else run("models", "--json", env={"LLAMACPP_URL": url})
    (server, *down) = json.loads(result.stdout)
    assert not any(one["connected"] for one in down)
    assert (server["backend"], server["base_url"]) == ("llamacpp", url)
    (model,) = server["models"]
    assert (model["id"], model["kind"], model["capabilities"]["tools"]) == ("demo-chat", "chat", True)


def test_models_without_a_server_fails_with_the_addresses() -> None:
    result = run("models")
    assert result.exit_code == 1
    assert "http://127.0.0.1:9" in result.output


def test_models_tells_of_a_server_that_a_variable_names_and_that_is_down_or_hangs(
    chat_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vessel_core.cli.models_shown.look_around", partial(look_around, 0.5))
    silent = threading.Event()
    with FakeServer(otherwise=Response(wait=silent)) as hanging:
        env = {"LLAMACPP_URL": chat_server.base_url, "OLLAMA_URL": hanging.base_url}
        shown, as_json = run("models", env=env), run("models", "--json", env=env)
        silent.set()
    assert (shown.exit_code, as_json.exit_code) == (0, 0)
    assert "demo-chat" in shown.stdout
    assert hanging.base_url not in shown.stdout
    assert f"{hanging.base_url} (OLLAMA_URL): No answer within 0.5 s." in shown.stderr
    assert "http://127.0.0.1:9 (LMSTUDIO_URL): Nothing listens there" in shown.stderr
    servers = {
        one["source"]: (one["connected"], one["error"], len(one["models"])) for one in json.loads(as_json.stdout)
    }
    assert list(servers) == ["LLAMACPP_URL", "LMSTUDIO_URL", "OLLAMA_URL"]
    assert servers["LLAMACPP_URL"] == (True, None, 1)
    assert servers["OLLAMA_URL"] == (False, "No answer within 0.5 s.", 0)
