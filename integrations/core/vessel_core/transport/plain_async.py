"""Async connections on asyncio's own transports, with TLS or without: nothing stands between them and the replies they bring."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, Self

import httpx

from vessel_core.transport.faults import HUNG_UP
from vessel_core.transport.happy_eyeballs import connect
from vessel_core.transport.http1 import Exchange
from vessel_core.transport.incoming import Response
from vessel_core.transport.outgoing import Request
from vessel_core.transport.plain import MOST
from vessel_core.transport.plain_protocol import PlainProtocol
from vessel_core.transport.unhurried import unhurried

LONGEST_HANDSHAKE = 86400.0
"""Seconds that asyncio gives a TLS handshake: the connect timeout is what ends one."""


class AsyncPlainTransport:
    """The connections of one event loop to one server, http or https without a proxy. Raises httpx's errors."""

    def __init__(self, verify: ssl.SSLContext | None, limits: httpx.Limits) -> None:
        self._tls = verify
        if verify is not None:
            verify.set_alpn_protocols(["http/1.1"])
        self._most_idle = limits.max_keepalive_connections or 0
        self._keepalive = limits.keepalive_expiry or 0.0
        self._connecting: set[unhurried] = set()
        self._open: set[PlainProtocol] = set()
        self._idle: deque[PlainProtocol] = deque()
        self._buffer = memoryview(bytearray(MOST))

    async def handle_async_request(self, request: Request) -> Response:
        """Send a request; return its response when its head has come."""
        exchange = Exchange(request)
        connection = self._kept()
        if connection is None:
            request.watch.connecting()
            connection = await self._connected(request.url, exchange, request.connect)
        try:
            request.watch.sending()
            await connection.begin(exchange, request.write, request.read)
        except BaseException:
            connection.abort()
            raise
        return Response(exchange.status, exchange.headers, AsyncPlainStream(self, connection, exchange, request.read))

    def release(self, connection: PlainProtocol, exchange: Exchange) -> None:
        """Keep the connection of an exchange for the next call if this one ended well, or close it."""
        if connection.exchange is not exchange:  # it was released before
            return
        if not (connection.rest() and exchange.reusable):
            connection.abort()
            return
        self._idle.append(connection)
        if len(self._idle) > self._most_idle:
            self._idle.popleft().abort()

    async def aclose(self) -> None:
        """Close all connections, those in use and those that are being made too."""
        while self._connecting:
            self._connecting.pop().end()
        for connection in list(self._open):
            connection.abort()

    def _kept(self) -> PlainProtocol | None:
        """Return the idle connection that was used last; close those that were idle too long, and those that aren't idle."""
        while self._idle:
            if self._idle[0].is_idle_for(self._keepalive):
                self._idle.popleft().abort()
            elif (connection := self._idle.pop()).is_silent():
                return connection
            else:
                connection.abort()
        return None

    async def _connected(self, url: httpx.URL, exchange: Exchange, seconds: float | None) -> PlainProtocol:
        host, secure = url.raw_host.decode("ascii"), url.scheme == "https"
        options: dict[str, Any] = {}
        if secure:
            options = {"ssl": self._tls, "server_hostname": host, "ssl_handshake_timeout": LONGEST_HANDSHAKE}
        connection, limit = PlainProtocol(exchange, self._open, self._buffer), unhurried(seconds)
        self._connecting.add(limit)
        try:
            async with limit:
                opened = await connect(host, url.port or (443 if secure else 80))
                try:
                    await asyncio.get_running_loop().create_connection(lambda: connection, sock=opened, **options)
                except BaseException:
                    connection.abort()
                    opened.close()
                    raise
        except TimeoutError:
            raise (httpx.ConnectTimeout("") if limit in self._connecting else httpx.ReadError(HUNG_UP)) from None
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        finally:
            self._connecting.discard(limit)
        return connection


class AsyncPlainStream:
    """The body of a response, one piece a read; `seconds` says how long the next may take, `read_timeout` by default.

    No generator: a loop that ends closes all of them at once, those in use by others too.
    """

    def __init__(
        self, transport: AsyncPlainTransport, connection: PlainProtocol, exchange: Exchange, read_timeout: float | None
    ) -> None:
        self._transport = transport
        self._connection = connection
        self._exchange = exchange
        self.seconds: Callable[[], float | None] = lambda: read_timeout

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        exchange, connection = self._exchange, self._connection
        if data := exchange.piece():
            return data
        if not exchange.ended:  # or the connection may be another's by now
            connection.within(self.seconds())
        while not exchange.ended:
            await connection.more()
            if data := exchange.piece():
                return data
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Close the connection, unless the whole body has come."""
        self._transport.release(self._connection, self._exchange)
