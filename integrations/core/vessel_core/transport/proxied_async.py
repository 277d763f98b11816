"""Async connections through a proxy: httpx's own, with an end to the wait for a head and no secret in a stopped call's frames."""

from __future__ import annotations

import asyncio

import httpx


class AsyncProxiedTransport(httpx.AsyncHTTPTransport):
    """The connections of one event loop through a proxy. Raises httpx's errors."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; return its response when its head has come, in the time of one read: httpx gives each piece as much."""
        failure: BaseException
        try:
            async with asyncio.timeout(request.extensions["timeout"]["read"]):
                return await super().handle_async_request(request)
        except TimeoutError:
            failure = httpx.ReadTimeout("")
        except asyncio.CancelledError as stopped:
            stopped.__context__ = None
            failure = stopped.with_traceback(None)
        raise failure  # out here, and no frame of httpx's: those show the headers, a key among them
