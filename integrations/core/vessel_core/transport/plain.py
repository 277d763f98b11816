"""Connections of our own to a server, by `socket` and `ssl`: a short call takes a seventh of what it does over httpx's.

They raise httpx's errors, so that everything above is the same whatever carries a call.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE
from time import monotonic
from typing import Self, TypeVar, cast

import httpx

from vessel_core.transport.faults import HUNG_UP
from vessel_core.transport.happy_eyeballs import Selector, connect_blocking
from vessel_core.transport.http1 import Exchange
from vessel_core.transport.incoming import Response
from vessel_core.transport.outgoing import Request

T = TypeVar("T")

MOST = 64 * 1024
"""How many bytes a read may bring, as with httpx; and how many of a request are sent in one step: the systems of both ends take
so many, whether the server reads them or not."""


class PlainTransport:
    """The connections to one server, http or https without a proxy, for any number of threads.

    No lock guards them: the collector may end a call in the middle of anything. What is done to the two collections is one
    step each.
    """

    def __init__(self, verify: ssl.SSLContext | None, limits: httpx.Limits) -> None:
        self._tls = verify
        if verify is not None:
            verify.set_alpn_protocols(["http/1.1"])
        self._most_idle = limits.max_keepalive_connections or 0
        self._keepalive = limits.keepalive_expiry or 0.0
        self._idle: deque[_Connection] = deque()
        self._in_use: set[_Connection] = set()
        self._hang_ups = 0
        # the collector ends what it finds together in any order: a socket that is held apart it leaves to this
        weakref.finalize(self, _close, self._idle)
        weakref.finalize(self, _close, self._in_use).atexit = False  # daemon threads may read there to the end

    def handle_request(self, request: Request) -> Response:
        """Send a request; return its response when its head has come, which may take as long as one read may."""
        exchange, hang_ups = Exchange(request), self._hang_ups
        connection = self._kept()
        if connection is None:
            request.watch.connecting()
            connection = _Connection(_connected(request.url, request.connect))
        self._in_use.add(connection)
        try:
            if hang_ups != self._hang_ups:  # while it connected
                raise httpx.ReadError(HUNG_UP)
            if request.url.scheme == "https":
                connection.secure(cast("ssl.SSLContext", self._tls), request.url.raw_host.decode("ascii"))
            request.watch.sending()
            connection.send(exchange, request.write)
            connection.read(exchange, exchange.begun, request.read)
        except BaseException:
            self.give_back(connection, reusable=False)
            raise
        return Response(exchange.status, exchange.headers, PlainStream(self, connection, exchange, request.read))

    def _kept(self) -> _Connection | None:
        """Return the idle connection that was used last; close those that were idle too long, and those that aren't idle."""
        try:
            now = monotonic()
            while self._idle[0].until <= now:
                self._idle.popleft().close()
            while not (connection := self._idle.pop()).silent():
                connection.close()
        except IndexError:
            return None
        return connection

    def give_back(self, connection: _Connection, *, reusable: bool) -> None:
        """Keep a connection for the next call, or close it."""
        self._in_use.discard(connection)
        if not reusable or connection.spent or len(self._idle) >= self._most_idle:
            connection.close()
            return
        connection.until = monotonic() + self._keepalive
        self._idle.append(connection)

    def hang_up(self) -> None:
        """Shut down what calls use: threads that wait there wake up, which closing alone would not do."""
        self._hang_ups += 1
        for connection in list(self._in_use):
            connection.hang_up()

    def close(self) -> None:
        """Close the connections; those that calls use are shut down, and keep none after."""
        self._most_idle = 0
        self.hang_up()
        _close(self._idle)


class PlainStream:
    """The body of a response, one piece a read; `seconds` says how long the next read may wait, `read_timeout` by default."""

    def __init__(
        self, transport: PlainTransport, connection: _Connection, exchange: Exchange, read_timeout: float | None
    ) -> None:
        self._transport = transport
        self._connection: _Connection | None = connection
        self._exchange = exchange
        self.seconds: Callable[[], float | None] = lambda: read_timeout

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        more = self._more()
        if not more:
            if self._connection is None:
                raise httpx.ReadError(HUNG_UP)
            more = self._connection.read(self._exchange, self._more, self.seconds())
        if more is True:
            raise StopIteration
        return cast("bytes", more)

    def _more(self) -> bytes | bool:
        """Return what has come; whether that was all if nothing has."""
        return self._exchange.piece() or self._exchange.ended

    def close(self) -> None:
        """Keep the connection for the next call if the whole body has come; close it otherwise."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._transport.give_back(connection, reusable=self._exchange.reusable)


class _Connection:
    """A socket. `until` is when it has been idle for too long; one that is `spent` serves no other call."""

    __slots__ = ("_hung_up", "_pid", "_seconds", "_socket", "spent", "until")

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._seconds = connected.gettimeout()
        self._hung_up = False
        self._pid = os.getpid()
        self.spent = False
        self.until = 0.0

    def secure(self, tls: ssl.SSLContext, host: str) -> None:
        """Speak TLS from now on, unless it does already. The handshake may take as long as connecting."""
        if isinstance(self._socket, ssl.SSLSocket):
            return
        try:
            self._socket = made = tls.wrap_socket(self._socket, server_hostname=host, do_handshake_on_connect=False)
            made.do_handshake()
        except OSError as error:
            raise _unconnected(error) from error

    def send(self, exchange: Exchange, seconds: float | None) -> None:
        """Send a request. That this breaks is no error: the server may have answered before it closed."""
        # it holds the key, and frames are shown, those of ssl too: in them a view of it says nothing
        rest = memoryview(exchange.outgoing)
        try:
            if len(rest) <= MOST:
                self._wait(seconds)
                rest = rest[self._socket.send(rest) :]
            if rest:
                self._send_and_listen(rest, exchange, seconds)
        except TimeoutError as error:
            raise httpx.WriteTimeout("") from error
        except OSError:
            self.spent = True
        exchange.outgoing = b""

    def _send_and_listen(self, rest: memoryview, exchange: Exchange, seconds: float | None) -> None:
        """Send what is long. A server that refuses it may say so before it was sent, and take no more."""
        self._wait(0.0)
        since, came = monotonic(), 0
        with Selector() as looking:
            looking.register(self._socket, EVENT_WRITE)
            while rest and not (exchange.begun() and (exchange.status >= 300 or exchange.ended)):
                wanted = EVENT_READ | EVENT_WRITE if came < MOST else EVENT_WRITE
                try:
                    rest = rest[self._socket.send(rest[:MOST]) :]
                    since = monotonic()
                    continue
                except ssl.SSLWantReadError:
                    wanted = EVENT_READ
                except (BlockingIOError, ssl.SSLWantWriteError):
                    pass
                looking.modify(self._socket, wanted)
                if not looking.select(None if seconds is None else since + seconds - monotonic()):
                    raise TimeoutError
                if wanted & EVENT_READ:
                    with suppress(httpx.ReadTimeout):
                        exchange.receive(data := self._received(0.0))
                        came += len(data)
                        if not data:
                            break
        self.spent = self.spent or bool(rest)

    def read(self, exchange: Exchange, enough: Callable[[], T], seconds: float | None) -> T:
        """Read until it is `enough`, which is returned; raise `httpx.ReadTimeout` once the time of a single read is over."""
        until, left = None, seconds
        while not (found := enough()):
            if until is not None:
                left = until - monotonic()
                if left <= 0:
                    raise httpx.ReadTimeout("")
            elif seconds is not None:
                until = monotonic() + seconds
            exchange.receive(self._received(left))
        return found

    def _received(self, seconds: float | None) -> bytes:
        self._wait(seconds)
        try:
            data = self._socket.recv(MOST)
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise httpx.ReadTimeout("") from error
        except OSError as error:
            raise httpx.ReadError(str(error)) from error
        if self._hung_up:  # or a body that has no length would seem to be whole
            raise httpx.ReadError(HUNG_UP)
        return data

    def silent(self) -> bool:
        """Tell whether nothing has come, the end neither: what comes to an idle connection was not asked for."""
        held = self._socket
        return not (readable(held) or (isinstance(held, ssl.SSLSocket) and held.pending()))

    def hang_up(self) -> None:
        """Shut it down, for whatever thread reads it."""
        self._hung_up = self.spent = True
        shut_down(self._socket)

    def close(self) -> None:
        """Close it."""
        if self._pid == os.getpid():
            shut_down(self._socket)
        with suppress(OSError):
            self._socket.close()

    def _wait(self, seconds: float | None) -> None:
        if seconds != self._seconds:
            self._socket.settimeout(seconds)
            self._seconds = seconds


def _connected(url: httpx.URL, seconds: float | None) -> socket.socket:
    """Connect to the server of a URL within so many seconds."""
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        made = connect_blocking(url.raw_host.decode("ascii"), port, seconds)
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            made.close()
            raise
    except OSError as error:
        raise _unconnected(error) from error
    return made


def _unconnected(error: OSError) -> httpx.TransportError:
    return httpx.ConnectTimeout("") if isinstance(error, TimeoutError) else httpx.ConnectError(str(error))


def readable(held: socket.socket) -> bool:
    """Tell whether a read would bring something at once, or the end."""
    if not hasattr(select, "poll"):
        return bool(select.select([held], [], [], 0)[0])
    looking = select.poll()  # `select` takes no file beyond the 1024th
    looking.register(held, select.POLLIN)
    return bool(looking.poll(0))


def shut_down(held: socket.socket | None) -> None:
    """End a connection for the other end too, whoever else has it open: a child that was forked meanwhile may live long."""
    with suppress(OSError):
        if held is not None:  # a TLS socket's own way would have it read in plain, and what uvloop gives has none
            with socket.fromfd(held.fileno(), held.family, held.type) as same:
                same.shutdown(socket.SHUT_RDWR)


def _close(connections: deque[_Connection] | set[_Connection]) -> None:
    with suppress(LookupError):
        while True:
            connections.pop().close()
