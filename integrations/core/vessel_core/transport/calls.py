"""What both shells know of a call: how long it waits for its turn, and over what kind of connection it went."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, cast

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
    anything was heard on a new one: what says something and hangs up is there, but no HTTP server.

    Nothing more is reported once the request is on its way: each event takes its time.
    """

    __slots__ = ("_connected", "_extensions", "_network", "_sent", "heard")

    def __init__(self) -> None:
        self.heard: bool = False
        self._connected = False
        self._sent = False
        self._network: Any = None
        self._extensions: dict[str, Any] = {}

    def follow(self, extensions: dict[str, Any], trace: Callable[..., Any]) -> None:
        """Have the events of a request, which has these extensions, reported to `trace` or `atrace`."""
        extensions["trace"] = trace
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
        elif event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._listen(info["return_value"])

    async def atrace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take an event, async."""
        self.trace(event, info)

    def _listen(self, network: Any) -> None:
        """Note the first bytes that come on a new connection."""
        read = cast("Callable[..., Any]", type(network).read)  # pyright: ignore[reportUnknownMemberType]
        here = weakref.ref(network)

        def noting(max_bytes: int, timeout: float | None = None) -> Any:
            data = read(here(), max_bytes, timeout)
            if isinstance(data, bytes):
                self.heard = self.heard or bool(data)
                return data
            return self._noted(data)

        with suppress(AttributeError):
            network.read = noting
            self._network = network

    async def _noted(self, reading: Awaitable[bytes]) -> bytes:
        data = await reading
        self.heard = self.heard or bool(data)
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
