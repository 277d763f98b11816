"""What no client can go below: a socket or httpx with a parser, lists without any request."""

from __future__ import annotations

import asyncio
import json
import socket
from abc import ABC, abstractmethod
from array import array
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

from benchmarks.kinds import PROMPT


class Parsed(ABC):
    """An answer read by orjson and nothing else."""

    def __init__(self, url: str, path: str) -> None:
        import orjson

        self._loads = orjson.loads
        self._url = url + path
        self._native = path == "/api/chat"

    def _body(self, model: str) -> bytes:
        return json.dumps({"model": model, "messages": [{"role": "user", "content": PROMPT}], "stream": True}).encode()

    def _texts(self, held: bytes, data: bytes) -> tuple[bytes, list[str]]:
        *lines, held = (held + data).split(b"\n")
        texts: list[str] = []
        for line in lines:
            if self._native and line:
                texts.append(self._loads(line)["message"]["content"])
            elif line.startswith(b"data: {"):
                choices = self._loads(line[6:])["choices"]
                texts.append((choices and choices[0]["delta"].get("content")) or "")
        return held, texts

    @abstractmethod
    def stream(self, model: str) -> Iterator[str]: ...

    @abstractmethod
    def astream(self, model: str) -> AsyncIterator[str]: ...

    def invoke(self, model: str) -> str:
        return "".join(self.stream(model))

    async def ainvoke(self, model: str) -> str:
        return "".join([text async for text in self.astream(model)])


class Httpx(Parsed):
    """httpx and orjson and nothing else: what any client on httpx pays."""

    def __init__(self, url: str, path: str) -> None:
        import httpx

        super().__init__(url, path)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._client = httpx.Client(limits=limits, timeout=600)
        self._async_client = httpx.AsyncClient(limits=limits, timeout=600)

    def stream(self, model: str) -> Iterator[str]:
        held = b""
        with self._client.stream("POST", self._url, content=self._body(model)) as response:
            for data in response.iter_raw():
                held, texts = self._texts(held, data)
                yield from texts

    async def astream(self, model: str) -> AsyncIterator[str]:
        held = b""
        async with self._async_client.stream("POST", self._url, content=self._body(model)) as response:
            async for data in response.aiter_raw():
                held, texts = self._texts(held, data)
                for text in texts:
                    yield text


class HttpxTransport(Httpx):
    """httpx's connections without its clients, as ours are used."""

    def __init__(self, url: str, path: str) -> None:
        import httpx

        super().__init__(url, path)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._pool = httpx.HTTPTransport(limits=limits)
        self._async_pool = httpx.AsyncHTTPTransport(limits=limits)

    def _request(self, model: str) -> Any:
        import httpx

        return httpx.Request("POST", self._url, content=self._body(model))

    def stream(self, model: str) -> Iterator[str]:
        held = b""
        response = self._pool.handle_request(self._request(model))
        for data in response.stream:
            held, texts = self._texts(held, data)
            yield from texts
        response.close()

    async def astream(self, model: str) -> AsyncIterator[str]:
        held = b""
        response = await self._async_pool.handle_async_request(self._request(model))
        async for data in response.stream:
            held, texts = self._texts(held, data)
            for text in texts:
                yield text
        await response.aclose()


class Bare(Parsed):
    """A socket, or a transport of asyncio's: what any client pays for being woken."""

    END = b"0\r\n\r\n"

    def __init__(self, url: str, path: str) -> None:
        super().__init__(url, path)
        self._at = urlsplit(self._url)
        self._socket: socket.socket | None = None
        self._protocol: _Arrivals | None = None

    def _request(self, model: str) -> bytes:
        body = self._body(model)
        return b"POST %b HTTP/1.1\r\nHost: server\r\nContent-Length: %d\r\n\r\n%b" % (
            self._at.path.encode(),
            len(body),
            body,
        )

    def stream(self, model: str) -> Iterator[str]:
        if self._socket is None:
            self._socket = socket.create_connection((self._at.hostname or "", self._at.port or 80), timeout=60)
        self._socket.sendall(self._request(model))
        held, data = b"", b""
        while not data.endswith(self.END):
            data = self._socket.recv(65536)
            held, texts = self._texts(held, data)
            yield from texts

    async def astream(self, model: str) -> AsyncIterator[str]:
        if self._protocol is None:
            loop = asyncio.get_running_loop()
            _, self._protocol = await loop.create_connection(_Arrivals, self._at.hostname, self._at.port or 80)
        self._protocol.transport.write(self._request(model))
        held, data = b"", b""
        while not data.endswith(self.END):
            data = await self._protocol.read()
            held, texts = self._texts(held, data)
            for text in texts:
                yield text


class _Arrivals(asyncio.Protocol):
    """Wakes who reads when something comes."""

    transport: asyncio.WriteTransport

    def __init__(self) -> None:
        self._came = bytearray()
        self._waiting: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._came += data
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def read(self) -> bytes:
        if not self._came:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        data = bytes(self._came)
        self._came.clear()
        return data


class Lists:
    """The least that vectors take as the lists of floats that LangChain wants: they are made, and nothing is asked."""

    def __init__(self, url: str) -> None:
        self._row = array("f", [0.1 * at for at in range(1024)])

    def embed(self, model: str, texts: list[str]) -> list[list[float]]:
        return [self._row.tolist() for _ in texts]
