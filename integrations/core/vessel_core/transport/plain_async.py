"""Async connections by httpx itself. A module of its own: it loads what httpx loads only when it is first used."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from vessel_core.transport.unhurried import unhurried

MOST_HELD = 256 * 1024
"""Bytes that may have come and not been read: reading stops until they are."""


def plain_transport(*, secure: bool, proxy: str | None, **arguments: Any) -> httpx.AsyncHTTPTransport:
    """Return httpx's connections, which take these arguments; `secure` tells that they are encrypted."""
    transport = httpx.AsyncHTTPTransport(proxy=proxy, **arguments)
    pool: Any = vars(transport)["_pool"]
    backend = _Unhurried(bare=not secure and proxy is None)
    pool._network_backend = backend  # noqa: SLF001 - httpcore's pool takes one, httpx's transport doesn't
    return transport


class _Unhurried(httpcore.AsyncNetworkBackend):
    """Opens connections as httpx does on asyncio, except that a busy loop is no reason to give one up.

    Reads and writes are anyio's there: for each it takes turns of the loop, a scope, and another look at the socket. `bare`
    connections, without TLS, are read from asyncio's own transport below it, where that is found.
    """

    def __init__(self, *, bare: bool) -> None:
        self._opens: Any = httpcore.AnyIOBackend()
        self._bare = bare

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with unhurried(timeout):
                stream = await self._opens.connect_tcp(host, port, None, local_address, socket_options)
        except TimeoutError:
            raise httpcore.ConnectTimeout from None
        transport = getattr(getattr(stream, "_stream", None), "_transport", None)
        return _Bare(transport, stream) if self._bare and isinstance(transport, asyncio.Transport) else stream


class _Bare(httpcore.AsyncNetworkStream, asyncio.Protocol):
    """A connection without TLS, on asyncio's own transport. `opened` is anyio's, which tells of the socket."""

    def __init__(self, transport: asyncio.Transport, opened: httpcore.AsyncNetworkStream) -> None:
        self._transport = transport
        self._opened = opened
        self._loop = asyncio.get_running_loop()
        self._came = bytearray()
        self._ended = False
        self._lost: Exception | None = None
        self._full = self._paused = False
        self._waiting: set[asyncio.Future[None]] = set()
        transport.set_protocol(self)
        transport.resume_reading()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has come, `b""` at the end."""
        until = self._from_now(timeout)
        try:
            while not (self._came or self._ended):
                await self._wait(until)
        except TimeoutError:
            raise httpcore.ReadTimeout from None
        if not self._came and self._lost is not None:
            raise httpcore.ReadError(str(self._lost)) from self._lost
        data = bytes(self._came[:max_bytes])
        del self._came[:max_bytes]
        if self._paused and len(self._came) <= MOST_HELD:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send; wait until the system has taken it."""
        if buffer and not self._transport.is_closing():
            self._transport.write(buffer)
        until = self._from_now(timeout)
        try:
            while self._full and not self._transport.is_closing():
                await self._wait(until)
        except TimeoutError:
            raise httpcore.WriteTimeout from None
        if self._transport.is_closing():
            raise httpcore.WriteError(str(self._lost or ""))

    async def aclose(self) -> None:
        """Close the connection, whatever is still to be sent."""
        self._transport.abort()

    def get_extra_info(self, info: str) -> Any:
        """Tell of the socket; what has come already is there to be read as well."""
        if info == "is_readable" and (self._came or self._ended):
            return True
        return self._opened.get_extra_info(info)

    def _from_now(self, seconds: float | None) -> float | None:
        return None if seconds is None else self._loop.time() + seconds

    async def _wait(self, until: float | None) -> None:
        """Wait until something has changed; raise `TimeoutError` if nothing does by this time of the loop's clock."""
        changed = self._loop.create_future()
        self._waiting.add(changed)
        late = None if until is None else self._loop.call_at(until, _expire, changed)
        try:
            await changed
        finally:
            self._waiting.discard(changed)
            if late is not None:
                late.cancel()

    def _changed(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    # What asyncio tells:

    def data_received(self, data: bytes) -> None:
        self._came += data
        if len(self._came) > MOST_HELD:
            self._paused = True
            self._transport.pause_reading()
        self._changed()

    def eof_received(self) -> bool:
        self._ended = True
        self._changed()
        return True  # what is still to be sent is sent

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None and not self._ended:  # or a body that has no length would seem to be whole
            exc = ConnectionAbortedError("the connection was closed at this end")
        self._ended, self._lost = True, exc
        self._changed()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._changed()


def _expire(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_exception(TimeoutError())
