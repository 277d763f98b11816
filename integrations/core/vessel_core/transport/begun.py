"""Waits for the first bytes of a reply's body: of several hosts, one whose head alone has come may still be left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import cast

import httpx

from vessel_core.transport.faults import translated
from vessel_core.transport.incoming import Incoming


def begin_body(incoming: Incoming) -> bytes:
    """Return the first bytes once they are there, and leave them to be read."""
    if incoming.streams:
        incoming.wait_patiently()
    body = cast("httpx.SyncByteStream", incoming.response.stream)
    pieces = iter(body)
    try:
        first = next(pieces, b"")
    except httpx.TransportError as error:
        raise translated(error, incoming.stage()) from error
    incoming.response.stream = _Begun(first, pieces, body)
    return first


async def abegin_body(incoming: Incoming) -> bytes:
    """Return the first bytes once they are there, and leave them to be read."""
    if incoming.streams:
        incoming.wait_patiently()
    body = cast("httpx.AsyncByteStream", incoming.response.stream)
    pieces = aiter(body)
    try:
        first = await anext(pieces, b"")
    except httpx.TransportError as error:
        raise translated(error, incoming.stage()) from error
    incoming.response.stream = _AsyncBegun(first, pieces, body)
    return first


class _Begun(httpx.SyncByteStream):
    def __init__(self, first: bytes, pieces: Iterator[bytes], body: httpx.SyncByteStream) -> None:
        self._first = first
        self._pieces = pieces
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        if self._first:
            yield self._first
        yield from self._pieces

    def close(self) -> None:
        self._body.close()


class _AsyncBegun(httpx.AsyncByteStream):
    """No generator: a loop that ends closes all of them at once, those in use by others too."""

    def __init__(self, first: bytes, pieces: AsyncIterator[bytes], body: httpx.AsyncByteStream) -> None:
        self._first = first
        self._pieces = pieces
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if first := self._first:
            self._first = b""
            return first
        return await anext(self._pieces)

    async def aclose(self) -> None:
        await self._body.aclose()
