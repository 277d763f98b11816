"""Async connections by aiohttp, for who has installed it (the extra `fast`): its parser is C, and it hands out whole reads.

It stands behind httpx's interface for transports, so that everything above is the same. (`httpx-aiohttp` does too, but turns
a reset into a connect timeout, and can't change how long a read may wait once an answer has begun.)
"""

from __future__ import annotations

import asyncio
import functools
import io
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

import httpx

from vessel_core.transport.plain import shut_down
from vessel_core.transport.unhurried import unhurried

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.client_proto import ResponseHandler

SWITCH = "VESSEL_FAST"
"""The environment variable that turns it off with `0`."""

LARGE = 1024 * 1024
"""Bytes beyond which aiohttp wants a body as a file, and warns of anything else."""


def fast_transport(verify: ssl.SSLContext, limits: httpx.Limits, proxy: str | None) -> httpx.AsyncBaseTransport | None:
    """Return connections by aiohttp if it is installed, speaks what the proxy does, and is not turned off."""
    speaks = proxy is None or proxy.startswith("http")
    if not speaks or os.environ.get(SWITCH) == "0" or find_spec("aiohttp") is None:
        return None
    return FastTransport(verify, limits, proxy)


LONGEST_HEADER = 64 * 1024
MOST_HEADERS = 256
"""What a head may hold: about as much as httpx takes, where aiohttp by itself takes 8 KiB and 128."""

MOST_INTERIM = 100
"""How many replies of the kind of `103 Early Hints` one read may bring: reading a million of them takes seconds."""

LONGEST_FRAMING = 1024 * 1024
"""Bytes by which what frames a body may exceed it: the size of a chunk has no end of its own to aiohttp, and chunks of a byte
make a million of them."""


Trace = Callable[[str, Mapping[str, Any]], Awaitable[None]]

_trace: ContextVar[Trace | None] = ContextVar("trace", default=None)
"""What the call of this task tells of its connection. aiohttp's own way to tell it makes two new URLs for each call."""


class FastTransport(httpx.AsyncBaseTransport):
    """The connections of one event loop."""

    def __init__(self, verify: ssl.SSLContext, limits: httpx.Limits, proxy: str | None) -> None:
        import aiohttp

        self._proxy = proxy
        self._session = aiohttp.ClientSession(
            connector=_connector_type()(limit=0, keepalive_timeout=limits.keepalive_expiry, ssl=verify),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            auto_decompress=False,
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
            max_headers=MOST_HEADERS,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; return its response when its head has come."""
        try:
            response = await self._sent(request)
        except asyncio.CancelledError as stopped:
            stopped.__context__ = None
            failure = stopped.with_traceback(None)
        except (OSError, ValueError, TimeoutError, *_errors()) as error:
            failure = _before_the_reply(error)
        else:
            if response.status >= 200:
                body = FastStream(response, request.extensions["timeout"]["read"])
                return httpx.Response(response.status, headers=response.raw_headers, stream=body)
            response.close()
            failure = httpx.RemoteProtocolError(f"HTTP {response.status} is no reply")
        raise failure  # out here, and no frame of aiohttp's: those show the headers, a key among them

    async def _sent(self, request: httpx.Request) -> aiohttp.ClientResponse:
        from yarl import URL

        wait: Mapping[str, float | None] = request.extensions["timeout"]
        content = request.read()
        trace: Trace | None = request.extensions.get("trace")
        if trace is not None:
            await trace("http11.send_request_headers.started", {})
        told = _trace.set(trace)
        try:
            async with asyncio.timeout(wait["read"]):
                return await self._session.request(
                    request.method,
                    URL(str(request.url), encoded=True),
                    headers=[(name.decode(), value.decode()) for name, value in request.headers.raw],
                    data=io.BytesIO(content) if len(content) > LARGE else content or None,
                    allow_redirects=False,
                    proxy=self._proxy,
                    timeout=_timeout(wait["connect"]),
                )
        finally:
            _trace.reset(told)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()

    def __del__(self) -> None:
        """Drop connections that a loop left open without a word, as httpx does: aiohttp would log each.

        Nothing of this module is named: when the interpreter ends, it may be empty already.
        """
        connector: Any = self._session.connector
        if connector is not None:
            self._session.detach()
            connector._conns.clear()  # noqa: SLF001 - it logs what it finds there


class FastStream(httpx.AsyncByteStream):
    """The body of a response, one piece a read; `seconds` says how long the next read may wait, `read_timeout` by default."""

    def __init__(self, response: aiohttp.ClientResponse, read_timeout: float | None) -> None:
        self._response = response
        self.seconds: Callable[[], float | None] = lambda: read_timeout

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        body: Any = self._response.content
        try:
            data = body.read_nowait()
            if not data:
                async with asyncio.timeout(self.seconds()):
                    data = await body.readany()
        except (OSError, TimeoutError, *_errors()) as error:
            data = body._read_nowait(-1)  # noqa: SLF001 - what came before the connection broke is there all the same
            failure = _in_the_body(error)
        else:
            failure = StopAsyncIteration()
        if data:
            return data
        raise failure

    async def aclose(self) -> None:
        """Close the connection, unless the whole body has come; at once, as the loop's next turn may come late."""
        connection = self._response.connection
        if connection is not None and connection.transport is not None:
            shut_down(connection.transport.get_extra_info("socket"))
        self._response.close()


class _Framing:
    """How many bytes more have come than twice those of the body they frame."""

    def __init__(self, _connection: object) -> None:
        self._body: Any = None
        self._content = self._excess = 0

    def grown(self, came: int, body: Any) -> int:
        """Return it after so many bytes, of which a body may have grown."""
        if body is not self._body:  # of another reply
            self._body, self._content, self._excess = body, 0, 0
        if body is not None:
            new, self._content = body.total_bytes - self._content, body.total_bytes
            self._excess = max(0, self._excess + came - 2 * new)
        return self._excess


@functools.cache
def _connection_type() -> type[ResponseHandler]:
    """Return aiohttp's connection with bounds, and without what it says in vain."""
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.http_exceptions import BadHttpMessage

    class Telling(ResponseHandler):
        """A connection that tells of a broken reply at once, and takes no endless row of interim ones or head of a chunk."""

        _framing = functools.cached_property(_Framing)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._framing.grown(len(data), self._payload) > LONGEST_FRAMING:
                self._refuse("a body in chunks of next to nothing")

        def feed_data(self, data: Any, size: int = 0) -> None:
            if len(self) < MOST_INTERIM:
                super().feed_data(data, size)
            else:
                self._buffer.clear()
                self._refuse(f"more than {MOST_INTERIM} interim replies at once")

        def resume_reading(self, *said: Any, **named: Any) -> None:
            """Do so if it was paused: aiohttp says it for each chunk that is read, and has nothing parsed anew each time."""
            if self._reading_paused or getattr(self, "_buffer_paused", False):
                super().resume_reading(*said, **named)

        def is_connected(self) -> bool:
            """Tell whether the next call may have it: not if it brought a reply since, which nobody asked for."""
            return super().is_connected() and not len(self)

        def _refuse(self, why: str) -> None:
            if self.transport is not None:
                self.transport.abort()
                self.set_exception(BadHttpMessage(why))

        def set_exception(self, exc: BaseException, *cause: Any, **named: Any) -> None:
            """Tell it to who reads the body too: aiohttp itself leaves that one waiting."""
            super().set_exception(exc, *cause, **named)
            body = self._payload
            if body is not None and body.exception() is None and not body.is_eof():
                body.set_exception(exc)

    return Telling


@functools.cache
def _connector_type() -> type[aiohttp.TCPConnector]:
    """Return aiohttp's maker of connections, except that a busy loop is no reason to give one up."""
    import aiohttp

    class Unhurried(aiohttp.TCPConnector):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)  # pyright: ignore[reportUnknownMemberType]
            self._factory = functools.partial(_connection_type(), loop=self._loop)

        async def _create_connection(self, req: Any, traces: Any, timeout: aiohttp.ClientTimeout) -> Any:
            if (trace := _trace.get()) is not None:
                await trace("connection.connect_tcp.started", {})
            async with unhurried(timeout.sock_connect):
                return await super()._create_connection(req, traces, aiohttp.ClientTimeout())

    return Unhurried


@functools.lru_cache(16)
def _timeout(connect: float | None) -> aiohttp.ClientTimeout:
    import aiohttp

    return aiohttp.ClientTimeout(sock_connect=connect)


def _errors() -> tuple[type[Exception], ...]:
    import aiohttp
    from aiohttp.http_exceptions import HttpProcessingError

    return aiohttp.ClientError, HttpProcessingError


def _before_the_reply(error: Exception) -> httpx.TransportError:
    """Return httpx's error for what went wrong before the head of a reply had come."""
    import aiohttp

    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return httpx.ConnectTimeout("")
    if isinstance(error, TimeoutError):
        return httpx.ReadTimeout("")
    if isinstance(error, aiohttp.ClientConnectorError):
        failure = httpx.ConnectError(str(error))
        untrusted = isinstance(error, aiohttp.ClientConnectorCertificateError)
        failure.__cause__ = error.certificate_error if untrusted else error.os_error
        return failure
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return httpx.ProxyError(f"{error.status} {error.message}")
    if isinstance(error, aiohttp.ServerDisconnectedError) and error.message in ("", "Server disconnected"):
        return httpx.RemoteProtocolError("Server disconnected without sending a response.")
    if isinstance(error, OSError):
        return httpx.ReadError(str(error))
    if isinstance(error, ValueError):
        return httpx.LocalProtocolError("")
    return httpx.RemoteProtocolError(_said(error))


def _in_the_body(error: Exception) -> httpx.TransportError:
    if isinstance(error, TimeoutError):
        return httpx.ReadTimeout("")
    return httpx.RemoteProtocolError(_said(error)) if not isinstance(error, OSError) else httpx.ReadError(str(error))


def _said(error: Exception) -> str:
    """Return the first line of what is wrong; aiohttp draws the place below it."""
    return str(getattr(error, "message", "") or error).partition("\n")[0].removesuffix(":")
