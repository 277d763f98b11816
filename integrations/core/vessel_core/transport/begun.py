"""Waits for the first bytes of a reply's body: of several hosts, one whose head alone has come may still be left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import chain

import httpx

from vessel_core.transport.faults import translated
from vessel_core.transport.incoming import Incoming


def begin_body(incoming: Incoming) -> bytes:
    """Return the first bytes once they are there, and leave them to be read."""
    if incoming.streams:
        incoming.wait_patiently()
    pieces: Iterator[bytes] = iter(incoming.response.stream)
    try:
        first = next(pieces, b"")
    except httpx.TransportError as error:
        raise translated(error, incoming.stage()) from error
    incoming.response = replace(incoming.response, stream=chain([first] if first else [], pieces))
    return first


async def abegin_body(incoming: Incoming) -> bytes:
    """Return the first bytes once they are there, and leave them to be read."""
    if incoming.streams:
        incoming.wait_patiently()
    pieces: AsyncIterator[bytes] = aiter(incoming.response.stream)
    try:
        first = await anext(pieces, b"")
    except httpx.TransportError as error:
        raise translated(error, incoming.stage()) from error
    incoming.response = replace(incoming.response, stream=_AsyncBegun(first, pieces))
    return first


class _AsyncBegun:
    """No generator: a loop that ends closes all of them at once, those in use by others too."""

    def __init__(self, first: bytes, pieces: AsyncIterator[bytes]) -> None:
        self._first = first
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if first := self._first:
            self._first = b""
            return first
        return await anext(self._pieces)
