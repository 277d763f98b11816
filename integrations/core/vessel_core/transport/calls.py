"""What both shells know of a call: how long it waits for its turn, and over what kind of connection it went."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from socket import SHUT_RDWR
from threading import Lock
from typing import Any
from weakref import WeakSet

from vessel_core.errors import FirstTokenTimeout, ServerTimeout, VesselError
from vessel_core.transport.faults import Stage
from vessel_core.wire import Call

LAST_BYTES = 0.03
"""Seconds to wait, once an answer is complete, for the end of the HTTP message, so that its connection can be used again."""

LAST_READS = 3
"""How many more reads that may take: what still sends after its answer's end is hung up on."""

MOST_AT_ONCE = 1000
"""How many calls a client makes at once, where a process may open many files."""


class Networks:
    """The connections of httpx's, as the events of its calls tell of them, so that they can be hung up."""

    def __init__(self) -> None:
        self._made: WeakSet[Any] = WeakSet()
        self._changing = Lock()

    def add(self, network: Any) -> None:
        """Take note of a connection."""
        with self._changing:
            self._made.add(network)

    def hang_up(self) -> None:
        """Shut all of them down."""
        with self._changing:
            made = list(self._made)
        for network in made:
            with suppress(OSError):
                network.get_extra_info("socket").shutdown(SHUT_RDWR)


class Watch:
    """Tells whether a call went over a connection that had served an earlier one. Connections of ours say themselves how far
    they are, transports of httpx's by the events they report.

    Nothing more is reported once the request is on its way: each event takes its time.
    """

    __slots__ = ("_connected", "_extensions", "_networks", "_sent")

    def __init__(self, networks: Networks | None = None) -> None:
        self._networks = networks
        self._connected = False
        self._sent = False
        self._extensions: dict[str, Any] = {}

    def follow(self, extensions: dict[str, Any], trace: Callable[..., Any]) -> None:
        """Have the events of a request, which has these extensions, reported to `trace` or `atrace`."""
        extensions["trace"] = trace
        self._extensions = extensions

    def connecting(self) -> None:
        """Take that a connection is made."""
        self._connected = True

    def sending(self) -> None:
        """Take that the request is on its way."""
        self._sent = True

    def reused(self) -> bool:
        """Whether a request was sent without connecting first."""
        return self._sent and not self._connected

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take an event."""
        if event == "connection.connect_tcp.started":
            self.connecting()
        elif event == "http11.send_request_headers.started":
            if not info or info["request"].method != b"CONNECT":  # by which a proxy is asked to lead through
                self.sending()
                self.forget()
        elif self._networks is not None and event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._networks.add(info["return_value"])

    async def atrace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take an event, async."""
        self.trace(event, info)

    def forget(self) -> None:
        """Be told no more."""
        self._extensions.pop("trace", None)


def most_at_once() -> int:
    """Return how many calls a client makes at once; others wait for their turn.

    That is a quarter of the files which the process may open (`ulimit -n`, often 1,024), since it has others to open.
    """
    try:
        import resource
    except ImportError:  # Windows, where sockets are no files
        return 256
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_AT_ONCE if files == resource.RLIM_INFINITY else max(1, min(MOST_AT_ONCE, files // 4))


def head_stage(call: Call) -> Stage:
    """Return what is waited for before a reply begins."""
    return "generation" if call.stream else "call"


def no_turn(call: Call) -> VesselError:
    """Return the error of a call whose turn did not come."""
    message = f"{most_at_once()} other calls of this client did not end in time for this one to begin."
    return FirstTokenTimeout(message) if call.stream else ServerTimeout(message)
