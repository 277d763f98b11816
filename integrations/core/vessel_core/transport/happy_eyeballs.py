"""Connects to the first address of a host that answers, as RFC 8305 has it.

asyncio's own way leaves a socket open if it is cancelled at the wrong moment, tells of several failures in one text without any
error number, and is unknown to uvloop. That of `socket` tries one address after the other, each as long as all together may take.
"""

from __future__ import annotations

import asyncio
import math
import os
import selectors
import socket
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from itertools import zip_longest
from time import monotonic
from typing import Any

AFTER = 0.25
"""Seconds after which the next address is tried beside those that have not answered yet."""

_Address = tuple[int, int, int, str, Any]
"""One of what `getaddrinfo` returns."""

Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)
"""Waits for sockets. (`select` takes no file beyond the 1024th, and epoll opens one more.)"""


async def connect(host: str, port: int) -> socket.socket:
    """Return a connected socket; raise `OSError` if no address takes it."""
    addresses = await _addresses(host, port)
    return await (_connected(addresses[0]) if len(addresses) == 1 else _first(addresses))


def connect_blocking(host: str, port: int, seconds: float | None) -> socket.socket:
    """Do the same for a thread; raise `TimeoutError` so many seconds after the addresses are known."""
    if _literal(host, port) is not None:
        return socket.create_connection((host, port), seconds)
    untried = iter(_in_turn(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    until = monotonic() + (math.inf if seconds is None else seconds)
    attempts: list[socket.socket] = []
    failures: list[Exception] = []
    try:
        while True:
            if (address := next(untried, None)) is not None:
                try:
                    attempts.append(_begun(address))
                except OSError as failure:
                    failures.append(failure.with_traceback(None))  # or it would hold this frame
                    continue
            if not attempts:
                break
            for attempt in _settled(attempts, min(until - monotonic(), math.inf if address is None else AFTER)):
                if not (number := attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
                    attempt.settimeout(seconds)
                    attempts.remove(attempt)
                    return attempt
                failures.append(OSError(number, os.strerror(number)))
                attempts.remove(attempt)
                attempt.close()
            if monotonic() >= until:
                raise TimeoutError
        raise _failed(failures)
    finally:
        for attempt in attempts:
            attempt.close()


def _begun(address: _Address) -> socket.socket:
    family, kind, protocol, _, place = address
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setblocking(False)
        with suppress(BlockingIOError):
            opened.connect(place)
    except BaseException:
        opened.close()
        raise
    return opened


def _settled(attempts: list[socket.socket], seconds: float) -> list[socket.socket]:
    """Return those that have succeeded or failed, once there are some or the time is over."""
    with Selector() as waiting:
        for attempt in attempts:
            waiting.register(attempt, selectors.EVENT_WRITE, attempt)
        return [key.data for key, _ in waiting.select(None if seconds == math.inf else seconds)]


async def _addresses(host: str, port: int) -> list[_Address]:
    if (literal := _literal(host, port)) is not None:
        return [literal]
    return _in_turn(await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _literal(host: str, port: int) -> _Address | None:
    """Return the address of a host that is one."""
    with suppress(ValueError):
        family = socket.AF_INET if ip_address(host).version == 4 else socket.AF_INET6
        return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port)
    return None


def _in_turn(found: Sequence[_Address]) -> list[_Address]:
    """Return addresses in the order of the system, but one of each family first."""
    preferred = [address for address in found if address[0] == found[0][0]]
    others = [address for address in found if address[0] != found[0][0]]
    return [address for pair in zip_longest(preferred, others) for address in pair if address is not None]


def _failed(failures: list[Exception]) -> Exception:
    """Return the error of a host that no attempt reached."""
    if len(failures) == 1:
        return failures[0]
    error = OSError("no address answers" if failures else "the name has no address")
    error.__cause__ = ExceptionGroup("the addresses", failures) if failures else None
    return error


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
        raise _failed(failures)
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
