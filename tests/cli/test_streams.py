"""What the command reads from and writes to may be closed, full or of another encoding; it ends in no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_terminal import END, event
from tests.fake_server import openai_server

COMMAND = f"{sys.executable} -m vessel_core.cli"
COMMANDS = ("chat Hi.", "embed a", "doctor --no-check")


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Let a shell run a line, and return what came."""
    return subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=False, env={**os.environ, **environment})


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("closed", ["<&-", "</dev/null >&-", "</dev/null 2>&-"])
def test_a_stream_may_be_closed(command: str, closed: str) -> None:
    with openai_server(event("Hello.") + END) as server:
        done = shell(f"{COMMAND} {command} -b openai -u {server.base_url} {closed}")
    assert (done.returncode, done.stderr) == (0, b"")
    assert bool(done.stdout) is (">&-" not in closed.replace("2>&-", ""))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_takes_no_more_is_said_in_one_line(command: str, tmp_path: Path) -> None:
    with openai_server(event("Hello.") + END) as server:
        to = tmp_path / "out"
        done = shell(f"ulimit -f 0; {COMMAND} {command} -b openai -u {server.base_url} </dev/null >{to}")
    assert (done.returncode, done.stderr) == (1, b"vessel: [Errno 27] File too large\n")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_pipe_has_utf_8_whatever_a_terminal_would_have(encoding: str) -> None:
    said = "Grüße, 世界 😀 \ud800"
    with openai_server(event(said) + END) as server:
        target = f"-b openai -u {server.base_url} </dev/null"
        answer = shell(f"{COMMAND} chat Hi. {target}", PYTHONIOENCODING=encoding)
        report = shell(f"{COMMAND} doctor --no-check {target}", PYTHONIOENCODING=encoding)
    assert (answer.returncode, report.returncode) == (0, 0)
    assert answer.stdout.decode().startswith("Grüße, 世界 😀 ")
    assert "✓ OpenAI-compatible server" in report.stdout.decode()


def test_ctrl_c_while_the_command_is_imported_ends_it(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    done = shell(f"{COMMAND} models", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
