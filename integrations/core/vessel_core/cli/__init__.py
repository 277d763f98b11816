"""The `vessel` command. It needs the extra `[cli]`, and imports no framework."""

from __future__ import annotations

import io
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def main() -> None:
    """Run the command; say what to install if it can't."""
    if find_spec("typer") is None or find_spec("rich") is None:
        sys.exit("The vessel command needs its extra: pip install 'vessel-core[cli]'")
    _open_streams()
    try:
        try:
            from vessel_core.cli.app import app

            app()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:  # while it was imported: later typer sees to that
        sys.exit(130)
    except OSError as error:  # such as a full disk: what is still to be written would fail once more at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(f"vessel: {error}")


def _open_streams() -> None:
    """Give what is closed the null device; write UTF-8 into a pipe, and what a terminal's encoding hasn't got as escapes."""
    nothing = Path(os.devnull)
    sys.stdin = sys.stdin or nothing.open(encoding="utf-8")
    sys.stdout = sys.stdout or nothing.open("w", encoding="utf-8")
    sys.stderr = sys.stderr or nothing.open("w", encoding="utf-8")
    out: Any = sys.stdout
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(encoding=None if out.isatty() else "utf-8", errors="backslashreplace")
