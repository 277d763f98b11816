"""The `vessel` command as a whole: completion, and what its errors say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from vessel_core.cli.terminal import complain
from vessel_core.errors import VesselError

from tests.cli.running import run
from tests.fake_server import FakeServer, Response, openai_server


def test_an_unknown_backend_is_named() -> None:
    result = run("chat", "Hello.", "--backend", "lama")
    assert result.exit_code == 1
    assert "There is no backend 'lama'" in result.output
    assert "Traceback" not in result.output


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


def test_a_number_that_cannot_be_is_refused_by_the_name_of_its_option() -> None:
    for command, option in (
        *((["serve", "--demo"], option) for option in ("--context", "--parallel", "--threads")),
        *((["embed", "a"], option) for option in ("--batch-size", "--concurrency")),
        (["load", "m"], "--num-ctx"),
    ):
        result = run(*command, option, "0")
        assert (result.exit_code, option in result.output) == (2, True)


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
        (
            "No.",
            "`ChatOptions` says what each option takes.",
            "Options go as -o NAME=VALUE, such as -o temperature=0.2 or -o 'stop=[\"END\"]'.",
        ),
        ("No.", "Choose one that `models()` lists.", "Choose one that `vessel models` lists."),
        ("No.", "Load it with `load('qwen3:8b')`.", "Load it with `vessel load qwen3:8b`."),
        ("No.", "Wait longer with `Timeout(load=…)`, or load it.", "Try again later, or load it."),
        (
            "No.",
            "A key goes into api_key=, or with its header's name into headers=.",
            "A key goes into --key or VESSEL_API_KEY.",
        ),
        ("base_url names a host twice.", "Drop one.", "--url names a host twice.\nDrop one."),
    ],
)
def test_what_an_error_says_to_do_can_be_done_at_a_shell(
    message: str, hint: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    complain(VesselError(message, hint=hint))
    assert capsys.readouterr().err.removeprefix("No.\n") == f"{said}\n"


def test_a_server_without_a_model_is_told_of_in_words_that_fit_it() -> None:
    with openai_server(models=[]) as server:
        result = run("chat", "Hi.", "-b", "openai", "-u", server.base_url)
    assert result.exit_code == 1
    assert "OpenAI-compatible server has no models." in result.stderr
    assert "Start it with one, or see its log." in result.stderr


def test_a_refused_url_of_any_server_is_told_without_a_command_that_starts_it() -> None:
    result = run("chat", "Hi.", "-b", "openai", "-u", "http://127.0.0.1:9")
    assert "Start it, or give the right --url." in result.stderr
