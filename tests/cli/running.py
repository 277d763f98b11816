"""Runs the `vessel` command where no server is, unless a test names one."""

from __future__ import annotations

from typer.testing import CliRunner, Result
from vessel_core.cli.app import app

NOWHERE = dict.fromkeys(("LLAMACPP_URL", "LMSTUDIO_URL", "OLLAMA_URL"), "http://127.0.0.1:9")


def run(*arguments: str, env: dict[str, str] | None = None, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), env={**NOWHERE, **(env or {})}, input=stdin)
