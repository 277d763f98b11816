"""The body of a reply, one piece for all that a network read brings.

httpx hands on one HTTP chunk at a time, through five generators, and servers make a chunk of each token: what had arrived
together came apart again, and that was half of a token's cost. Here h11, which checks what comes as it does for httpx, is asked
until it needs the next read. Whole chunks that follow one of its own are taken out of what it holds: it takes six times as long
to say of each that nothing has changed. A body that httpx's own HTTP/1.1 doesn't bring is iterated as it is.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

import h11
import httpcore
import httpx

MOST = 64 * 1024
"""How many bytes a read may bring, as with httpx."""

_CHUNK = re.compile(rb"\r\n([0-9a-fA-F]{1,20})\r\n")
"""The end of a chunk and the size of the next. What has it otherwise, an extension say, is for h11 to judge."""

USUAL = 3
MOST_UNUSUAL = 30_000
"""How many chunks h11 may be given beyond the `USUAL` ones of a read, where one is cut in two at most: each takes it as long
as a read."""

LONGEST_FRAMING = 1024 * 1024
"""Bytes by which what frames a body may exceed the body: chunks of a byte make a million of them."""


def reads(body: httpx.SyncByteStream) -> Iterator[bytes]:
    """Return the pieces of a body."""
    source = _Source.under(body)
    return iter(body) if source is None else _reads(source)


def areads(body: httpx.AsyncByteStream) -> AsyncIterator[bytes]:
    """Return the pieces of a body, async."""
    source = _Source.under(body)
    return aiter(body) if source is None else _AsyncReads(source)


class _Source:
    """Where a body comes from: what the `network` brings is given to `state`, which says what it means."""

    __slots__ = ("_fault", "_framing", "_open", "_state", "_unusual", "network", "seconds")

    def __init__(self, state: h11.Connection, network: Any, seconds: float | None) -> None:
        self.network = network
        self.seconds = seconds
        self._state = state
        self._open = True
        self._unusual = 0
        self._framing = 0
        self._fault: httpx.TransportError | None = None

    @classmethod
    def under(cls, body: object) -> Self | None:
        """Return it if httpx's own HTTP/1.1 brings this body: how that is built is nobody's business, and hasn't changed since
        httpcore 1.0."""
        stream = getattr(getattr(body, "_httpcore_stream", None), "_stream", None)
        connection = getattr(stream, "_connection", None)
        state, network = getattr(connection, "_h11_state", None), getattr(connection, "_network_stream", None)
        request = getattr(stream, "_request", None)
        if not isinstance(state, h11.Connection) or network is None or request is None:
            return None
        return cls(state, network, request.extensions.get("timeout", {}).get("read"))

    def here(self) -> bytes:
        """Return what has come since the last call."""
        came: list[bytes] = []
        asked = -USUAL
        try:
            while self._open:
                event = self._state.next_event()
                if isinstance(event, h11.Data):
                    came.append(event.data)
                    asked += 1
                    came += _whole_chunks(self._state)
                elif event is h11.NEED_DATA:
                    break
                else:
                    self._open = False
                    if self._state.trailing_data[0]:  # nobody asked for it: the next call would take it for its reply
                        self._state.send_failed()  # httpcore closes such a connection
        except h11.RemoteProtocolError as error:
            self._open = False
            self._fault = httpx.RemoteProtocolError(str(error))
        data = b"".join(came)
        self._unusual += max(0, asked)
        self._framing = max(0, self._framing - 2 * len(data))
        if self._unusual > MOST_UNUSUAL or self._framing > LONGEST_FRAMING:
            self._open = False
            self._fault = httpx.RemoteProtocolError("a body in chunks of next to nothing")
        return data

    def wants(self) -> bool:
        """Tell whether there is more to read; raise what came in place of it."""
        if self._fault is not None:
            raise self._fault
        return self._open

    def take(self, data: bytes) -> None:
        """Take what a read brought, nothing if the connection was closed."""
        self._framing += len(data)
        self._state.receive_data(data)


def _whole_chunks(state: Any) -> list[bytes]:
    """Take the chunks that are there whole out of what h11 holds.

    It has read one before, and waits for the end of that; so it does afterwards, and knows no difference.
    """
    reader, held = getattr(state, "_reader", None), getattr(state, "_receive_buffer", None)
    if getattr(reader, "_bytes_to_discard", None) != b"\r\n" or held is None:
        return []
    data, at, chunks = bytes(held), 0, list[bytes]()
    while head := _CHUNK.match(data, at):
        begin, end = head.end(), head.end() + int(head[1], 16)
        if not begin < end <= len(data):
            break
        chunks.append(data[begin:end])
        at = end
    if at:
        held.maybe_extract_at_most(at)
    return chunks


def _reads(source: _Source) -> Iterator[bytes]:
    while True:
        if data := source.here():
            yield data
        if not source.wants():
            return
        try:
            source.take(source.network.read(MOST, timeout=source.seconds))
        except (httpcore.ReadTimeout, httpcore.ReadError) as error:
            raise _of_httpx(error) from error


class _AsyncReads:
    """No generator: a loop that ends closes all of them at once, those in use by others too."""

    __slots__ = ("_source",)

    def __init__(self, source: _Source) -> None:
        self._source = source

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        source = self._source
        while not (data := source.here()):
            if not source.wants():
                raise StopAsyncIteration
            try:
                source.take(await source.network.read(MOST, timeout=source.seconds))
            except (httpcore.ReadTimeout, httpcore.ReadError) as error:
                raise _of_httpx(error) from error
        return data


def _of_httpx(error: httpcore.ReadTimeout | httpcore.ReadError) -> httpx.TransportError:
    kind = httpx.ReadTimeout if isinstance(error, httpcore.ReadTimeout) else httpx.ReadError
    return kind(str(error))
