"""S9: no text of a model or a server drives the terminal, hides in it or reorders it, whichever command shows it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

import pytest
from typer.testing import CliRunner
from vessel_core.cli.app import app
from vessel_core.harmless import harmless

from tests.fake_server import FakeServer, Response, openai_server

ESCAPES = (
    *("\x1b[31mred", "\x1b[2J", "\x1b[H", "\x1b[1A\x1b[2K", "\x1b[?1049h", "\x1b[6n", "\x1b[5i", "\x1b[8m", "\x1bc"),
    *("\x1b]0;title\x07", "\x1b]52;c;cm0gLXJm\x07", "\x1b]8;;http://elsewhere.example\x1b\\\\a", "\x1bP1$r\x1b\\\\"),
    *(
        "\x1b_x\x1b\\\\",
        "\x1b^x\x1b\\\\",
        "\x9b2J",
        "\x9d0;t\x9c",
        "\x90q\x9c",
        "\x84\x85\x8d",
        "a\rb",
        "\x00",
        "\x08\x08",
        "\x7f",
    ),
    *("\x07", "\x0b\x0c", "\x0e\x0f", "\u202ea", "\u2066a\u2069", "\u061ca", "\u200b\u2060", "\u2028a", "\ufeff"),
    *("\U000e0041\U000e0042", "\u3164", "\u00ad", "\u180e", "\ufff9a\ufffb", "\ud800"),
)
HIDES = {"\u3164", "\u115f", "\u1160", "\uffa0"}
JOINS = "\u200c\u200d"


def drives(shown: str) -> set[str]:
    """Return the characters in it that a terminal may act on, or that are not to be seen."""
    plain = shown.replace("\n", "").replace("\t", "")
    return {each for each in plain if unicodedata.category(each)[0] == "C" or each in HIDES or each in "\u2028\u2029"}


@pytest.mark.parametrize("text", ESCAPES, ids=ascii)
def test_a_text_cannot_drive_the_terminal(text: str) -> None:
    assert drives(text)
    assert drives(harmless(text)) == set()


def test_no_character_that_unicode_calls_a_control_or_a_format_is_left_but_those_that_join() -> None:
    kept = {each for each in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(each) in KINDS}
    left = "".join(each for each in sorted(kept) if harmless(each) == each)
    assert left.translate(dict.fromkeys(map(ord, VISIBLE))) == f"\t\n{JOINS}"


KINDS = ("Cc", "Cf", "Cs", "Zl", "Zp")
VISIBLE = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd" + "".join(
    map(chr, range(0x13430, 0x13440))
)
"""Formats that are drawn: signs of numbers and verses, joiners of hieroglyphs."""


def test_text_that_hides_or_reorders_is_shown_and_what_people_write_is_as_it_was() -> None:
    assert harmless("a\u202eb\u200bc\n\td") == "a<U+202E>b<U+200B>c\n\td"
    for text in ("Grüße, 世界", "👩\u200d🚀 ❤\ufe0f 🇳🇴", "می\u200cخواهم", "e\u0301"):
        assert harmless(text) == text


COMMANDS = (["chat", "Hi.", "-m", "m"], ["models"], ["doctor"], ["doctor", "--json"], ["embed", "a", "-m", "m"])


@pytest.mark.parametrize("command", [*COMMANDS, ["pull", "m"], ["load", "m"], ["unload", "m"]], ids=" ".join)
@pytest.mark.parametrize("backend", ["openai", "ollama"])
def test_an_error_of_a_server_cannot_drive_it(command: Sequence[str], backend: str) -> None:
    said = "it broke " + "".join(ESCAPES)
    with FakeServer(otherwise=Response.json({"error": {"message": said, "type": said}}, status=400)) as server:
        ran = CliRunner().invoke(app, [*command, "--backend", backend, "--url", server.base_url])
    assert ran.exit_code == 1
    assert drives(ran.output) == set()


def test_an_answer_cannot_drive_it_and_a_pipe_has_it_as_it_is() -> None:
    with openai_server(b"".join(map(event, ESCAPES)) + END) as server:
        command = [
            sys.executable,
            "-m",
            "vessel_core.cli",
            "chat",
            "Hi.",
            "-b",
            "openai",
            "-m",
            "m",
            "-u",
            server.base_url,
        ]
        on_terminal = read_terminal(command)
        piped = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    assert drives(on_terminal.replace("\r\n", "\n")) == set()
    assert "<U+202E>a" in on_terminal
    assert "\x1b]0;title" in piped


def read_terminal(command: Sequence[str]) -> str:
    """Run a command at a terminal that knows no colours, and return what it shows."""
    ours, its = pty.openpty()
    environment = {**os.environ, "TERM": "dumb"}
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=its, stderr=its, env=environment):
        os.close(its)
        shown = bytearray()
        try:
            while piece := os.read(ours, 65_536):
                shown += piece
        except OSError:  # how Linux says that the other side is closed
            os.close(ours)
    return shown.decode()


def event(text: str) -> bytes:
    document: Any = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
    return f"data: {json.dumps(document)}\n\n".encode()


END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def test_what_comes_raw_is_the_answer_alone() -> None:
    named: Any = {
        "model": "m\x1b[2J",
        "choices": [{"index": 0, "delta": {"content": "\x1b[31mred"}, "finish_reason": None}],
    }
    with openai_server(f"data: {json.dumps(named)}\n\n".encode() + END) as server:
        command = [
            sys.executable,
            "-m",
            "vessel_core.cli",
            "chat",
            "Hi.",
            "--raw",
            "-b",
            "openai",
            "-u",
            server.base_url,
        ]
        shown = read_terminal(command)
    assert "\x1b[31mred" in shown
    assert "m[2J" in shown
    assert "\x1b[2J" not in shown


AS_IT_IS = "a\tb :smile: [bold]c[/bold]\x07\x08\x0b\x0c\r100:100:y \u202ed"


@pytest.mark.parametrize("raw", [(), ("--raw",)], ids=["pipe", "raw"])
def test_a_pipe_has_each_character_of_the_answer(raw: Sequence[str]) -> None:
    with openai_server(event(AS_IT_IS) + END) as server:
        arguments = ["chat", "Hi.", *raw, "-b", "openai", "-m", "m", "-u", server.base_url]
        piped = subprocess.run([sys.executable, "-m", "vessel_core.cli", *arguments], capture_output=True, check=True)
    assert piped.stdout.decode() == f"{AS_IT_IS}\n"


def test_a_name_between_colons_is_no_emoji() -> None:
    with openai_server(event("It is :100: now.") + END, models=["x:100:y"]) as server:
        command = [sys.executable, "-m", "vessel_core.cli"]
        target = ["-b", "openai", "-u", server.base_url]
        assert "It is :100: now." in read_terminal([*command, "chat", "Hi.", "-m", "x:100:y", *target])
        assert "x:100:y" in read_terminal([*command, "models", *target])
