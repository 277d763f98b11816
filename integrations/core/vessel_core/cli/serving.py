"""`vessel serve` and `vessel demo`: the embedded llama.cpp server."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Unpack, cast, get_args

from rich.console import Console

from vessel_core.checkup import checkup
from vessel_core.cli.terminal import Terminal
from vessel_core.client import Client
from vessel_core.errors import InvalidConfig
from vessel_core.local import DemoKind, LocalServer, Options

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(file: Path | None, *, demo: bool, **options: Unpack[Options]) -> None:
    """Serve until Ctrl-C or SIGTERM; warn where everybody on the network may use the server."""
    if file is None and not demo:
        raise InvalidConfig("Give a GGUF file, or --demo.", hint="vessel serve model.gguf   or   vessel serve --demo")
    server = _demo(str(file or "assistant"), options) if demo else LocalServer(file or "", **options)
    console = Terminal(highlight=False)
    host = options.get("host", LOOPBACK[0])
    if host not in LOOPBACK and not options.get("api_key"):
        console.print(
            f"Everybody who reaches {host} may use this server. Give it a key: --key, or VESSEL_API_KEY.",
            style="yellow",
            markup=False,
        )
    with _told_to_stop() as stopped:
        with console.status("starting …"):
            server.start()
        try:
            console.print(f"Serving at {server.base_url}   (Ctrl-C stops it)", markup=False)
            for line in _addresses(server.base_url):
                console.print(f"  {line}", style="dim", markup=False)
            stopped.wait()
        finally:
            server.stop()


def _demo(kind: str, options: Options) -> LocalServer:
    if kind not in get_args(DemoKind):
        raise InvalidConfig(f"There is no demo model {kind!r}.", hint=f"There are: {', '.join(get_args(DemoKind))}.")
    return LocalServer.demo(cast("DemoKind", kind), **options)


@contextmanager
def _told_to_stop() -> Generator[threading.Event]:
    """Give what is set by Ctrl-C or a request to end; afterwards both do what they did."""
    stopped = threading.Event()
    before = {
        number: signal.signal(number, lambda _number, _frame: stopped.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _addresses(url: str) -> list[str]:
    """Say where clients find the server: one that listens everywhere has no address of that name."""
    if "//0.0.0.0:" not in url:
        return [f"LLAMACPP_URL={url}"]
    here, container = (url.replace("0.0.0.0", host) for host in ("127.0.0.1", "host.docker.internal"))  # noqa: S104
    return [f"LLAMACPP_URL={here}", f"LLAMACPP_URL={container}   in a container"]


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
                        console.print(f"  ✓ {check.name:13} {check.milliseconds:6.0f} ms  {check.detail}", markup=False)
        finally:
            server.stop()
    console.print(
        "\nThese are toy models: they show that everything works. Only the assistant makes sense.", style="dim"
    )
