"""`vessel serve` and `vessel demo`: the embedded llama.cpp server."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from rich.console import Console

from vessel_core.checkup import checkup
from vessel_core.cli.terminal import harmless
from vessel_core.client import Client
from vessel_core.errors import InvalidConfig
from vessel_core.local import LocalServer


def serve(
    file: Path | None, *, demo: bool, host: str, port: int, key: str | None, context: int, threads: int | None
) -> None:
    """Serve until Ctrl-C or SIGTERM; warn where everybody on the network may use the server."""
    if (file is None) == (not demo):
        raise InvalidConfig("Give a GGUF file, or --demo.", hint="vessel serve model.gguf   or   vessel serve --demo")
    console = Console()
    if host not in ("127.0.0.1", "localhost", "::1") and not key:
        console.print(
            f"Everybody who reaches {host} may use this server. Give it a key: --key, or VESSEL_API_KEY.",
            style="yellow",
        )
    cores = threads or os.cpu_count() or 1
    if file is None:
        server = LocalServer.demo("assistant", context_length=context, host=host, port=port, api_key=key)
    else:
        server = LocalServer(file, context_length=context, host=host, port=port, api_key=key, threads=cores)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stopped.set())
    with console.status("starting …"):
        server.start()
    try:
        console.print(f"Serving at {server.base_url}   (Ctrl-C stops it)", markup=False)
        console.print(f"  LLAMACPP_URL={server.base_url}", style="dim", markup=False)
        stopped.wait()
    finally:
        server.stop()


def demonstrate(console: Console) -> None:
    """Start the demo models one after the other and show every check."""
    for kind in ("assistant", "chat", "thinking", "embedding", "rerank"):
        with console.status(f"starting the demo model {kind!r} …"):
            server = LocalServer.demo(kind).start()
        try:
            with Client("llamacpp", base_url=server.base_url) as client:
                console.print(f"\n[bold]{kind}[/bold]  {server.base_url}")
                for check in checkup(client):
                    if check.works:
                        console.print(
                            f"  ✓ {check.name:13} {check.milliseconds:6.0f} ms  {harmless(check.detail)}", markup=False
                        )
        finally:
            server.stop()
    console.print(
        "\nThese are toy models: they show that everything works. Only the assistant makes sense.", style="dim"
    )
