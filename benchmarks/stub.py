"""A server in its own process that plays pre-encoded answers: `python -m benchmarks.stub` prints its port.

The model's name says what is played: `text-2000` is an answer of 2,000 tokens in as few segments as they fit into,
`text-2000-1` the same with each event in its own segment, 1 ms apart; `tool-65536` a call with so many characters of
arguments; `embed-1024` vectors. It ends with its standard input, that is with the process that started it.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from benchmarks import wire

SSE = b"Content-Type: text/event-stream\r\n"
NDJSON = b"Content-Type: application/x-ndjson\r\n"
STREAMED = b"HTTP/1.1 200 OK\r\n%bServer: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nServer: %b\r\nContent-Length: %d\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
BACKLOG = 4096


def answer_events(path: str, model: str) -> list[bytes]:
    """Return the events of the answer that a model's name asks for."""
    kind, size = model.split("-")[:2]
    if path == "/api/chat":
        return wire.ollama_text(int(size))
    return wire.llamacpp_tool(int(size)) if kind == "tool" else wire.llamacpp_text(int(size))


@cache
def segments(path: str, model: str) -> tuple[float, tuple[bytes, ...]]:
    """Return the pause between segments in seconds, and the segments: each event is one HTTP chunk."""
    native = path == "/api/chat"
    head = STREAMED % (NDJSON if native else SSE, b"Ollama" if native else b"llama.cpp")
    chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in answer_events(path, model)]
    pause = model.split("-")[2:]
    if pause:
        return float(pause[0]) / 1000, (head, *chunks, LAST_CHUNK)
    return 0.0, (head + b"".join(chunks) + LAST_CHUNK,)


@cache
def document(path: str, count: int, model: str, form: str) -> bytes:
    """Return a whole reply: embeddings, or what clients ask about the server."""
    if path in ("/v1/embeddings", "/api/embed"):
        body = wire.embeddings(count, int(model.split("-")[1]), form)
    elif path == "/v1/chat/completions":
        body = wire.llamacpp_whole(int(model.split("-")[1]))
    else:
        body = json.dumps(ABOUT.get(path, {})).encode()
    return WHOLE % (b"Ollama" if path.startswith("/api/") else b"llama.cpp", len(body)) + body


def reply(path: str, asked: dict[str, Any]) -> tuple[float, tuple[bytes, ...]]:
    """Return what answers a request: the pause between segments in seconds, and the segments."""
    model = str(asked.get("model", ""))
    if path == "/api/chat" or (path == "/v1/chat/completions" and asked.get("stream")):
        return segments(path, model)
    texts = asked.get("input", ())
    form = "ollama" if path == "/api/embed" else asked.get("encoding_format", "float")
    return 0.0, (document(path, 1 if isinstance(texts, str) else len(texts), model, form),)


ABOUT: dict[str, Any] = {
    "/health": {"status": "ok"},
    "/v1/models": {"object": "list", "data": [{"id": "plain.gguf", "owned_by": "llamacpp", "meta": {"n_ctx": 8192}}]},
    "/props": {"build_info": "b1-0c1e570", "chat_template": "{{ messages }}", "modalities": {"vision": False}},
    "/api/version": {"version": "0.13.0"},
    "/api/tags": {"models": [{"name": "plain", "details": {}}]},
    "/api/ps": {"models": []},
    "/api/show": {"capabilities": ["completion"], "model_info": {}},
}


class Ticker:
    """Sends the next segment of every paced answer, all of one pace in one go: thousands of timers would be the work."""

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._playing: list[tuple[asyncio.WriteTransport, list[bytes]]] = []

    def add(self, transport: asyncio.WriteTransport, pieces: tuple[bytes, ...]) -> None:
        if not self._playing:
            asyncio.get_running_loop().call_later(self._pause, self._tick)
        self._playing.append((transport, list(reversed(pieces))))

    def _tick(self) -> None:
        self._playing = [each for each in self._playing if not each[0].is_closing()]
        for transport, left in self._playing:
            transport.write(left.pop())
        self._playing = [each for each in self._playing if each[1]]
        if self._playing:
            asyncio.get_running_loop().call_later(self._pause, self._tick)


tickers: dict[float, Ticker] = {}


class Connection(asyncio.Protocol):
    """One client's connection; requests come one after another."""

    def __init__(self) -> None:
        self._came = bytearray()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._came += data
        end = self._came.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._came[:end])
        size = _content_length(head)
        if len(self._came) < end + 4 + size:
            return
        body = bytes(self._came[end + 4 : end + 4 + size])
        del self._came[: end + 4 + size]
        self._answer(head.split(b" ", 2)[1].decode().partition("?")[0], json.loads(body) if body else {})

    def _answer(self, path: str, asked: dict[str, Any]) -> None:
        assert self._transport is not None
        pause, pieces = reply(path, asked)
        if not pause:
            self._transport.write(pieces[0])
            return
        if pause not in tickers:
            tickers[pause] = Ticker(pause)
        tickers[pause].add(self._transport, pieces)


def _content_length(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)


async def serve() -> None:
    """Serve on a port that the system picks, until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), lambda: ended.set() if not os.read(sys.stdin.fileno(), 1) else None)
    await ended.wait()


def _runner() -> Callable[[Any], Any]:
    try:
        import uvloop  # pyright: ignore[reportMissingImports]
    except ImportError:
        return asyncio.run
    return uvloop.run


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    _runner()(serve())
