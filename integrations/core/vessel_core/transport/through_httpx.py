"""Calls by transports of httpx's kind: its own connections, which know proxies, and what a caller brings."""

from __future__ import annotations

import httpx

from vessel_core.transport.incoming import Response
from vessel_core.transport.outgoing import Request


class ThroughHTTPX:
    """Makes of a transport of httpx's what connections of ours are to the shell."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def handle_request(self, request: Request) -> Response:
        """Send a request; return its response when its head has come."""
        asked = _asked(request)
        request.watch.follow(asked.extensions, request.watch.trace)
        try:
            return _answered(self._transport.handle_request(asked))
        finally:
            request.watch.forget()

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()


class AsyncThroughHTTPX:
    """The twin of `ThroughHTTPX`."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: Request) -> Response:
        """Send a request; return its response when its head has come."""
        asked = _asked(request)
        request.watch.follow(asked.extensions, request.watch.atrace)
        try:
            return _answered(await self._transport.handle_async_request(asked))
        finally:
            request.watch.forget()

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()


def _asked(request: Request) -> httpx.Request:
    wait = {"connect": request.connect, "read": request.read, "write": request.write, "pool": None}
    return httpx.Request(
        request.method,
        request.url,
        headers=request.fields,
        stream=httpx.ByteStream(request.content),
        extensions={"timeout": wait},
    )


def _answered(response: httpx.Response) -> Response:
    network = response.extensions.get("network_stream")
    return Response(response.status_code, response.headers.raw, response.stream, network)
