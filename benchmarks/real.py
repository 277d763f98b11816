"""Tokens a second from the embedded llama.cpp server: `python -m benchmarks.real`, ours against raw httpx, wall time.

The demo model is so small that it writes faster than any real one, so this is the harshest case for a client.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import httpx
from vessel_core import Client, LocalServer

TOKENS = 400
ROUNDS = 15
MESSAGES = [{"role": "user", "content": "Tell me of the sea."}]
ENDLESS = {"max_tokens": TOKENS, "ignore_eos": True}


def rate(stream: Callable[[], int]) -> float:
    """Return tokens a second."""
    began = time.perf_counter()
    tokens = stream()
    return tokens / (time.perf_counter() - began)


def raw(url: str) -> Callable[[], int]:
    """Return a stream over httpx alone; it counts the events."""
    client = httpx.Client(timeout=60)
    body = {"messages": MESSAGES, "stream": True, **ENDLESS}

    def stream() -> int:
        with client.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
            return b"".join(response.iter_raw()).count(b'"content":"')

    return stream


def ours(url: str) -> Callable[[], int]:
    """Return a stream through the core; it counts the deltas."""
    client = Client("llamacpp", base_url=url, model="demo", together=False)
    extra = {"ignore_eos": True}
    return lambda: sum(
        1 for delta in client.stream(MESSAGES, max_tokens=TOKENS, extra_body=extra) if delta.text or delta.reasoning
    )


def main() -> None:
    """Measure in turns, and print the medians and their ratio."""
    with LocalServer.demo() as server:
        ways = {"vessel_core": ours(server.base_url), "httpx": raw(server.base_url)}
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for stream in ways.values():
            stream()
        for _ in range(ROUNDS):
            for name, stream in ways.items():
                rates[name].append(rate(stream))
    mine, theirs = (statistics.median(each) for each in rates.values())
    print(f"tokens a second: vessel_core {mine:,.0f}, httpx {theirs:,.0f}, ratio {mine / theirs:.3f} (aim ≥ 0.97)")


if __name__ == "__main__":
    main()
