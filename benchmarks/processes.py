"""The processes of a run: the server, and a worker for each client. All end with the one that started them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    "LANGSMITH_TRACING": "false",
    "NO_PROXY": "127.0.0.1,localhost",
    "OPENBLAS_NUM_THREADS": "1",  # numpy's other threads are busy for 40 ms once it is loaded: that is no client's work
}

NEWEST_OPENAI = str(Path(sys.prefix) / "openai")
WITH_NEWEST_OPENAI = ("ChatOpenAI", "OpenAIEmbeddings")
"""Clients that take the newest openai; LlamaIndex's want an older one, which the environment has."""


class Process:
    """A child that speaks in lines over its standard streams, and ends when they are closed."""

    def __init__(self, module: str, *arguments: str, over: str = "") -> None:
        """Start it; packages in the folder `over` are taken before those of the environment."""
        command = [sys.executable, "-W", "ignore", "-m", module, *arguments]
        environment = (
            {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join([over, ENVIRONMENT["PYTHONPATH"]])} if over else ENVIRONMENT
        )
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def line(self) -> str:
        """Return the next line it says."""
        assert self._child.stdout is not None
        said = self._child.stdout.readline()
        if not said:
            raise RuntimeError(f"{self._child.args} ended with code {self._child.wait()}.")
        return said

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a command to a worker; return its figures."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._child.stdin.flush()
        return json.loads(self.line())

    def close(self) -> None:
        """End it."""
        if self._child.stdin is not None:
            self._child.stdin.close()
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def start_stub() -> tuple[Process, str]:
    """Start the server; return it and its URL."""
    stub = Process("benchmarks.stub")
    return stub, f"http://127.0.0.1:{int(stub.line())}"


def start_worker(client: str, url: str) -> Process:
    """Start a worker for a client."""
    return Process("benchmarks.worker", client, url, over=NEWEST_OPENAI if client in WITH_NEWEST_OPENAI else "")
