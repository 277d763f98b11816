"""Tokens a second from the embedded llama.cpp server: `python -m benchmarks.real [ROUNDS]`, ours against raw httpx, wall time.

The demo model is so small that it writes faster than any real one, so this is the harshest case for a client. What else the
machine does decides more than any client: so each round runs both, one right after the other and in alternating order, and
what counts is the ratio of each such pair.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import httpx
from vessel_core import Client, LocalServer

TOKENS = 400
ROUNDS = 100
RESAMPLES = 2000
MESSAGES = [{"role": "user", "content": "Tell me of the sea."}]
ENDLESS = {"max_tokens": TOKENS, "ignore_eos": True}


def rate(stream: Callable[[], int]) -> float:
    """Return tokens a second."""
    began = time.perf_counter()
    tokens = stream()
    return tokens / (time.perf_counter() - began)


def raw(url: str) -> Callable[[], int]:
    """Return a stream over httpx alone; it counts the events."""
    # a connection each: the server ends old ones without a word, and who does not send again fails
    client = httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0))
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


def pairs(mine: Callable[[], int], theirs: Callable[[], int], rounds: int) -> list[tuple[float, float]]:
    """Return the rates of each round, ours first; who begins alternates."""
    mine(), theirs()  # what is loaded and connected once is no part of an answer
    rates: list[tuple[float, float]] = []
    for number in range(rounds):
        if number % 2:
            other = rate(theirs)
            rates.append((rate(mine), other))
        else:
            rates.append((rate(mine), rate(theirs)))
    return rates


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Return where the median ratio lies with 95 %, by drawing from the rounds again and again."""
    draw = random.Random(7)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return medians[int(RESAMPLES * 0.025)], medians[int(RESAMPLES * 0.975)]


def main() -> None:
    """Measure in pairs, and print the medians and the ratio within a pair."""
    rounds = int(sys.argv[1]) if sys.argv[1:] else ROUNDS
    with LocalServer.demo() as server:
        rates = pairs(ours(server.base_url), raw(server.base_url), rounds)
    mine, theirs = (statistics.median(each) for each in zip(*rates, strict=True))
    ratios = [one / other for one, other in rates]
    low, high = interval(ratios)
    print(f"tokens a second: vessel_core {mine:,.0f}, httpx {theirs:,.0f}; {rounds} pairs: ", end="")
    print(f"ratio {statistics.median(ratios):.3f}, 95 % within {low:.3f} to {high:.3f} (aim ≥ 0.97)")


if __name__ == "__main__":
    main()
