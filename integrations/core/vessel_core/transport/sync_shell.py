"""The sync shell: makes a call, or opens one whose reply is read as it comes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from io import BytesIO
from queue import Empty, SimpleQueue
from typing import Self

import httpx

from vessel_core.errors import ResponseTooLarge, VesselError
from vessel_core.transport.calls import (
    LAST_BYTES,
    LAST_READS,
    Networks,
    Watch,
    head_stage,
    most_at_once,
    no_turn,
)
from vessel_core.transport.connection import Connection
from vessel_core.transport.faults import mapped, translated
from vessel_core.transport.incoming import Incoming, Response
from vessel_core.transport.outgoing import Outgoing, pool_arguments
from vessel_core.transport.plain import PlainTransport
from vessel_core.transport.through_httpx import ThroughHTTPX
from vessel_core.types import Limits, Timeout
from vessel_core.wire import Call, Reply

HTTPTransport = httpx.BaseTransport
Pool = PlainTransport | ThroughHTTPX

_creating = threading.Lock()
"""Held while a client is made, so that threads which start together share one; a forked child has its own."""


def _renew_lock() -> None:
    global _creating
    _creating = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class Transport:
    """Makes calls on one server. Safe in threads, and after a fork: a child makes its own connections."""

    def __init__(self, connection: Connection, http_transport: httpx.BaseTransport | None = None) -> None:
        self._connection = connection
        self._outgoing = Outgoing(connection)
        self._http_transport = http_transport
        self._held: Pool | None = None
        self._turns: SimpleQueue[None] = SimpleQueue()
        self._networks = Networks()
        self._pid = 0
        self.era = threading.Event()

    def send(self, call: Call, timeout: Timeout) -> Reply:
        """Make a call and read its whole reply."""
        if call.picture:
            from vessel_core.transport.pictures import fetch_picture  # which loads what httpx itself loads at first use

            return fetch_picture(call.path)
        with self.open(call, timeout) as incoming:
            return self.read(incoming).read(call)

    def read(self, incoming: Incoming) -> Reply:
        """Read the whole body of a reply, or of an error what comes of it."""
        body = BytesIO()  # a list of pieces would take as much again when they are joined
        if incoming.good:
            body.writelines(self.pieces(incoming))
        else:
            self._read_error(incoming, body)
        head = incoming.reply
        return Reply(head.status, head.headers, body.getvalue(), head.url, more=incoming.more)

    def _read_error(self, incoming: Incoming, body: BytesIO) -> None:
        """Read what an error says; that this is cut or stalls takes nothing from its status."""
        era = self.era
        try:
            for data in self.pieces(incoming):
                body.write(data)
                if body.tell() > incoming.enough:
                    return
        except VesselError as error:
            if isinstance(error, ResponseTooLarge) or self.era is not era:  # it was cut at this end
                raise

    def open(self, call: Call, timeout: Timeout) -> AbstractContextManager[Incoming]:
        """Make a call; leaving the context before the end of its reply closes the connection, which stops the server."""
        pool = self._pool()
        watch = Watch(self._networks)
        return _Exchange(pool, self._turns, watch, self._outgoing, self._connection.limits, call, timeout)

    def pieces(self, incoming: Incoming) -> Iterator[bytes]:
        """Read the body as it comes, one piece a read."""
        if incoming.streams or not incoming.good:
            incoming.wait_patiently()
        return _Pieces(incoming)

    def finish(self, incoming: Incoming, pieces: Iterator[bytes]) -> None:
        """Read the last bytes of a complete answer if they are there already; what comes late closes the connection."""
        incoming.patience.last = LAST_BYTES
        with suppress(Exception):
            for _ in range(LAST_READS):
                next(pieces)
        incoming.forget()

    def hang_up(self) -> None:
        """Shut all connections down: threads that wait for an answer wake up, which closing alone would not do.

        A new `era` begins: what was asked before it, and failed, is not asked again.
        """
        self._begin_era()
        held = self._held
        if self._pid == os.getpid():  # what a forked child has is its parent's
            self._networks.hang_up()
            if isinstance(held, PlainTransport):
                held.hang_up()

    def _begin_era(self) -> None:
        ended, self.era = self.era, threading.Event()
        ended.set()

    def close(self) -> None:
        """Close all connections; calls that other threads have under way end."""
        self.hang_up()
        held, self._held = self._held, None
        if held is not None and self._pid == os.getpid():
            held.close()

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()

    def _pool(self) -> Pool:
        held = self._held  # read once: another thread may close this meanwhile
        if held is None or self._pid != os.getpid():
            with _creating:
                held = self._held
                if held is None or self._pid != os.getpid():
                    theirs = self._http_transport
                    self._held = held = _new_pool(self._connection) if theirs is None else ThroughHTTPX(theirs)
                    self._turns, self._networks = _turns(), Networks()
                    self._pid = os.getpid()
        return held


def _new_pool(connection: Connection) -> Pool:
    arguments = pool_arguments(connection)
    if arguments["proxy"] is not None:
        from vessel_core.transport.proxied import ProxiedTransport

        return ThroughHTTPX(ProxiedTransport(**arguments))
    return PlainTransport(arguments["verify"], arguments["limits"])


def _turns() -> SimpleQueue[None]:
    """Return as many turns as there are. The collector may end a call, and so give one back, in the middle of anything."""
    turns: SimpleQueue[None] = SimpleQueue()
    for _ in range(most_at_once()):
        turns.put(None)
    return turns


class _Exchange:
    """One call of a `Transport`. No generator: this is entered and left for each call."""

    __slots__ = ("_call", "_limits", "_outgoing", "_pool", "_response", "_sent", "_timeout", "_turns", "_watch")

    def __init__(
        self,
        pool: Pool,
        turns: SimpleQueue[None],
        watch: Watch,
        outgoing: Outgoing,
        limits: Limits,
        call: Call,
        timeout: Timeout,
    ) -> None:
        self._pool = pool
        self._turns = turns
        self._watch = watch
        self._outgoing = outgoing
        self._limits = limits
        self._call = call
        self._timeout = timeout

    def __enter__(self) -> Incoming:
        try:
            self._turns.get(timeout=self._call.longest(self._timeout))
        except Empty:
            raise no_turn(self._call) from None
        since = time.monotonic()
        try:
            self._response = self._begin()
        except BaseException:
            self._turns.put(None)
            raise
        try:
            return Incoming(self._response, self._timeout, since, self._limits, self._call, self._sent)
        except VesselError:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            self._response.stream.close()
        finally:
            self._turns.put(None)

    def _begin(self) -> Response:
        with mapped(lambda: head_stage(self._call), self._watch):
            request = self._outgoing.request(self._call, self._timeout, self._watch)
            self._sent = len(request.content)
            return self._pool.handle_request(request)


class _Pieces:
    """The body of a reply, one piece a read. No generator, as `_Exchange`."""

    __slots__ = ("_incoming", "_stream", "_take")

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._take = incoming.taker()
        self._stream: Iterator[bytes] = iter(incoming.response.stream)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        try:
            data = next(self._stream)
        except StopIteration:
            self._incoming.forget()
            raise
        except httpx.TransportError as error:
            raise translated(error, self._incoming.stage()) from error
        return self._take(data)
