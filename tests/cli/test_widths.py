"""Models and reports on terminals of every width."""

from __future__ import annotations

import io
import re
from typing import cast

import pytest
from vessel_core.checkup import Check
from vessel_core.cli import doctoring, models_shown
from vessel_core.cli.terminal import Terminal, complain
from vessel_core.diagnosis import Examined, Report
from vessel_core.errors import VesselError
from vessel_core.types import ModelInfo, ServerInfo

from tests.cli.running import run
from tests.fake_server import lmstudio_server, openai_server


def wide(columns: int) -> Terminal:
    """Return a terminal without colours that is so wide, and writes into a text."""
    return Terminal(file=io.StringIO(), force_terminal=True, color_system=None, width=columns)


def shown(terminal: Terminal) -> list[str]:
    return [line.rstrip() for line in cast("io.StringIO", terminal.file).getvalue().splitlines()]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_models_has_the_whole_name_however_wide_the_terminal_is(columns: int) -> None:
    name = "a-maker/" + "a-very-long-name-of-a-model-" * 6 + "end"
    terminal = wide(columns)
    with openai_server(models=["short", name]) as server:
        assert name in run("models", "--backend", "openai", "--url", server.base_url).output
        models_shown.show("openai", {"base_url": server.base_url}, terminal)
    assert shown(terminal)[-2:] == ["short", name]


@pytest.mark.parametrize(("columns", "lines"), [(40, 5), (80, 3), (100, 3)])
def test_what_is_known_of_a_model_stands_beneath_its_name_where_a_table_does_not_fit(columns: int, lines: int) -> None:
    terminal = wide(columns)
    with lmstudio_server() as server:
        models_shown.show("lmstudio", {"base_url": server.base_url}, terminal)
    title, *rest = shown(terminal)
    assert (title, len(rest)) == (f"lmstudio at {server.base_url}", lines - 1)
    if columns == 40:
        assert rest[1:] == [
            "  chat · loaded · context 4,096 of",
            "  262,144 · 18.0 GB · Q4_K_M · tools,",
            "  reasoning",
        ]


@pytest.mark.parametrize("columns", [40, 80, 100])
def test_doctor_says_all_of_what_came_on_a_narrow_terminal(columns: int) -> None:
    detail = "The server does not have this: start it with `--reranking`, or use another one."
    server = ServerInfo("llamacpp", "http://127.0.0.1:9", True, models=(ModelInfo("demo"),))
    checks = (Check("stream", True, "demo", 93, 1080), Check("count tokens", False, detail, 19))
    terminal = wide(columns)
    doctoring.show(Report({"python": "3.11"}, (), (Examined(server, checks),)), terminal)
    lines = shown(terminal)
    assert detail in " ".join(" ".join(lines).split())
    assert max(map(len, lines)) <= columns
    speed = (
        "  ✓ stream  93 ms  1,080 tokens/s" if columns == 40 else "  ✓ stream            93 ms  1,080 tokens/s  demo"
    )
    assert speed in lines


def test_lines_are_broken_between_words_and_stand_beneath_their_sentence() -> None:
    trap = "In a container localhost is the container: the host's servers are at host.docker.internal."
    down = Examined(
        ServerInfo("ollama", "http://127.0.0.1:11434", False, error="Nothing listens there: it was refused.")
    )
    bare = Examined(ServerInfo("llamacpp", "http://127.0.0.1:9", True))
    terminal = wide(50)
    doctoring.show(Report({}, (trap,), (bare, down)), terminal)
    assert [line for line in shown(terminal) if line][:7] == [
        "! In a container localhost is the container: the",
        "  host's servers are at host.docker.internal.",
        "✓ llama.cpp  http://127.0.0.1:9",
        "  → It has no model. Start it with one:",
        "    llama-server -m model.gguf --jinja.",
        "✗ Ollama  http://127.0.0.1:11434  Nothing",
        "  listens there: it was refused.",
    ]


def test_an_error_at_a_terminal_is_broken_between_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    complain(VesselError("Nothing listens there: it was refused."))
    assert [line.strip() for line in re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().err).splitlines()] == [
        "Nothing listens",
        "there: it was",
        "refused.",
    ]
