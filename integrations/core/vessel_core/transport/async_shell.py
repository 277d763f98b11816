"""The async shell: makes a call, or opens one whose reply is read as it comes."""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from io import BytesIO
from typing import TYPE_CHECKING, Self

import httpx

from vessel_core.errors import ResponseTooLarge, VesselError
from vessel_core.transport.calls import LAST_BYTES, LAST_READS, Watch, head_stage, most_at_once, no_turn
from vessel_core.transport.connection import Connection
from vessel_core.transport.faults import HUNG_UP, mapped, translated
from vessel_core.transport.incoming import Incoming, Response
from vessel_core.transport.outgoing import Outgoing, pool_arguments
from vessel_core.transport.through_httpx import AsyncThroughHTTPX
from vessel_core.types import Limits, Timeout
from vessel_core.wire import Call, Reply

if TYPE_CHECKING:
    from vessel_core.transport.plain_async import AsyncPlainTransport

    AsyncPool = AsyncPlainTransport | AsyncThroughHTTPX


class Era:
    """The time between two closes in one event loop."""

    def __init__(self) -> None:
        self._waiting: weakref.WeakSet[asyncio.Event] = (
            weakref.WeakSet()
        )  # an event holds its loop, whose life this outlasts

    async def lasts(self, seconds: float) -> bool:
        """Wait so long, or until the end of the era; say whether it lasted."""
        ended = asyncio.Event()
        self._waiting.add(ended)
        try:
            async with asyncio.timeout(seconds):
                await ended.wait()
        except TimeoutError:
            return True
        return False

    def end(self) -> None:
        """Wake who waits."""
        for ended in list(self._waiting):
            ended.set()


Eras = weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Era]
AsyncHTTPTransport = httpx.AsyncBaseTransport


class AsyncTransport:
    """Makes calls on one server, from any number of event loops: each has its own connections, closed with the loop."""

    def __init__(self, connection: Connection, http_transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._connection = connection
        self._outgoing = Outgoing(connection)
        self._http_transport = http_transport
        self._pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopPool] = weakref.WeakKeyDictionary()
        self._eras: Eras = weakref.WeakKeyDictionary()

    async def send(self, call: Call, timeout: Timeout) -> Reply:
        """Make a call and read its whole reply."""
        if call.picture:
            from vessel_core.transport.pictures import fetch_picture  # which loads what httpx itself loads at first use

            return await asyncio.to_thread(fetch_picture, call.path)
        async with self.open(call, timeout) as incoming:
            return (await self.read(incoming)).read(call)

    async def read(self, incoming: Incoming) -> Reply:
        """Read the whole body of a reply, or of an error what comes of it."""
        body = BytesIO()  # a list of pieces would take as much again when they are joined
        if incoming.good:
            async for data in self.pieces(incoming):
                body.write(data)
        else:
            await self._read_error(incoming, body)
        head = incoming.reply
        return Reply(head.status, head.headers, body.getvalue(), head.url, more=incoming.more)

    async def _read_error(self, incoming: Incoming, body: BytesIO) -> None:
        """Read what an error says; that this is cut or stalls takes nothing from its status."""
        era = self.era
        try:
            async for data in self.pieces(incoming):
                body.write(data)
                if body.tell() > incoming.enough:
                    return
        except VesselError as error:
            if isinstance(error, ResponseTooLarge) or self.era is not era:  # it was cut at this end
                raise

    def open(self, call: Call, timeout: Timeout) -> AbstractAsyncContextManager[Incoming]:
        """Make a call; leaving the context before the end of its reply closes the connection, which stops the server."""
        return _Exchange(self._held, self._outgoing, self._connection.limits, call, timeout)

    def pieces(self, incoming: Incoming) -> AsyncIterator[bytes]:
        """Read the body as it comes, one piece a read."""
        if incoming.streams or not incoming.good:
            incoming.wait_patiently()
        return _Pieces(incoming)

    async def finish(self, incoming: Incoming, pieces: AsyncIterator[bytes]) -> None:
        """Read the last bytes of a complete answer if they are there already; what comes late closes the connection."""
        incoming.patience.last = LAST_BYTES
        with suppress(Exception):
            for _ in range(LAST_READS):
                await anext(pieces)
        incoming.forget()

    async def aclose(self) -> None:
        """Close the connections of the running loop; calls that it has under way end."""
        self._begin_era()
        held = self._pools.pop(asyncio.get_running_loop(), None)
        if held is not None:
            held.closed = True
            held.forsaken.detach()
            await held.life.aclose()

    @property
    def era(self) -> Era:
        """Another after each close in the running loop: what was asked before it, and failed, is not asked again."""
        loop = asyncio.get_running_loop()
        era = self._eras.get(loop)
        if era is None:
            era = self._eras[loop] = Era()
        return era

    def _begin_era(self) -> None:
        ended, self._eras[asyncio.get_running_loop()] = self.era, Era()
        ended.end()

    async def _held(self) -> _LoopPool:
        loop = asyncio.get_running_loop()
        held = self._pools.get(loop)
        if held is None or held.pid != os.getpid():
            for other in [reference() for reference in self._pools.keyrefs()]:  # other threads add to it meanwhile
                if other is not None and other.is_closed() and (ended := self._pools.pop(other, None)) is not None:
                    ended.forsaken.detach()
            held = _LoopPool(self._new_pool(), self, loop)
            self._pools[loop] = held
            await anext(held.life)
        return held

    def _new_pool(self) -> AsyncPool:
        if self._http_transport is not None:
            return AsyncThroughHTTPX(self._http_transport)
        arguments = pool_arguments(self._connection)
        if arguments["proxy"] is not None:
            from vessel_core.transport.proxied import AsyncProxiedTransport

            return AsyncThroughHTTPX(AsyncProxiedTransport(**arguments))
        from vessel_core.transport.plain_async import AsyncPlainTransport  # h11 is loaded by the first call

        return AsyncPlainTransport(arguments["verify"], arguments["limits"])


class _Exchange:
    """One call of an `AsyncTransport`.

    This and `_Pieces` are no generators: a loop that ends closes all generators at once, those in use by others too.
    """

    def __init__(
        self,
        held: Callable[[], Awaitable[_LoopPool]],
        outgoing: Outgoing,
        limits: Limits,
        call: Call,
        timeout: Timeout,
    ) -> None:
        self._held = held
        self._outgoing = outgoing
        self._limits = limits
        self._call = call
        self._timeout = timeout

    async def __aenter__(self) -> Incoming:
        held = await self._held()
        await self._turn(held.turns)
        self._turns = held.turns
        try:
            since = time.monotonic()
            self._response = await self._begin(held)
        except BaseException:
            self._turns.release()
            raise
        try:
            return Incoming(self._response, self._timeout, since, self._limits, self._call, self._sent)
        except VesselError:
            await self.__aexit__()
            raise

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._response.stream.aclose()
        finally:
            self._turns.release()

    async def _turn(self, turns: asyncio.Semaphore) -> None:
        if not turns.locked():
            await turns.acquire()
            return
        try:
            async with asyncio.timeout(self._call.longest(self._timeout)):
                await turns.acquire()
        except TimeoutError:
            raise no_turn(self._call) from None

    async def _begin(self, held: _LoopPool) -> Response:
        watch = Watch()
        with mapped(lambda: head_stage(self._call), watch):
            if held.closed:  # while it waited for its turn
                raise httpx.ReadError(HUNG_UP)
            request = self._outgoing.request(self._call, self._timeout, watch)
            self._sent = len(request.content)
            response = await held.pool.handle_async_request(request)
            if held.closed:  # while it connected: connections of httpx's are not closed then
                await response.stream.aclose()
                raise httpx.ReadError(HUNG_UP)
            return response


class _Pieces:
    """The body of a reply, one piece a read."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._take = incoming.taker()
        self._stream: AsyncIterator[bytes] = aiter(incoming.response.stream)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            data = await anext(self._stream)
        except StopAsyncIteration:
            self._incoming.forget()
            raise
        except httpx.TransportError as error:
            raise translated(error, self._incoming.stage()) from error
        return self._take(data)


class _LoopPool:
    """The connections of an event loop, which end with its loop, or with its owner if that goes first.

    A running loop closes the generators begun in it before it closes. An owner that is dropped while the loop runs on can't
    close anything itself: `forsaken` holds them apart from it, and closes them in the loop.
    """

    def __init__(self, pool: AsyncPool, owner: AsyncTransport, loop: asyncio.AbstractEventLoop) -> None:
        self.pool = pool
        self.turns = asyncio.Semaphore(most_at_once())
        self.closed = False
        self.pid = os.getpid()
        self.life = _live(pool)
        self.forsaken = weakref.finalize(owner, _end, self.life, loop, self.pid)
        self.forsaken.atexit = False


async def _live(pool: AsyncPool) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await pool.aclose()


GRACE = 0.05
"""Seconds before connections whose owner is gone are closed: a loop that ends meanwhile closes them itself, and waits for it."""

_ending: set[asyncio.Task[None]] = set()
"""The tasks that close what was dropped: a loop holds its tasks only weakly."""


def _end(life: AsyncGenerator[None], loop: asyncio.AbstractEventLoop, pid: int) -> None:
    """Close connections whose owner is gone, in its loop, from whatever thread; a forked child leaves them to its parent."""

    def end() -> None:
        task = loop.create_task(life.aclose())
        _ending.add(task)
        task.add_done_callback(_ending.discard)

    if not loop.is_closed() and pid == os.getpid():
        loop.call_soon_threadsafe(loop.call_later, GRACE, end)
