"""Connections through a proxy: httpx's own, with no secret in the frames of a stopped call, and async an end to the wait for a
head."""

from __future__ import annotations

import asyncio

import httpx


class ProxiedTransport(httpx.HTTPTransport):
    """The connections through a proxy, for any number of threads. Raises httpx's errors."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; return its response when its head has come."""
        try:
            return super().handle_request(request)
        except Exception:
            raise
        except BaseException as stopped:  # noqa: BLE001 - Ctrl-C, or what another library ends a thread with
            failure = _without_frames(stopped)
        raise failure


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
        except Exception:
            raise
        except BaseException as stopped:  # noqa: BLE001 - a cancellation, or as above
            failure = _without_frames(stopped)
        raise failure


def _without_frames(stopped: BaseException) -> BaseException:
    """Return it, to be raised outside of httpx's frames: those show the headers, a key among them."""
    stopped.__context__ = None
    return stopped.with_traceback(None)
