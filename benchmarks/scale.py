"""Several hosts and whole corpora, measured: `python -m benchmarks.scale [routing scaling faults bulk memory kills]`.

The hosts are processes of `benchmarks.scale_host` with slots and a fixed latency, so that what is ideal is known.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import resource
import subprocess
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import httpx
from vessel_core import AsyncClient, Client
from vessel_core.bulk import bulk
from vessel_core.vetting import SAMPLE

FAULTS = ("killed", "hang", "busy")


class Host:
    """A host in its own process."""

    def __init__(self, slots: int, milliseconds: float, port: int = 0) -> None:
        self.slots, self.milliseconds = slots, milliseconds
        command = [sys.executable, "-m", "benchmarks.scale_host", str(slots), str(milliseconds), str(port)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"
        self._http = httpx.Client(base_url=self.url, trust_env=False, verify=False)

    @property
    def ideal(self) -> float:
        """Requests a second."""
        return self.slots * 1000 / self.milliseconds

    def set(self, mode: str) -> None:
        self._http.post("/control", json={"mode": mode})

    def counts(self) -> dict[str, Any]:
        return self._http.get("/counts").json()

    def asked(self) -> int:
        """How many texts it was asked."""
        return self._http.get("/asked").json()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


async def ask_all(client: AsyncClient, count: int, concurrency: int, at: dict[int, Callable[[], Any]]) -> list[float]:
    """Embed `count` texts; return when each was answered. `at` says what happens before which request."""
    numbers = iter(range(count))
    ended: list[float] = []

    async def work() -> None:
        for number in numbers:
            if number in at:
                await asyncio.to_thread(at[number])
            await client.embed([f"text {number}"])
            ended.append(time.monotonic())

    await asyncio.gather(*(work() for _ in range(concurrency)))
    return ended


async def rate(hosts: list[Host], count: int, concurrency: int) -> tuple[float, AsyncClient]:
    """Return requests a second."""
    async with AsyncClient("llamacpp", base_url=[host.url for host in hosts]) as client:
        await client.embed(["first"])
        since = time.monotonic()
        ended = await ask_all(client, count, concurrency, {})
        return count / (ended[-1] - since), client


def routing() -> None:
    """C2, C4: two uneven hosts."""
    for concurrency in (10, 20, 40):
        with Host(8, 50) as fast, Host(2, 100) as slow:
            found, _ = asyncio.run(rate([fast, slow], 1500, concurrency))
            ideal = fast.ideal + slow.ideal
            most = [host.counts()["most"] for host in (fast, slow)]
            print(
                f"routing: 8 × 50 ms and 2 × 100 ms, {concurrency} at once: {found:.0f}/s, {found / ideal:.0%} of ideal;"
            )
            print(f"  most in flight {most} of 12 and 3 allowed")


def scaling() -> None:
    """C3: one host to eight equal ones."""
    rates = {}
    for many in (1, 2, 4, 8):
        hosts = [Host(4, 200) for _ in range(many)]
        try:
            rates[many] = (
                asyncio.run(rate(hosts, 150 * many, 6 * many))[0] if many > 1 else asyncio.run(alone(hosts[0]))
            )
        finally:
            for host in hosts:
                host.kill()
        print(f"scaling: {many} hosts of 4 × 200 ms: {rates[many]:.1f}/s, {rates[many] / rates[1]:.2f} times one")


async def alone(host: Host) -> float:
    async with AsyncClient("llamacpp", base_url=host.url) as client:
        await client.embed(["first"])
        since = time.monotonic()
        return 150 / ((await ask_all(client, 150, 6, {}))[-1] - since)


def faults(count: int = 10_000) -> None:
    """C5: one of three hosts is killed, hangs, or answers 503 in the middle, and comes back."""
    for what in FAULTS:
        hosts = [Host(4, 40) for _ in range(3)]
        back: list[Host] = []
        try:
            print(asyncio.run(one_fault(what, hosts, count, back)), flush=True)
        finally:
            for host in (*hosts, *back):
                host.kill()


async def one_fault(what: str, hosts: list[Host], count: int, back: list[Host]) -> str:
    times: dict[str, float] = {}

    def fail() -> None:
        hosts[0].kill() if what == "killed" else hosts[0].set(what)
        times["failed"] = time.monotonic()

    def mend() -> None:
        back.append(Host(4, 40, hosts[0].port)) if what == "killed" else hosts[0].set("well")
        times["mended"] = time.monotonic()

    async with AsyncClient("llamacpp", base_url=[host.url for host in hosts]) as client:
        await client.embed(["first"])
        watcher = asyncio.ensure_future(returned(client, times))
        ended = await ask_all(client, count, 24, {count * 3 // 10: fail, count * 6 // 10: mend})
        await asyncio.wait([watcher], timeout=10)
        again = watcher.result() - times["mended"] if watcher.done() else float("nan")
    twice = sum(often > 1 for often in asked_of({host.url: host for host in [*hosts, *back]}.values()).values())
    before = sum(times["failed"] - 3 <= at < times["failed"] for at in ended) / 3
    after = sum(times["failed"] + 2 <= at < times["failed"] + 5 for at in ended) / 3
    seconds = [sum(times["failed"] + at <= end < times["failed"] + at + 1 for end in ended) for at in range(-2, 12)]
    print(f"  answers in each second from 2 s before it: {seconds}")
    return (
        f"faults: {what}: {len(ended)} of {count} answered, {twice} of them by two hosts; {before:.0f}/s before, "
        f"{after:.0f}/s from 2 s after it: {after / (before * 2 / 3):.0%} of what two hosts did; taken back after {again:.1f} s"
    )


def asked_of(hosts: Iterable[Host]) -> Counter[str]:
    """Return how often each text was asked, without the one that hosts are compared by."""
    texts = Counter[str]()
    for host in hosts:
        with suppress(httpx.HTTPError):
            texts.update(host.counts()["texts"])
    for text in SAMPLE:
        del texts[text]
    return texts


async def returned(client: AsyncClient, times: dict[str, float]) -> float:
    """Return when the first host was ready again after it was mended."""
    while "mended" not in times or client.hosts()[0].state != "ready":  # noqa: ASYNC110 - there is no event
        await asyncio.sleep(0.02)
    return time.monotonic()


def corpus(path: Path, rows: int) -> Path:
    with path.open("w") as file:
        for number in range(rows):
            file.write(json.dumps({"id": f"row-{number}", "text": f"text {number}"}) + "\n")
    return path


def bulk_cost(rows: int = 10_000, size: int = 64, concurrency: int = 8) -> None:
    """C7: `bulk` beside a bare httpx loop that does the same, file to file; the best of five each."""
    with TemporaryDirectory() as folder, Host(concurrency, 1) as host:
        source, best = corpus(Path(folder, "in.jsonl"), rows), {"bare": 9e9, "bulk": 9e9}
        client = Client("llamacpp", base_url=host.url)
        for _ in range(5):
            since = time.monotonic()
            asyncio.run(bare(host.url, source, Path(folder, "bare.jsonl"), size, concurrency))
            best["bare"] = min(best["bare"], time.monotonic() - since)
            options: dict[str, Any] = {"batch_size": size, "concurrency": concurrency, "progress": False}
            report = bulk(source, Path(folder, "bulk.jsonl"), client=client, overwrite=True, **options)
            best["bulk"] = min(best["bulk"], report.seconds)
    more = best["bulk"] / best["bare"] - 1
    print(f"bulk: {rows:,} texts, {size} a request: {best['bulk']:.2f} s, bare httpx {best['bare']:.2f} s: {more:+.0%}")


async def bare(url: str, source: Path, to: Path, size: int, concurrency: int) -> None:
    """What somebody writes who needs no more: read, post, write."""
    with source.open() as lines, to.open("w") as out:
        rows = map(json.loads, lines)
        async with httpx.AsyncClient(trust_env=False) as client:

            async def work() -> None:
                while batch := list(islice(rows, size)):
                    body = {"input": [row["text"] for row in batch]}
                    answer = (await client.post(f"{url}/v1/embeddings", json=body)).raise_for_status().json()
                    for row, found in zip(batch, answer["data"], strict=True):
                        vector = array("f", base64.b64decode(found["embedding"])).tolist()
                        out.write(json.dumps({"id": row["id"], "embedding": vector}) + "\n")

            await asyncio.gather(*(work() for _ in range(concurrency)))


def memory(rows: int = 1_000_000) -> None:
    """C7: a million rows, streamed: how much more memory at the end than at the beginning."""
    with TemporaryDirectory() as folder, Host(8, 1) as host:
        seen: list[int] = []
        texts = ({"id": number, "text": f"text {number}"} for number in range(rows))
        client = Client("llamacpp", base_url=host.url)
        told = lambda progress: seen.append(resident()) if progress.done > rows / 100 else None  # noqa: E731
        options: dict[str, Any] = {"batch_size": 1000, "concurrency": 4, "progress": told}
        report = bulk(texts, Path(folder, "out.jsonl"), client=client, **options)
    print(f"memory: {report.rows:,} rows in {report.seconds:.0f} s; {seen[0]} MB after 1 %, {max(seen)} MB at most")


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1_000_000


def kills(times: int = 20, rows: int = 10_000) -> None:
    """C6: `vessel embed` as it is, over two hosts, killed at a random moment, and run again to the end; each row once, and how
    many texts were asked twice."""
    worst, whole = 0, 0
    for number in range(times):
        with TemporaryDirectory() as folder, Host(8, 20) as one, Host(8, 20) as other:
            source, to = corpus(Path(folder, "in.jsonl"), rows), Path(folder, "out.jsonl")
            command = [
                sys.executable,
                "-m",
                "vessel_core.cli",
                "embed",
                "-b",
                "llamacpp",
                "-u",
                one.url,
                "-u",
                other.url,
            ]
            command += ["--from", str(source), "--to", str(to)]
            child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            goal = random.Random(number).randrange(rows * 8 // 10)
            while one.asked() + other.asked() <= goal:
                time.sleep(random.random() / 50)
            child.kill()
            child.wait()
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
            again = asked_of([one, other]).total() - rows
            found = [json.loads(line) for line in to.read_text().splitlines()]
            whole += [row["id"] for row in found] == [f"row-{at}" for at in range(rows)] and all(
                row["embedding"] for row in found
            )
            worst = max(worst, again)
    print(
        f"kills: {whole} of {times} outputs have each of {rows:,} rows once; at most {worst} asked twice ({worst / rows:.2%})"
    )


PARTS: dict[str, Callable[[], None]] = {
    "routing": routing,
    "scaling": scaling,
    "faults": faults,
    "bulk": bulk_cost,
    "memory": memory,
    "kills": kills,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()
