"""Async connections by httpx itself. A module of its own: it loads what httpx loads only when it is first used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from vessel_core.transport.unhurried import unhurried


def plain_transport(**arguments: Any) -> httpx.AsyncHTTPTransport:
    """Return httpx's connections, which take these arguments."""
    transport = httpx.AsyncHTTPTransport(**arguments)
    pool: Any = vars(transport)["_pool"]
    pool._network_backend = _Unhurried()  # noqa: SLF001 - httpcore's pool takes one, httpx's transport doesn't
    return transport


class _Unhurried(httpcore.AsyncNetworkBackend):
    """Opens connections as httpx does on asyncio, except that a busy loop is no reason to give one up."""

    def __init__(self) -> None:
        self._opens: Any = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with unhurried(timeout):
                return await self._opens.connect_tcp(host, port, None, local_address, socket_options)
        except TimeoutError:
            raise httpcore.ConnectTimeout from None
