"""`vessel doctor`, as a person or a script calls it."""

from __future__ import annotations

import _thread
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from vessel_core import Client, doctor
from vessel_core.checkup import FREE, WEATHER, Check, checkup
from vessel_core.diagnosis import Examined, traps
from vessel_core.discovery import PROBE_TIMEOUT, look_around
from vessel_core.local import LocalServer
from vessel_core.types import ModelInfo, ServerInfo, Timeout

from tests.cli.running import run
from tests.fake_server import FakeServer, Request, Response, llamacpp_server, openai_server
from tests.servers import KEY


def test_doctor_looks_twice_where_nobody_answers_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = threading.Event()

    def look(timeout: float = PROBE_TIMEOUT) -> list[ServerInfo]:
        found = look_around(timeout)
        busy.set()
        return found

    monkeypatch.setattr("vessel_core.diagnosis.PROBE", 0.1)
    monkeypatch.setattr("vessel_core.diagnosis.look_around", look)
    with llamacpp_server(routes={("GET", "/v1/models"): Response(wait=busy)}) as server:
        result = run("doctor", "--json", env={"LLAMACPP_URL": server.base_url})
    assert "No answer within 0.1 s" not in result.output
    assert sum(one["base_url"] == server.base_url for one in json.loads(result.output)["servers"]) == 1


def test_doctor_proves_what_a_server_can_do(chat_server: LocalServer) -> None:
    result = run("doctor", "--json", env={"LLAMACPP_URL": chat_server.base_url})
    report = json.loads(result.output)
    server = next(one for one in report["servers"] if one["connected"])
    works = {check["name"]: check["works"] for check in server["checks"]}
    assert result.exit_code == 0
    assert report["well"] is True
    assert server["backend"] == "llamacpp"
    (model,) = server["models"]
    assert (model["id"], model["state"], model["context_length"]) == ("demo-chat", "loaded", 8192)
    assert model["capabilities"]["tools"] is True
    assert server["advice"] == [
        "Not served here; llama-server has: --reranking.",
        "Its vectors are those of a chat model: to find passages, serve an embedding model.",
    ]
    assert works == {
        "stream": True,
        "tools": True,
        "forced tool": True,
        "schema": True,
        "vision": True,
        "reasoning": None,
        "embeddings": True,
        "rerank": False,
        "count tokens": True,
    }


def test_the_demo_assistant_is_held_to_a_call(assistant_server: LocalServer) -> None:
    with Client("llamacpp", base_url=assistant_server.base_url) as client:
        (forced,) = (check for check in checkup(client) if check.name == "forced tool")
        free = client.chat([{"role": "user", "content": FREE}], tools=[WEATHER])
    assert (forced.works, forced.detail) == (True, 'called get_weather({"city": "Paris"})')
    assert not free.tool_calls


def test_doctor_says_for_people_what_works(chat_server: LocalServer) -> None:
    result = run("doctor", env={"LLAMACPP_URL": chat_server.base_url})
    assert "✓ llama.cpp" in result.output
    assert "✓ stream" in result.output
    assert "✗ rerank" in result.output
    assert "✗ Ollama" in result.output


def test_a_report_in_a_file_is_whole(embedding_server: LocalServer) -> None:
    result = run("doctor", "--url", embedding_server.base_url, "--backend", "llamacpp")
    assert "…" not in result.output
    assert max(map(len, result.output.splitlines())) > 80


def test_doctor_waits_for_a_named_server_no_longer_than_a_look_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = threading.Event()
    monkeypatch.setattr("vessel_core.diagnosis.LOOK", Timeout(request=0.2))
    with FakeServer(otherwise=Response(wait=silent)) as server:
        result = run("doctor", "--url", server.base_url, "--backend", "openai")
        silent.set()
    assert result.exit_code == 1
    assert f"✗ OpenAI-compatible server  {server.base_url}  No answer in time" in result.output


def test_ctrl_c_ends_the_doctor_in_the_middle_of_a_check() -> None:
    tried, never = threading.Event(), threading.Event()

    def silent(_: Request) -> Response:
        tried.set()
        return Response(wait=never)

    with openai_server(silent, models=["m"]) as server:
        command = [sys.executable, "-m", "vessel_core.cli", "doctor", "-b", "openai", "-u", server.base_url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                assert tried.wait(30)
                process.send_signal(signal.SIGINT)
                assert process.wait(20) != 0
            finally:
                process.kill()
        assert len(server.asked("/v1/chat/completions")) == 1


def test_whoever_interrupts_the_doctor_in_a_program_waits_for_no_check_and_none_is_begun_after_it() -> None:
    first, more = threading.Event(), threading.Event()

    def answer(_: Request) -> Response:
        first.set()
        return Response(wait=more)

    def interrupt() -> None:
        first.wait(30)
        _thread.interrupt_main()

    with openai_server(answer, models=["m"]) as server:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            doctor("openai", base_url=server.base_url)
        (asked,) = server.asked("/v1/chat/completions")
        assert asked.disconnected.wait(30)  # the check that was under way has ended, here and there
        for examining in (one for one in threading.enumerate() if one.name == "vessel-doctor"):
            examining.join(30)
        assert server.asked("/v1/chat/completions") == [asked]


def test_what_is_tried_may_take_so_long_and_the_next_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vessel_core.diagnosis.TRY", Timeout(first_token=0.2, request=0.2))
    seen: list[str] = []
    never = threading.Event()
    with openai_server(Response(wait=never), models=["m"]) as server:
        report = doctor("openai", base_url=server.base_url, watch=lambda _, check: seen.append(check.name))
    (examined,) = report.servers
    assert examined.works["stream"] is examined.works["tools"] is None
    assert "in time" in examined.checks[0].detail
    assert seen == list(examined.works)


def test_doctor_without_a_server_says_how_to_start_one_and_fails() -> None:
    result = run("doctor")
    assert result.exit_code == 1
    assert "No server is usable" in result.output
    assert "ollama serve" in result.output
    assert "vessel serve --demo" in result.output


def test_doctor_shows_no_key(keyed_server: LocalServer) -> None:
    result = run("doctor", "--json", "--url", keyed_server.base_url, "--key", KEY)
    report = json.loads(result.output)
    assert report["well"] is True
    assert KEY not in result.output


@pytest.mark.parametrize("command", [["doctor", "--json"], ["models", "--json"]])
def test_a_server_that_is_found_gets_the_key_that_it_wants(command: list[str], keyed_server: LocalServer) -> None:
    result = run(*command, env={"LLAMACPP_URL": keyed_server.base_url, "VESSEL_API_KEY": KEY})
    said = json.loads(result.stdout)
    servers: list[dict[str, Any]] = said["servers"] if command[0] == "doctor" else said
    (server,) = [one for one in servers if one["connected"]]
    assert [model["id"] for model in server["models"]] == ["demo-chat"]
    assert (server["error"], server["source"]) == (None, "LLAMACPP_URL")


def test_doctor_says_in_a_terminal_what_can_be_done_there() -> None:
    with FakeServer(otherwise=Response.json({"error": {"message": "who are you?"}}, status=401)) as server:
        result = run("doctor", "-b", "openai", "-u", server.base_url, env={"OPENAI_BASE_URL": "http://box/v1"})
    assert "→ If it wants a key: --key or VESSEL_API_KEY." in result.output
    assert "give --url, or LLAMACPP_URL" in result.output
    assert "api_key" not in result.output


@pytest.mark.parametrize("check", ["--check", "--no-check"])
def test_doctor_fails_where_the_only_server_wants_a_key(check: str) -> None:
    with FakeServer(otherwise=Response.json({"error": {"message": "who are you?"}}, status=401)) as server:
        result = run("doctor", check, "--backend", "openai", "--url", server.base_url)
    assert result.exit_code == 1
    assert "No server is usable" in result.output


def test_doctor_names_a_proxy_without_its_address() -> None:
    (trap,) = traps({"HTTP_PROXY": "http://user:secret@proxy:3128"}, container=())
    assert "HTTP_PROXY" in trap
    assert "secret" not in trap


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"OLLAMA_HOST": "0.0.0.0"}, "127.0.0.1"),
        ({"OLLAMA_HOST": "box", "OLLAMA_URL": "http://box"}, "Vessel reads OLLAMA_URL"),
        ({"OPENAI_BASE_URL": "http://box/v1"}, "not read by Vessel"),
        ({"SSL_CERT_FILE": "/nowhere.pem"}, "SSL_CERT_FILE"),
    ],
)
def test_doctor_names_what_in_the_environment_surprises(environ: dict[str, str], said: str) -> None:
    (trap,) = traps(environ, container=())
    assert said in trap


def test_doctor_says_in_a_container_where_the_host_is_unless_a_variable_does(tmp_path: Path) -> None:
    assert "host.docker.internal" in traps({}, container=[tmp_path])[0]
    assert traps({"OLLAMA_URL": "http://host.docker.internal:11434"}, container=[tmp_path]) == ()


def test_doctor_says_nothing_of_a_container_to_whoever_reaches_a_server_in_it(tmp_path: Path) -> None:
    environ = {"OLLAMA_URL": "http://localhost:11434", "LMSTUDIO_URL": "http://localhost:1234"}
    assert traps({}, [""], container=[tmp_path]) == ()
    assert traps(environ, ["OLLAMA_URL", "LMSTUDIO_URL"], container=[tmp_path]) == ()
    (trap,) = traps(environ, ["OLLAMA_URL"], container=[tmp_path])
    assert "localhost (LMSTUDIO_URL) is" in trap


def test_doctor_knows_which_servers_are_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(_: object, reached: list[str]) -> tuple[str, ...]:
        return tuple(reached)

    monkeypatch.setattr("vessel_core.diagnosis.traps", told)
    with llamacpp_server() as server:
        result = run("doctor", "--json", "--no-check", env={"LLAMACPP_URL": server.base_url})
    assert json.loads(result.output)["traps"] == ["LLAMACPP_URL"]


@pytest.mark.parametrize("url", ["http://localhost:11434", "http://127.0.0.1:1", "localhost:1", "http://u:p@[::1]:1"])
def test_doctor_says_in_a_container_that_a_variable_names_the_container(tmp_path: Path, url: str) -> None:
    (trap,) = traps({"OLLAMA_URL": url, "LMSTUDIO_URL": "http://host.docker.internal:1234"}, container=[tmp_path])
    assert "localhost (OLLAMA_URL) is the container" in trap
    assert traps({"OLLAMA_URL": url}, container=()) == ()


def test_doctor_says_what_to_do_next() -> None:
    small = ModelInfo("phi", state="loaded", context_length=2048)
    checks = (Check("stream", True, "", 1), Check("tools", None, "", 1), Check("vision", False, "", 1))
    tools, vision, context = Examined(ServerInfo("llamacpp", "http://box", True, models=(small,)), checks).advice
    assert "--jinja" in tools
    assert "--mmproj" in vision
    assert "2,048 tokens is small" in context
    assert Examined(ServerInfo("ollama", "http://box", True)).advice == (
        "It has no model. Fetch one: ollama pull qwen3.",
    )
    assert Examined(ServerInfo("llamacpp", "http://box", True)).advice == (
        "It has no model. Start it with one: llama-server -m model.gguf --jinja.",
    )
    ranks = (Check("stream", False, "", 1), Check("rerank", True, "", 1))
    (beside,) = Examined(ServerInfo("llamacpp", "http://box", True, models=(ModelInfo("bge"),)), ranks).advice
    assert "serve a chat model beside it" in beside
    (wants,) = Examined(ServerInfo("ollama", "http://box", True, error="It wants a key.")).advice
    assert "--key" in wants


def test_a_report_of_what_works_is_not_mixed_with_what_the_core_logs(embedding_server: LocalServer) -> None:
    command = [sys.executable, "-m", "vessel_core.cli", "doctor", "--url", embedding_server.base_url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "✓ embeddings" in done.stdout
    assert "shows no tools" not in done.stderr


def test_doctor_says_how_many_models_it_does_not_show() -> None:
    with openai_server(models=[f"model-{number}" for number in range(25)]) as server:
        result = run("doctor", "--no-check", "--backend", "openai", "--url", server.base_url)
    assert "model-19" in result.output
    assert "model-20" not in result.output
    assert "and 5 more: vessel models" in result.output
