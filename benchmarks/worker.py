"""One client in a process of its own. It reads a command a line from standard input, does it, and answers with figures.

CPU time is this process's, in seconds; memory is in MB, at its highest.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.clients import CLIENTS
from benchmarks.wire import words

Figures = dict[str, float]


def peak_memory() -> float:
    """Return the most memory this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(work: Callable[[], int]) -> Figures:
    """Return CPU and wall time of `work`, and how many pieces it says it got."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    pieces = work()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "pieces": pieces}


class Worker:
    """The commands; each is a method, its arguments come with the command."""

    def __init__(self, name: str, url: str) -> None:
        self._client = CLIENTS[name](url)
        self._loop = asyncio.new_event_loop()

    def check(self, model: str, text: str) -> Figures:
        """Make sure that the whole answer comes, sync and async: a client that loses some is no comparison."""
        for came in ("".join(self._client.stream(model)), self._loop.run_until_complete(self._whole(model))):
            if came != text:
                raise AssertionError(f"{len(came)} characters of {len(text)} came: {came[:200]!r}")
        return {}

    async def _whole(self, model: str) -> str:
        return "".join([text async for text in self._client.astream(model)])

    def stream(self, model: str, times: int = 1) -> Figures:
        return timed(lambda: sum(1 for _ in range(times) for _ in self._client.stream(model)))

    def added(self, model: str, times: int = 1) -> Figures:
        return timed(lambda: sum(1 for _ in range(times) for _ in self._client.added(model)))

    def astream(self, model: str, times: int = 1) -> Figures:
        async def all_of_it() -> int:
            pieces = 0
            for _ in range(times):
                async for _ in self._client.astream(model):
                    pieces += 1
            return pieces

        return timed(lambda: self._loop.run_until_complete(all_of_it()))

    def first(self, model: str, times: int = 1) -> Figures:
        """CPU up to the first text; the rest of the answer is read, and not counted."""
        self._client.invoke(model)
        cpu = 0.0
        for _ in range(times):
            began = time.process_time()
            pieces = iter(self._client.stream(model))
            while not next(pieces):
                pass
            cpu += time.process_time() - began
            for _ in pieces:
                pass
        return {"cpu": cpu}

    def invoke(self, model: str, times: int = 1) -> Figures:
        self._client.invoke(model)  # what is loaded and connected once is no part of a call
        return timed(lambda: sum(len(self._client.invoke(model)) for _ in range(times)))

    def ainvoke(self, model: str, times: int = 1) -> Figures:
        async def all_of_it() -> int:
            return sum([len(await self._client.ainvoke(model)) for _ in range(times)])

        self._loop.run_until_complete(self._client.ainvoke(model))
        return timed(lambda: self._loop.run_until_complete(all_of_it()))

    def many(self, model: str, streams: int) -> Figures:
        """Run streams at once on one loop; `done` counts those of which every character came."""
        self._loop.run_until_complete(self._whole("text-2"))
        before = peak_memory()
        whole = len("".join(words(int(model.split("-")[1]))))

        async def one() -> int:
            return sum([len(text) async for text in self._client.astream(model)])

        async def all_of_them() -> int:
            ended = await asyncio.gather(*(one() for _ in range(streams)), return_exceptions=True)
            return ended.count(whole)

        figures = timed(lambda: self._loop.run_until_complete(all_of_them()))
        figures["done"] = figures.pop("pieces")
        return {**figures, "memory": peak_memory() - before}

    def embed(self, model: str, count: int) -> Figures:
        """Embed once everything is imported and connected; `memory` is what the vectors and their way here take."""
        self._client.embed(model, ["warm", "up"])
        texts = [f"text {at}" for at in range(count)]
        before = peak_memory()
        figures = timed(lambda: len(self._client.embed(model, texts)))
        return {**figures, "memory": peak_memory() - before}

    def construct(self, model: str, times: int) -> Figures:
        self._client.construct(model)
        made: list[Any] = []

        def work() -> int:
            made.extend(self._client.construct(model) for _ in range(times))
            return times

        return timed(work)


def main(name: str, url: str) -> None:
    """Do what comes over standard input until it ends."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a client prints goes elsewhere
    worker = Worker(name, url)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            figures = getattr(worker, command.pop("do"))(**command)
        except Exception as error:
            figures = {"error": f"{type(error).__name__}: {error}"[:500]}
        print(json.dumps(figures), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
