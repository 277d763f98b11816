"""What both shells know of a call: how long it waits for its turn, and over what kind of connection it went."""

from __future__ import annotations

import time
import weakref
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, cast

import httpx

from vessel_core.errors import FirstTokenTimeout, ServerTimeout, VesselError
from vessel_core.transport.faults import Stage
from vessel_core.types import Timeout
from vessel_core.wire import Call

LAST_BYTES = 0.03
"""Seconds to wait, once an answer is complete, for the end of the HTTP message, so that its connection can be used again."""

LAST_READS = 3
"""How many more reads that may take: what still sends after its answer's end is hung up on."""

MOST_AT_ONCE = 256
"""How many calls a client makes at once; others wait for their turn. A process may often open no more than 1024 files."""


class Watch:
    """Tells, by the events httpx reports, whether a call went over a connection that had served an earlier one, and whether
    anything was heard on a new one: what says something and hangs up is there, but no HTTP server. It ends the wait for a
    head that drips, or never ends, once the time of a single read is over.

    Nothing more is reported once the request is on its way: each event takes its time.
    """

    __slots__ = ("_connected", "_extensions", "_network", "_pool", "_sent", "_until", "heard")

    def __init__(self, pool: Any) -> None:
        self.heard: bool = False
        self._pool = getattr(pool, "_pool", None)
        self._until: float | None = None
        self._connected = False
        self._sent = False
        self._network: Any = None
        self._extensions: dict[str, Any] = {}

    def follow(self, extensions: dict[str, Any], trace: Callable[..., Any]) -> None:
        """Have the events of a request, which has these extensions, reported to `trace` or `atrace`."""
        extensions["trace"] = trace
        seconds = extensions["timeout"]["read"]
        self._until = None if seconds is None else time.monotonic() + seconds
        self._extensions = extensions

    def reused(self) -> bool:
        """Whether a request was sent without connecting first."""
        return self._sent and not self._connected

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take an event."""
        if event == "connection.connect_tcp.started":
            self._connected = True
        elif event == "http11.send_request_headers.started":
            self._sent = True
            self._extensions.pop("trace", None)
            if not self._connected and info:
                self._listen(self._used_by(info["request"]))
        elif event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._listen(info["return_value"])

    async def atrace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take an event, async."""
        self.trace(event, info)

    def _used_by(self, request: Any) -> Any:
        """Return the network stream of a request: httpx tells it only of new connections."""
        for each in list(getattr(self._pool, "_requests", ())):
            if each.request is request:
                return getattr(getattr(each.connection, "_connection", None), "_network_stream", None)
        return None

    def _listen(self, network: Any) -> None:
        """Take note of each read until the reply has begun."""
        if network is None:
            return
        read = cast("Callable[..., Any]", type(network).read)  # pyright: ignore[reportUnknownMemberType]
        here = weakref.ref(network)

        def noting(max_bytes: int, timeout: float | None = None) -> Any:
            data = read(here(), max_bytes, timeout)
            return self._note(data) if isinstance(data, bytes) else self._noted(data)

        with suppress(AttributeError):
            network.read = noting
            self._network = network

    async def _noted(self, reading: Awaitable[bytes]) -> bytes:
        return self._note(await reading)

    def _note(self, data: bytes) -> bytes:
        self.heard = self.heard or (self._connected and bool(data))
        if self._until is not None and time.monotonic() > self._until:
            raise httpx.ReadTimeout("")
        return data

    def forget(self) -> None:
        """Listen no longer: the reply has begun, or never will."""
        self._extensions.pop("trace", None)
        network, self._network = self._network, None
        if network is not None:
            network.__dict__.pop("read", None)


def head_stage(call: Call) -> Stage:
    """Return what is waited for before a reply begins."""
    return "generation" if call.stream else "call"


def longest_queue(call: Call, timeout: Timeout) -> float | None:
    """Return how many seconds a call may wait for its turn."""
    return timeout.first_token if call.stream else timeout.request


def no_turn(call: Call) -> VesselError:
    """Return the error of a call whose turn did not come."""
    message = f"{MOST_AT_ONCE} other calls of this client did not end in time for this one to begin."
    return FirstTokenTimeout(message) if call.stream else ServerTimeout(message)
