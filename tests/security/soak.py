"""`make soak`: fifty streams in parallel for minutes, one request in twenty goes wrong: does anything pile up or get lost?

    python -m tests.security.soak 30        # minutes

A server in a process of its own answers by what the prompt says, and breaks one answer in twenty: refuses, hangs up, cuts,
writes nonsense. The streams go through the core, LangChain and LlamaIndex. Every answer is compared with the one that is
due: one that is wrong or missing without an error is lost.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from langchain_vessel import ChatVessel
from llama_index.llms.vessel import Vessel
from vessel_core import AsyncClient
from vessel_core.errors import VesselError

STREAMS = 50
FAULTY = 0.05
WARM_UP = 15.0
MORE_MEMORY = 5.0
WORDS = 20

Ask = Callable[[str], Awaitable[str]]


def due(prompt: str) -> str:
    """Return the answer to a prompt."""
    return "".join(f"{prompt}-{number} " for number in range(WORDS))


# ------------------------------------------------------------------------------------------------------------- the server


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    try:
        while (head := await reader.readuntil(b"\r\n\r\n")) and await reply(head, reader, writer):
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def reply(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answer one request; tell whether the connection goes on."""
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    body = await reader.readexactly(length)
    if not body:
        data = json.dumps({"object": "list", "data": [{"id": "m", "owned_by": "vllm"}]}).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data) + data
        )
        return True
    prompt: str = json.loads(body)["messages"][-1]["content"]
    fault = random.choice(("500", "hang up", "cut", "reset", "nonsense")) if random.random() < FAULTY else ""
    if fault == "500":
        writer.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops")
        return True
    if fault == "hang up":
        return False
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for number in range(WORDS):
        delta = {"choices": [{"index": 0, "delta": {"content": f"{prompt}-{number} "}, "finish_reason": None}]}
        chunk(writer, b"data: " + json.dumps(delta).encode() + b"\n\n")
        await asyncio.sleep(0.002)
        if writer.is_closing():  # the client hung up
            return False
        if number == WORDS // 2 and fault == "nonsense":
            chunk(writer, b"data: {nonsense\n\n")
        if number == WORDS // 2 and fault in ("cut", "reset"):
            if fault == "reset":
                writer.transport.abort()
            return False
    chunk(writer, b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n')
    writer.write(b"0\r\n\r\n")
    return True


def chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Write one chunk."""
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))


async def serve() -> None:
    """Serve, and say where."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# ------------------------------------------------------------------------------------------------------------ the streams


def askers(url: str) -> list[Ask]:
    """Return the three ways of asking."""
    core = AsyncClient("openai", base_url=url, model="m")
    chat = ChatVessel(backend="openai", base_url=url, model="m")
    llm = Vessel(backend="openai", base_url=url, model="m")

    async def by_core(prompt: str) -> str:
        return "".join([delta.text async for delta in core.stream([{"role": "user", "content": prompt}])])

    async def by_langchain(prompt: str) -> str:
        return "".join([str(part.text) async for part in chat.astream(prompt)])

    async def by_llamaindex(prompt: str) -> str:
        return "".join([part.delta or "" async for part in await llm.astream_complete(prompt)])

    return [by_core, by_langchain, by_llamaindex]


def held() -> dict[str, float]:
    """Return what this process holds: file descriptors, tasks, threads, memory in MiB, once malloc gave back what it can."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    status = Path("/proc/self/status").read_text().splitlines()
    memory = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
    counts = {
        "fds": len(list(Path("/proc/self/fd").iterdir())),
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
    }
    return {**counts, "rss": round(memory / 1024, 1)}


async def worker(number: int, asks: list[Ask], until: float, seen: Counter[str]) -> None:
    """Ask again and again."""
    ask, turn = asks[number % len(asks)], 0
    while time.monotonic() < until:
        turn += 1
        prompt = f"{number}.{turn}"
        try:
            text = await ask(prompt)
        except VesselError as error:
            seen[type(error).__name__] += 1
        else:
            seen["good" if text == due(prompt) else "lost"] += 1


async def phase(asks: list[Ask], seconds: float, seen: Counter[str]) -> dict[str, float]:
    """Let all streams run, telling every minute what is held, and say what is held at the end."""
    until = time.monotonic() + seconds
    telling = asyncio.create_task(tell(seen))
    await asyncio.gather(*(worker(number, asks, until, seen) for number in range(STREAMS)))
    telling.cancel()
    await asyncio.wait([telling])
    return held()


async def tell(seen: Counter[str]) -> None:
    """Say how far it is."""
    minutes = 0
    while True:
        await asyncio.sleep(60)
        minutes += 1
        print(f"{minutes} min, {seen.total():,} streams: {held()}", flush=True)


def soak(minutes: float, warm_up: float = WARM_UP) -> tuple[Counter[str], dict[str, float]]:
    """Run; return what came of the streams, and what more is held at the end than after so many seconds of warm-up."""
    command = [sys.executable, "-m", "tests.security.soak", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            return asyncio.run(both_phases(f"http://127.0.0.1:{int(server.stdout.readline())}", minutes, warm_up))
        finally:
            server.terminate()


async def both_phases(url: str, minutes: float, warm_up: float) -> tuple[Counter[str], dict[str, float]]:
    """Warm up, soak, and compare what is held after either."""
    asks, seen = askers(url), Counter[str]()
    before = await phase(asks, warm_up, Counter())
    after = await phase(asks, minutes * 60, seen)
    grown = {name: round(after[name] - before[name], 1) for name in before}
    print(f"{seen.total():,} streams in {minutes:g} min: {dict(seen.most_common())}")
    print(f"after the warm-up {before}, at the end {after}: {grown}")
    return seen, grown


def is_whole(seen: Counter[str], grown: Mapping[str, float]) -> bool:
    """Tell whether nothing got lost or piled up. Connections kept for the next call come and go with the faults, up to one a
    stream."""
    leaks = grown["fds"] > STREAMS or grown["tasks"] > 0 or grown["threads"] > 0 or grown["rss"] > MORE_MEMORY
    return seen["lost"] == 0 and not leaks


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    sys.exit(0 if is_whole(*soak(float((sys.argv[1:] or ["30"])[0]))) else 1)
