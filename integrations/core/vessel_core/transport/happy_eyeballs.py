"""Connects to the first address of a host that answers, as RFC 8305 has it.

asyncio's own way leaves a socket open if it is cancelled at the wrong moment, tells of several failures in one text without any
error number, and is unknown to uvloop.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from ipaddress import ip_address
from itertools import zip_longest
from typing import Any

AFTER = 0.25
"""Seconds after which the next address is tried beside those that have not answered yet."""

_Address = tuple[int, int, int, str, Any]
"""One of what `getaddrinfo` returns."""


async def connect(host: str, port: int) -> socket.socket:
    """Return a connected socket; raise `OSError` if no address takes it."""
    addresses = await _addresses(host, port)
    return await (_connected(addresses[0]) if len(addresses) == 1 else _first(addresses))


async def _addresses(host: str, port: int) -> list[_Address]:
    """Return the addresses of a host, in the order of the system, but one of each family first."""
    with suppress(ValueError):
        family = socket.AF_INET if ip_address(host).version == 4 else socket.AF_INET6
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    preferred = [address for address in found if address[0] == found[0][0]]
    others = [address for address in found if address[0] != found[0][0]]
    return [address for pair in zip_longest(preferred, others) for address in pair if address is not None]


async def _first(addresses: list[_Address]) -> socket.socket:
    attempts: list[asyncio.Task[socket.socket]] = []
    untried = iter(addresses)
    try:
        while True:
            if (address := next(untried, None)) is not None:
                attempts.append(asyncio.create_task(_connected(address)))
            pending = [attempt for attempt in attempts if not attempt.done()]
            if not pending:
                break
            limit = None if address is None else AFTER
            await asyncio.wait(pending, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            for attempt in attempts:
                if attempt.done() and attempt.exception() is None:
                    attempts.remove(attempt)
                    return attempt.result()
        failures = [failure for attempt in attempts if isinstance(failure := attempt.exception(), Exception)]
        raise OSError("no address answers") from ExceptionGroup("the addresses", failures)
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_close)


async def _connected(address: _Address) -> socket.socket:
    family, kind, protocol, _, place = address
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setblocking(False)
        await asyncio.get_running_loop().sock_connect(opened, place)
    except BaseException:
        opened.close()
        raise
    return opened


def _close(attempt: asyncio.Task[socket.socket]) -> None:
    """Close what another address was quicker than, or nobody waits for any more."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()
