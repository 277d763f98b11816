"""The two shells around httpx, sync and async: each makes a call, or opens one whose reply is read as it comes."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import islice
from typing import Any, cast

import httpx

from vessel_core.transport.connection import Connection
from vessel_core.transport.faults import Stage, mapped
from vessel_core.transport.incoming import Incoming
from vessel_core.transport.pictures import fetch_picture
from vessel_core.wire import Call, Reply

LAST_BYTES = 0.03
"""Seconds to wait, once an answer is complete, for the end of the HTTP message, so that its connection can be used again."""

LAST_READS = 3
"""How many more reads that may take: what still sends after its answer's end is hung up on."""

_creating = threading.Lock()
"""Held while a client is made, so that threads which start together share one; a forked child has its own."""


def _renew_lock() -> None:
    global _creating
    _creating = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class _Watch:
    """Tells whether a call went over a connection that had served an earlier one, by the events httpx reports."""

    def __init__(self) -> None:
        self._connected = False
        self._sent = False

    def reused(self) -> bool:
        """Whether a request was sent without connecting first."""
        return self._sent and not self._connected

    def trace(self, event: str, _: Mapping[str, Any]) -> None:
        """Take an event."""
        if event == "connection.connect_tcp.started":
            self._connected = True
        elif event == "http11.send_request_headers.started":
            self._sent = True

    async def atrace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take an event, async."""
        self.trace(event, info)


def _head_stage(call: Call) -> Stage:
    return "generation" if call.stream else "call"


class Transport:
    """Makes calls on one server. Safe in threads, and after a fork: a child makes its own connections."""

    def __init__(self, connection: Connection, http_transport: httpx.BaseTransport | None = None) -> None:
        self._connection = connection
        self._http_transport = http_transport
        self._client: httpx.Client | None = None
        self._pid = 0

    def send(self, call: Call) -> Reply:
        """Make a call and read its whole reply."""
        if call.picture:
            return fetch_picture(call.path)
        with self.open(call) as incoming:
            return self.read(incoming)

    def read(self, incoming: Incoming) -> Reply:
        """Read the whole body of a reply."""
        return Reply(incoming.reply.status, incoming.reply.headers, b"".join(self.pieces(incoming)))

    @contextmanager
    def open(self, call: Call) -> Generator[Incoming]:
        """Make a call; leaving the context before the end of its reply closes the connection, which stops the server."""
        client, watch, since = self._clients(), _Watch(), time.monotonic()
        with mapped(lambda: _head_stage(call), watch.reused):
            request = client.build_request(**self._connection.request_arguments(call))
            request.extensions["trace"] = watch.trace
            response = client.send(request, stream=True)
        try:
            yield Incoming(response, self._connection.timeout, since)
        finally:
            response.close()

    def pieces(self, incoming: Incoming) -> Iterator[bytes]:
        """Read the body as it comes, one piece a read."""
        if incoming.streams:
            incoming.wait_patiently()
        with mapped(incoming.stage):
            for data in cast("httpx.SyncByteStream", incoming.response.stream):
                yield incoming.body.plain(data)
        incoming.forget()

    def finish(self, incoming: Incoming, pieces: Iterator[bytes]) -> None:
        """Read the last bytes of a complete answer if they are there already; what comes late closes the connection."""
        incoming.patience.last = LAST_BYTES
        with suppress(Exception):
            for _ in islice(pieces, LAST_READS):
                pass
        incoming.forget()

    def close(self) -> None:
        """Close all connections."""
        if self._client is not None and self._pid == os.getpid():
            self._client.close()
        self._client = None

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()

    def _clients(self) -> httpx.Client:
        client = self._client
        if client is None or self._pid != os.getpid():
            with _creating:
                if self._client is None or self._pid != os.getpid():
                    self._client = httpx.Client(transport=self._http_transport, **self._connection.client_arguments())
                    self._pid = os.getpid()
                client = self._client
        return client


class AsyncTransport:
    """Makes calls on one server, from any number of event loops: each has its own connections, closed with the loop."""

    def __init__(self, connection: Connection, http_transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._connection = connection
        self._http_transport = http_transport
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopClient] = weakref.WeakKeyDictionary()

    async def send(self, call: Call) -> Reply:
        """Make a call and read its whole reply."""
        if call.picture:
            return await asyncio.to_thread(fetch_picture, call.path)
        async with self.open(call) as incoming:
            return await self.read(incoming)

    async def read(self, incoming: Incoming) -> Reply:
        """Read the whole body of a reply."""
        body = [data async for data in self.pieces(incoming)]
        return Reply(incoming.reply.status, incoming.reply.headers, b"".join(body))

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncGenerator[Incoming]:
        """Make a call; leaving the context before the end of its reply closes the connection, which stops the server."""
        client, watch, since = await self._client(), _Watch(), time.monotonic()
        with mapped(lambda: _head_stage(call), watch.reused):
            request = client.build_request(**self._connection.request_arguments(call))
            request.extensions["trace"] = watch.atrace
            response = await client.send(request, stream=True)
        try:
            yield Incoming(response, self._connection.timeout, since)
        finally:
            await response.aclose()

    async def pieces(self, incoming: Incoming) -> AsyncGenerator[bytes]:
        """Read the body as it comes, one piece a read."""
        if incoming.streams:
            incoming.wait_patiently()
        with mapped(incoming.stage):
            async for data in cast("httpx.AsyncByteStream", incoming.response.stream):
                yield incoming.body.plain(data)
        incoming.forget()

    async def finish(self, incoming: Incoming, pieces: AsyncGenerator[bytes]) -> None:
        """Read the last bytes of a complete answer if they are there already; what comes late closes the connection."""
        incoming.patience.last = LAST_BYTES
        with suppress(Exception):
            for _ in range(LAST_READS):
                await anext(pieces)
        incoming.forget()

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        held = self._clients.pop(asyncio.get_running_loop(), None)
        if held is not None:
            held.forsaken.detach()
            await held.life.aclose()

    async def _client(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        held = self._clients.get(loop)
        if held is None or held.pid != os.getpid():
            for other in [reference() for reference in self._clients.keyrefs()]:  # other threads add to it meanwhile
                if other is not None and other.is_closed() and (ended := self._clients.pop(other, None)) is not None:
                    ended.forsaken.detach()
            held = _LoopClient(
                httpx.AsyncClient(transport=self._http_transport, **self._connection.client_arguments()), self, loop
            )
            self._clients[loop] = held
            await anext(held.life)
        return held.client


class _LoopClient:
    """An async client that ends with its loop, or with its owner if that goes first.

    A running loop closes the generators begun in it before it closes. An owner that is dropped while the loop runs on can't
    close anything itself: `forsaken` holds the client apart from it, and closes it in the loop.
    """

    def __init__(self, client: httpx.AsyncClient, owner: AsyncTransport, loop: asyncio.AbstractEventLoop) -> None:
        self.client = client
        self.pid = os.getpid()
        self.life = _live(client)
        self.forsaken = weakref.finalize(owner, _end, self.life, loop, self.pid)
        self.forsaken.atexit = False


async def _live(client: httpx.AsyncClient) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await client.aclose()


GRACE = 0.05
"""Seconds before a client whose owner is gone is closed: a loop that ends meanwhile closes it itself, and waits for it."""

_ending: set[asyncio.Task[None]] = set()
"""The tasks that close what was dropped: a loop holds its tasks only weakly."""


def _end(life: AsyncGenerator[None], loop: asyncio.AbstractEventLoop, pid: int) -> None:
    """Close a client whose owner is gone, in its loop, from whatever thread; a forked child leaves it to its parent."""

    def end() -> None:
        task = loop.create_task(life.aclose())
        _ending.add(task)
        task.add_done_callback(_ending.discard)

    if not loop.is_closed() and pid == os.getpid():
        loop.call_soon_threadsafe(loop.call_later, GRACE, end)
