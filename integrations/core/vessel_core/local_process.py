"""The child process of a `LocalServer`: begun, told what to serve, ended. What it runs is `local_child.py`."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

#: Seconds the child gets to end by itself, and again after being terminated, before it is killed.
GRACE = 3.0


def spawn(log: IO[str]) -> subprocess.Popen[str]:
    """Start the child in a session of its own, so that Ctrl-C reaches the parent first.

    It is run as a file, without importing this package, which takes longer than starting a server; `-P` keeps the
    modules beside that file from being taken for the standard library's.
    """
    return subprocess.Popen(  # noqa: S603 - our own file
        [sys.executable, "-P", str(Path(__file__).with_name("local_child.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )


def talk(process: subprocess.Popen[str], config: dict[str, Any], lines: list[str]) -> None:
    """Tell the child its configuration and add its answer to `lines`; nothing is added if it ends before that."""
    with suppress(OSError):
        if process.stdin is not None and process.stdout is not None:
            process.stdin.write(json.dumps(config) + "\n")
            process.stdin.flush()
            lines.extend(filter(None, [process.stdout.readline()]))


def _close_stdin(process: subprocess.Popen[str]) -> None:
    with suppress(OSError):  # raised if the child was gone before it had read all
        if process.stdin is not None:
            process.stdin.close()


def end(process: subprocess.Popen[str]) -> None:
    """End the child, kindly at first."""
    _close_stdin(process)
    for insist in (process.terminate, process.kill):
        try:
            process.wait(GRACE)
            break
        except subprocess.TimeoutExpired:
            insist()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
