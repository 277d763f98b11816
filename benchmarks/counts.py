"""`make bench-check`: how many Python calls of ours a streamed token takes, against a stored baseline.

Calls are counted, not timed, so the figures are the same on every machine and at every load. A generator that is resumed is
a call as well: a layer more on a token's way shows. `python -m benchmarks.counts --write` stores what is counted now.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
from langchain_vessel import ChatVessel
from llama_index.core.base.llms.types import ChatMessage
from llama_index.llms.vessel import Vessel
from vessel_core import AsyncClient, Client

from benchmarks import wire

BASELINE = Path(__file__).parent / "baseline.json"
TOKEN, ANSWER = "token", "an answer, its tokens aside"
SPARE = 1.05
"""What an answer may take more. A token may take no call more: counts are the same on every machine and at every load."""
OURS = ("/vessel_core/", "/langchain_vessel/", "/llms/vessel/")
FEW, MANY = 100, 300
SERVER = {"base_url": "http://127.0.0.1:1", "model": "plain"}


class Played(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes event by event, out of no network."""

    def __init__(self, events: list[bytes]) -> None:
        self._events = events

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._events)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self._events:
            yield event


def played(events: list[bytes]) -> httpx.MockTransport:
    """Return a transport that answers every chat with these events."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"data": [{"id": "plain"}]})
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Played(events))

    return httpx.MockTransport(answer)


def calls(work: Callable[[], object]) -> int:
    """Return how many calls into our files `work` makes."""
    made = 0

    def note(frame: FrameType, event: str, _: Any) -> None:
        nonlocal made
        if event == "call" and any(part in frame.f_code.co_filename for part in OURS):
            made += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return made


def _core(backend: str, events: list[bytes]) -> Callable[[], object]:
    client = Client(backend, http_transport=played(events), **SERVER)
    return lambda: list(client.stream([{"role": "user", "content": "?"}]))


def _core_async(backend: str, events: list[bytes]) -> Callable[[], object]:
    client = AsyncClient(backend, http_transport=played(events), **SERVER)

    async def work() -> None:
        async for _ in client.stream([{"role": "user", "content": "?"}]):
            pass

    return lambda: asyncio.run(work())


def _langchain(backend: str, events: list[bytes]) -> Callable[[], object]:
    chat = ChatVessel(client=Client(backend, http_transport=played(events), **SERVER))
    return lambda: list(chat.stream("?"))


def _llama_index(backend: str, events: list[bytes]) -> Callable[[], object]:
    llm = Vessel(backend=backend, http_transport=played(events), **SERVER).connect()
    return lambda: list(llm.stream_chat([ChatMessage("?")]))


WAYS: dict[str, tuple[Callable[[str, list[bytes]], Callable[[], object]], str]] = {
    "core": (_core, "llamacpp"),
    "core, Ollama": (_core, "ollama"),
    "core, async": (_core_async, "llamacpp"),
    "LangChain": (_langchain, "llamacpp"),
    "LlamaIndex": (_llama_index, "llamacpp"),
}


def events_of(backend: str, kind: str, tokens: int) -> list[bytes]:
    """Return the events of an answer."""
    if backend == "ollama":
        return wire.ollama_text(tokens)
    return wire.llamacpp_tool(2 * tokens) if kind == "tool" else wire.llamacpp_text(tokens)


def measured() -> dict[str, float]:
    """Return the calls a token and the calls a whole answer, for each way a token takes."""
    figures: dict[str, float] = {}
    for name, (way, backend) in WAYS.items():
        for kind in ("text",) if backend == "ollama" else ("text", "tool"):
            few, many = (events_of(backend, kind, tokens) for tokens in (FEW, MANY))
            short, long = way(backend, few), way(backend, many)
            short(), long()  # what is made once is no part of an answer
            counted = calls(short)
            per_token = (calls(long) - counted) / (len(many) - len(few))
            figures[f"{name}: a {kind} {TOKEN}"] = round(per_token, 1)
            if kind == "text":
                figures[f"{name}: {ANSWER}"] = round(counted - per_token * len(few))
    return figures


def regressions(figures: dict[str, float], baseline: dict[str, float]) -> list[str]:
    """Return what takes more calls than the baseline allows, in words."""
    return [
        f"{name}: {figures[name]:g} calls, and {known:g} were enough."
        for name, known in baseline.items()
        if figures[name] > (known + 0.5 if name.endswith(TOKEN) else known * SPARE)
    ]


def main() -> None:
    """Print the figures; end with 1 if any is worse than the baseline."""
    figures = measured()
    if "--write" in sys.argv:
        BASELINE.write_text(json.dumps(figures, indent=1) + "\n")
    baseline = json.loads(BASELINE.read_text())
    for name, value in figures.items():
        print(f"{value:8g}  {baseline.get(name, 0):8g}  {name}")
    if worse := regressions(figures, baseline):
        sys.exit("\n".join(worse))


if __name__ == "__main__":
    main()
