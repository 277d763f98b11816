"""`make bench-check`: how many calls a streamed token takes, ours and pydantic's, against a stored baseline.

Calls are counted, not timed, so the figures are the same on every machine and at every load. What our code calls in C counts
as well: a document that is parsed twice shows, and a text that is copied. A generator that is resumed is a call, too: a layer
more on a token's way shows. What is counted goes over connections of our own, as calls do by default; only the socket is a
pair, whose other end plays what the stub server does: tokens one by one, each in its own read, or all in one, joined or apart.
Constructing a model object is counted as well. `python -m benchmarks.counts --write` stores what is counted now.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

from langchain_vessel import ChatVessel
from llama_index.core.base.llms.types import ChatMessage
from llama_index.llms.vessel import Vessel
from vessel_core import AsyncClient, Client
from vessel_core.transport import plain, plain_async

from benchmarks import stub

BASELINE = Path(__file__).parent / "baseline.json"
TOKEN, ANSWER, WHOLE = "token", "an answer, its tokens aside", "a short answer, whole"
CONSTRUCTED = "a model object"
SPARE = 1.05
"""What an answer may take more. A token may take no call more: counts are the same on every machine and at every load."""
COUNTED = ("/vessel_core/", "/langchain_vessel/", "/llms/vessel/", "/pydantic/", "/json/")
"""Our files, and those that a validated object or a slower parser would come through."""
VALIDATING = 10
"""For how many calls it counts that pydantic validates something: making an object without that takes some as well."""
FEW, MANY = 50, 150
"""Tokens of an answer: those that come at once fit into one read."""
MESSAGES: list[Any] = [{"role": "user", "content": "?"}]


class Played(socket.socket):
    """Our end of a connection to a server that answers at once: it sends each segment as soon as the one before was read."""

    def __init__(self) -> None:
        ours, self._other = socket.socketpair()
        for end in (ours, self._other):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * plain.MOST)
        self._other.setblocking(False)
        super().__init__(ours.family, ours.type, ours.proto, fileno=ours.detach())
        self._rest: list[bytes] = []

    def send(self, data: Any, flags: int = 0, /) -> int:
        head, _, content = bytes(data).partition(b"\r\n\r\n")
        _, segments = stub.reply(head.split(b" ", 2)[1].decode(), json.loads(content or b"{}"))
        self._rest = list(reversed(segments))
        self._play()
        return len(data)

    def recv(self, most: int, flags: int = 0, /) -> bytes:
        data = super().recv(most)
        self._play()
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        size = super().recv_into(buffer)
        self._play()
        return size

    def _play(self) -> None:
        if self._rest:
            self._other.sendall(self._rest.pop())

    def close(self) -> None:
        self._other.close()
        super().close()


def _played(*_: object) -> socket.socket:
    return Played()


async def _played_async(*_: object) -> socket.socket:
    opened = Played()
    opened.setblocking(False)
    return opened


def calls(work: Callable[[], object]) -> int:
    """Return how many calls `work` makes, of what is written in the files that are counted and of what these call in C."""
    made = 0

    def note(frame: FrameType, event: str, called: Any) -> None:
        nonlocal made
        if event in ("call", "c_call") and any(part in frame.f_code.co_filename for part in COUNTED):
            made += VALIDATING if getattr(called, "__name__", None) == "validate_python" else 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return made


def _core(**server: Any) -> Callable[[], object]:
    client = Client(**server)
    return lambda: list(client.stream(MESSAGES))


def _core_whole(**server: Any) -> Callable[[], object]:
    client = Client(**server)
    return lambda: client.chat(MESSAGES)


def _core_async(**server: Any) -> Callable[[], object]:
    client = AsyncClient(**server)

    async def work() -> None:
        async for _ in client.stream(MESSAGES):
            pass

    return lambda: asyncio.run(work())


def _core_async_whole(**server: Any) -> Callable[[], object]:
    client = AsyncClient(**server)
    return lambda: asyncio.run(client.chat(MESSAGES))


def _langchain(**server: Any) -> Callable[[], object]:
    chat = ChatVessel(**server)
    return lambda: list(chat.stream("?"))


def _langchain_async(**server: Any) -> Callable[[], object]:
    chat = ChatVessel(**server)

    async def work() -> None:
        async for _ in chat.astream("?"):
            pass

    return lambda: asyncio.run(work())


def _langchain_whole(**server: Any) -> Callable[[], object]:
    chat = ChatVessel(**server)
    return lambda: chat.invoke("?")


def _llama_index(**server: Any) -> Callable[[], object]:
    llm = Vessel(**server).connect()
    return lambda: list(llm.stream_chat([ChatMessage("?")]))


def _llama_index_async(**server: Any) -> Callable[[], object]:
    llm = Vessel(**server).connect()

    async def work() -> None:
        async for _ in await llm.astream_chat([ChatMessage("?")]):
            pass

    return lambda: asyncio.run(work())


def _llama_index_whole(**server: Any) -> Callable[[], object]:
    llm = Vessel(**server).connect()
    return lambda: llm.chat([ChatMessage("?")])


Way = Callable[..., Callable[[], object]]

STREAMED: dict[str, tuple[Way, str]] = {
    "core": (_core, "llamacpp"),
    "core, Ollama": (_core, "ollama"),
    "core, async": (_core_async, "llamacpp"),
    "core, async, Ollama": (_core_async, "ollama"),
    "LangChain": (_langchain, "llamacpp"),
    "LangChain, Ollama": (_langchain, "ollama"),
    "LangChain, async": (_langchain_async, "llamacpp"),
    "LlamaIndex": (_llama_index, "llamacpp"),
    "LlamaIndex, Ollama": (_llama_index, "ollama"),
    "LlamaIndex, async": (_llama_index_async, "llamacpp"),
}
RETURNED_WHOLE: dict[str, Way] = {
    "core": _core_whole,
    "core, async": _core_async_whole,
    "LangChain": _langchain_whole,
    "LlamaIndex": _llama_index_whole,
}
FACES: dict[str, Callable[..., Any]] = {"LangChain": ChatVessel, "LlamaIndex": Vessel}
ANSWERS: dict[str, tuple[str, dict[str, Any]]] = {
    "one by one: a text": ("text-{}-1", {}),
    "one by one: a tool": ("tool-{}-1", {}),
    "all at once, joined: a text": ("text-{}", {}),
    "all at once, apart: a text": ("text-{}", {"together": False}),
}
"""How tokens come: the stub server's name for so many of them, and our options."""


def measured() -> dict[str, float]:
    """Return the calls a token and the calls a whole answer, for each way they take."""
    with (
        mock.patch.object(plain, "_connected", _played),
        mock.patch.object(plain_async, "connect", _played_async),
        mock.patch("time.monotonic", return_value=0.0),  # or it would hang on microseconds whether a timer is set anew
    ):
        whole = {f"{name}: {WHOLE}": _counted(way, "llamacpp", "text-12") for name, way in RETURNED_WHOLE.items()}
        return _streamed() | whole | {f"{name}: {CONSTRUCTED}": _constructed(face) for name, face in FACES.items()}


def _streamed() -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, (way, backend) in STREAMED.items():
        for kind, (model, options) in ANSWERS.items():
            if backend == "ollama" and "tool" in kind:
                continue
            size = 2 if "tool" in kind else 1  # characters of a token
            few, many = (_counted(way, backend, model.format(size * tokens), **options) for tokens in (FEW, MANY))
            per_token = (many - few) / (MANY - FEW)
            figures[f"{name}, {kind} {TOKEN}"] = round(per_token, 1)
            if "text" in kind:
                figures[f"{name}, {kind.partition(':')[0]}: {ANSWER}"] = round(few - per_token * FEW)
    return figures


def _constructed(face: Callable[..., Any]) -> int:
    def work() -> Any:
        return face(backend="llamacpp", model="text-12", base_url="http://127.0.0.1:1")

    work()
    return calls(work)


def _counted(way: Way, backend: str, model: str, **options: Any) -> int:
    work = way(backend=backend, model=model, base_url="http://127.0.0.1:1", **options)
    work()  # what is made once is no part of an answer
    return calls(work)


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
