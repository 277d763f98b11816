"""Asks hostile servers in a process of its own, and prints for each what came of it, the memory and the time it took.

    python -m tests.security.hostile '{"gzip bomb": ["openai", "http://127.0.0.1:4711", 3.0, "chat"]}'

Each server is asked, sync and async, and waited for so many seconds. `seconds` is the CPU time it took, `wall` what a clock
said; `rss` is how far the peak of the resident memory rose meanwhile; the last line says what is `kept` of them all, both in MiB.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vessel_core import AsyncClient, Client, Message, Timeout
from vessel_core.errors import VesselError
from vessel_core.wire.vectors import BATCH

HELLO: list[Message] = [{"role": "user", "content": "Hello"}]


def _pulled(client: Any) -> Any:
    steps = client.pull("a")
    return _all(steps) if isinstance(client, AsyncClient) else deque(steps, 0)


async def _all(steps: Any) -> None:
    async for _ in steps:
        pass


ASKED: dict[str, Callable[[Any], Any]] = {
    "batch": lambda client: client.embed(["a"] * BATCH),
    "chat": lambda client: client.chat(HELLO),
    "embed": lambda client: client.embed(["a"]),
    "metrics": lambda client: client.metrics(),
    "models": lambda client: client.models(),
    "pull": _pulled,
    "rerank": lambda client: client.rerank("a", ["b"]),
    "tokenize": lambda client: client.tokenize("a"),
}
WAYS = ("sync", "async")

LONGEST = 20
"""Seconds after which a server is given up that nothing of ours did give up."""


def _status(name: str) -> int:
    """Return a figure of this process in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def measured(backend: str, url: str, first_token: float, asked: str, *, way: str) -> dict[str, Any]:
    """Ask one server."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what is free is not kept
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    here = _status("VmRSS")
    began, since, error = time.process_time(), time.monotonic(), "none"
    options: dict[str, Any] = {"base_url": url, "model": "m", "max_retries": 0}
    options["timeout"] = Timeout(first_token=first_token)
    signal.alarm(LONGEST)
    try:
        if way == "async":
            asyncio.run(_ask(backend, options, asked))
        else:
            with Client(backend, **options) as client:
                ASKED[asked](client)
    except VesselError as caught:
        error = type(caught).__name__
        caught.__traceback__ = None
    except Exception as caught:  # the very thing that must not come
        error = f"RAW {type(caught).__name__}: {caught}"[:200]
    signal.alarm(0)
    seconds, wall = time.process_time() - began, time.monotonic() - since
    rss = _status("VmHWM") - here
    return {"error": error, "seconds": round(seconds, 3), "wall": round(wall, 3), "rss": round(rss / 1024, 1)}


async def _ask(backend: str, options: dict[str, Any], asked: str) -> None:
    client = AsyncClient(backend, **options)
    try:
        await ASKED[asked](client)
    finally:
        await client.aclose()


def main() -> None:
    """Ask every server that is named on the command line; the first one warms up."""
    places: dict[str, tuple[str, str, float, str]] = json.loads(sys.argv[1])
    signal.signal(signal.SIGALRM, _give_up)
    for way in WAYS:  # what is loaded at first use is loaded
        measured(*next(iter(places.values())), way=way)
    before = _status("VmRSS")
    for name, place in places.items():
        for way in WAYS:
            found = measured(*place, way=way)
            found["name"] = f"{name}, {way}"
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what is free is not kept
    sys.stdout.write(json.dumps({"kept": round((_status("VmRSS") - before) / 1024, 1)}) + "\n")


def _give_up(*_: object) -> None:
    raise RuntimeError(f"no end after {LONGEST} s")


if __name__ == "__main__":
    main()
