"""The `vessel` command, as a person or a script calls it."""

from __future__ import annotations

import _thread
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result
from vessel_core import Client, doctor
from vessel_core.checkup import FREE, WEATHER, Check, checkup
from vessel_core.cli.app import app
from vessel_core.cli.terminal import complain
from vessel_core.diagnosis import Examined, traps
from vessel_core.discovery import PROBE_TIMEOUT, look_around
from vessel_core.errors import VesselError
from vessel_core.local import LocalServer
from vessel_core.types import ModelInfo, ServerInfo, Timeout

from tests.fake_server import (
    FakeServer,
    Request,
    Response,
    llamacpp_server,
    openai_server,
    transcript,
)
from tests.servers import KEY

NOWHERE = dict.fromkeys(("LLAMACPP_URL", "LMSTUDIO_URL", "OLLAMA_URL"), "http://127.0.0.1:9")


def run(*arguments: str, env: dict[str, str] | None = None, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), env={**NOWHERE, **(env or {})}, input=stdin)


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
    said = json.loads(result.output)
    servers: list[dict[str, Any]] = said["servers"] if command[0] == "doctor" else said
    (server,) = [one for one in servers if one["connected"]]
    assert [model["id"] for model in server["models"]] == ["demo-chat"]
    assert (server["error"], server["source"]) == (None, "LLAMACPP_URL")


@pytest.mark.parametrize("key", ["", "another-key"])
def test_models_says_of_a_server_that_is_found_that_it_wants_a_key(key: str, keyed_server: LocalServer) -> None:
    result = run("models", env={"LLAMACPP_URL": keyed_server.base_url, "VESSEL_API_KEY": key})
    assert f"{keyed_server.base_url}: The key is missing or wrong" in result.stderr


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


def test_certificates_that_are_not_there_are_said_in_two_lines() -> None:
    result = run("models", "--url", "https://127.0.0.1:9", env={"SSL_CERT_FILE": "/nowhere.pem"})
    assert result.exit_code == 1
    assert "The CA certificates can't be read: [Errno 2] No such file or directory." in result.stderr
    assert "SSL_CERT_FILE" in result.stderr


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
    assert Examined(ServerInfo("ollama", "http://box", True)).advice == ("It has no model: ollama pull qwen3.",)
    (wants,) = Examined(ServerInfo("ollama", "http://box", True, error="It wants a key.")).advice
    assert "--key" in wants


def test_models_lists_what_is_there(chat_server: LocalServer) -> None:
    result = run("models", "--url", chat_server.base_url)
    assert result.exit_code == 0
    assert "demo-chat" in result.output
    assert "tools, vision" in result.output


@pytest.mark.parametrize("named", [True, False], ids=["named", "found"])
def test_models_as_json_are_a_list_of_servers(chat_server: LocalServer, named: bool) -> None:
    url = chat_server.base_url
    result = run("models", "--json", "--url", url) if named else run("models", "--json", env={"LLAMACPP_URL": url})
    (server,) = json.loads(result.output)
    assert (server["backend"], server["base_url"]) == ("llamacpp", url)
    (model,) = server["models"]
    assert (model["id"], model["kind"], model["capabilities"]["tools"]) == ("demo-chat", "chat", True)


def test_models_without_a_server_fails_with_the_addresses() -> None:
    result = run("models")
    assert result.exit_code == 1
    assert "http://127.0.0.1:9" in result.output


def test_chat_answers_one_question(chat_server: LocalServer) -> None:
    result = run("chat", "Hello.", "--url", chat_server.base_url)
    assert result.exit_code == 0
    assert result.output.strip().endswith(".")


def test_chat_says_which_model_answers_where_the_server_has_but_one(chat_server: LocalServer) -> None:
    result = run("chat", "Hello.", "-m", "nonsense", "--url", chat_server.base_url)
    assert result.exit_code == 0
    assert "nonsense was asked for; demo-chat answered." in " ".join(result.stderr.split())
    assert "demo-chat" not in result.stdout
    for named in (("-m", "demo-chat"), ()):
        assert run("chat", "Hello.", *named, "--url", chat_server.base_url).stderr == ""


def test_chat_reads_its_question_from_standard_input(chat_server: LocalServer) -> None:
    result = run("chat", "--url", chat_server.base_url, stdin="Hello.")
    assert result.exit_code == 0
    assert result.output.strip()


def test_chat_puts_what_is_piped_between_files_and_the_question(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("Ada lives in Lisbon.\n")
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        run("chat", "Where?", "-f", str(notes), "--url", server.base_url, stdin="Bob in Rome.\n")
        (sent,) = server.asked("/v1/chat/completions")[0].json()["messages"]
    assert sent["content"] == "--- notes.txt ---\nAda lives in Lisbon.\n\nBob in Rome.\n\nWhere?"


@pytest.mark.parametrize("command", ["chat", "embed"])
def test_standard_input_that_is_no_text_is_refused(command: str) -> None:
    result = run(command, "--url", "http://127.0.0.1:9", stdin=b"caf\xe9")
    assert result.exit_code == 1
    assert "Standard input can't be read as text" in result.output


def test_only_the_answer_goes_into_a_pipe() -> None:
    with llamacpp_server(transcript("llamacpp/reasoning.sse")) as server:
        result = run("chat", "Why?", "--url", server.base_url)
    assert result.output == "The\n"  # the thought was "Okay"


def test_chat_sees_a_picture(chat_server: LocalServer, tmp_path: Path) -> None:
    from vessel_core.checkup import red_square

    picture = tmp_path / "square.png"
    picture.write_bytes(red_square())
    result = run("chat", "What colour is it?", "--image", str(picture), "--url", chat_server.base_url)
    assert "red" in result.output


def test_chat_puts_files_before_the_question_and_takes_options(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("Ada lives in Lisbon.")
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        arguments = ("Where?", "-f", str(notes), "-s", "Be brief.", "-o", "temperature=0", "-o", "stop=END")
        result = run("chat", *arguments, "--url", server.base_url)
        sent = server.asked("/v1/chat/completions")[0].json()
    assert (result.exit_code, result.output.strip()) == (0, "Hello")
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert sent["messages"][1]["content"] == "--- notes.txt ---\nAda lives in Lisbon.\n\nWhere?"
    assert (sent["temperature"], sent["stop"]) == (0, "END")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("temperature", "has no value"),
        ("temprature=1", "temperature"),
        ("temperature=" + "[" * 100_000, "temperature"),
        ("messages=[]", "There is no option 'messages'"),
        ("temprature=1", """-o 'extra_body={…}'"""),
    ],
    ids=range(5),
)
def test_chat_says_what_is_wrong_with_an_option(option: str, said: str) -> None:
    result = run("chat", "Hello.", "-o", option, "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert said in result.output


def test_chat_with_a_file_that_is_no_picture_says_so(chat_server: LocalServer, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("not a picture")
    result = run("chat", "What is it?", "--image", str(notes), "--url", chat_server.base_url)
    assert result.exit_code == 1
    assert "notes.txt" in result.output


def test_embed_prints_a_vector_a_line(embedding_server: LocalServer) -> None:
    result = run("embed", "a fox", "a dog", "--url", embedding_server.base_url)
    vectors = [json.loads(line) for line in result.output.splitlines()]
    assert len(vectors) == 2
    assert len(vectors[0]) == len(vectors[1]) > 10


def test_embed_refuses_a_line_without_text_as_vectors_would_no_longer_match_lines() -> None:
    result = run("embed", "--url", "http://127.0.0.1:9", stdin="a\n\nb\n")
    assert result.exit_code == 1
    assert "Text 2 is empty." in result.output
    assert "blank=" not in result.output


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
    assert server.requests[0].json() == {"model": "qwen3", "stream": True}


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


def test_an_unknown_backend_is_named() -> None:
    result = run("chat", "Hello.", "--backend", "lama")
    assert result.exit_code == 1
    assert "There is no backend 'lama'" in result.output
    assert "Traceback" not in result.output


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


def test_serve_refuses_a_port_that_cannot_be() -> None:
    result = run("serve", "--demo", "--port", "99999")
    assert result.exit_code == 2
    assert "65535" in result.output


def test_a_report_of_what_works_is_not_mixed_with_what_the_core_logs(embedding_server: LocalServer) -> None:
    command = [sys.executable, "-m", "vessel_core.cli", "doctor", "--url", embedding_server.base_url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "✓ embeddings" in done.stdout
    assert "shows no tools" not in done.stderr


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


@pytest.mark.parametrize(
    ("shell", "typed"),
    [
        ("bash", {"COMP_WORDS": "vessel doc", "COMP_CWORD": "1"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "vessel doc"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "vessel doc", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_a_shell_completes_the_command(shell: str, typed: dict[str, str]) -> None:
    command = str(Path(sys.executable).with_name("vessel"))

    def asked(what: str) -> str:
        env = os.environ | {"_VESSEL_COMPLETE": f"{what}_{shell}"} | typed
        return subprocess.run([command], capture_output=True, text=True, check=True, env=env).stdout

    assert f"_VESSEL_COMPLETE=complete_{shell}" in asked("source")
    assert "doctor" in asked("complete")


def test_the_command_imports_no_framework() -> None:
    frameworks = "('langchain_core', 'llama_index')"
    code = f"import sys, vessel_core.cli.app; print([m for m in sys.modules if m.split('.')[0] in {frameworks}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_chat_takes_no_file_that_no_model_could_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge.txt"
    with huge.open("wb") as file:
        file.truncate(10_000_001)
    result = run("chat", "Sum it up.", "--file", str(huge), "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "is longer than 10,000,000 bytes" in " ".join(result.output.split())


@pytest.mark.parametrize("command", [["chat", "Hi."], ["embed"]], ids=" ".join)
def test_no_more_is_read_from_standard_input_than_from_a_file(command: list[str]) -> None:
    result = run(*command, "--url", "http://127.0.0.1:9", stdin="a" * 10_000_001)
    assert result.exit_code == 1
    assert "Standard input is longer than 10,000,000 bytes." in result.output
    assert "vessel embed --from" in result.output


def test_chat_reads_what_another_command_writes_and_no_more_than_of_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "notes.txt"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_text, args=["Ada lives in Lisbon."]).start()
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        run("chat", "Where?", "-f", str(pipe), "--url", server.base_url)
        (sent,) = server.asked("/v1/chat/completions")[0].json()["messages"]
    assert sent["content"] == "--- notes.txt ---\nAda lives in Lisbon.\n\nWhere?"
    endless = run("chat", "Sum it up.", "-f", "/dev/zero", "--url", "http://127.0.0.1:9")
    assert "/dev/zero is longer than" in endless.output


def test_a_number_that_cannot_be_is_refused_by_the_name_of_its_option() -> None:
    for command, option in (
        *((["serve", "--demo"], option) for option in ("--context", "--parallel", "--threads")),
        *((["embed", "a"], option) for option in ("--batch-size", "--concurrency")),
        (["load", "m"], "--num-ctx"),
    ):
        result = run(*command, option, "0")
        assert (result.exit_code, option in result.output) == (2, True)


def test_doctor_says_how_many_models_it_does_not_show() -> None:
    with openai_server(models=[f"model-{number}" for number in range(25)]) as server:
        result = run("doctor", "--no-check", "--backend", "openai", "--url", server.base_url)
    assert "model-19" in result.output
    assert "model-20" not in result.output
    assert "and 5 more: vessel models" in result.output


def test_an_error_names_the_options_of_the_command_and_not_the_arguments_of_a_function() -> None:
    with FakeServer(otherwise=Response.json({"error": {"message": "who are you?"}}, status=401)) as server:
        refused = run("chat", "Hi.", "-b", "openai", "-m", "m", "-u", server.base_url)
    assert "--key …" in refused.stderr
    assert "--url 'http://host:port'" in run("models").stderr
    assert "=" not in refused.stderr


@pytest.mark.parametrize(
    ("message", "hint", "said"),
    [
        ("No.", "Give the right base_url, or `base_url`.", "Give the right --url, or `--url`."),
        ("api_key holds a line break.", "Drop it.", "--key holds a line break.\nDrop it."),
        ("No.", "If it has it: extra_body={'num_ctx': …}.", """If it has it: -o 'extra_body={"num_ctx": …}'."""),
        ("No.", "Send less, or give `num_ctx=…`, `max_tokens`.", "Send less, or give `-o num_ctx=…`, `-o max_tokens`."),
        (
            "No.",
            "Raise `Timeout(first_token=…)`: it may take minutes.",
            "Raise it with `-o timeout=…`: it may take minutes.",
        ),
        ("No.", "Raise `Timeout(request=…)`.", "Is it busy, or stuck? See its log."),
        ("No.", "It stopped. What came is in `partial`.", "It stopped."),
    ],
)
def test_what_an_error_says_to_do_can_be_done_at_a_shell(
    message: str, hint: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    complain(VesselError(message, hint=hint))
    assert capsys.readouterr().err.removeprefix("No.\n") == f"{said}\n"
