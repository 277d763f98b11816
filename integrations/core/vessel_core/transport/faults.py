"""Turns httpx's exceptions into ours."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable, Generator
from contextlib import contextmanager

import httpx

from vessel_core.errors import (
    ConnectTimeout,
    FirstTokenTimeout,
    InvalidConfig,
    InvalidRequest,
    ProtocolError,
    ServerTimeout,
    ServerUnreachable,
    StreamInterrupted,
    StreamStalled,
    VesselError,
)


@contextmanager
def mapped(streaming: Callable[[], bool], waits: bool) -> Generator[None]:
    """Turn httpx's exceptions into ours. `streaming`: bytes of an answer have come; `waits`: for a generation."""
    try:
        yield
    except httpx.TransportError as error:
        raise _error_for(error, streaming(), waits) from error
    except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
        raise InvalidConfig(f"The URL can't be used: {error}.") from None


def _error_for(error: httpx.TransportError, streaming: bool, waits: bool) -> VesselError:
    if isinstance(error, httpx.ConnectTimeout):
        return ConnectTimeout(
            "No connection in time.", hint="Is the host right, and is the port open? See `Timeout(connect=…)`."
        )
    if isinstance(error, httpx.TimeoutException):
        return _timeout(streaming, waits)
    if isinstance(error, httpx.ConnectError):
        return _unreachable(error)
    if isinstance(error, httpx.LocalProtocolError):
        return InvalidRequest("A header can't be sent: its name or value holds characters that HTTP forbids.")
    if streaming:
        return StreamInterrupted(
            f"The connection broke in the middle of the answer: {error}.",
            hint="The server stopped or was cut off; see its log. What came is in `partial`.",
        )
    if isinstance(error, httpx.RemoteProtocolError) and "without sending a response" not in str(error):
        return ProtocolError(
            f"What answers is no HTTP server, or its reply was cut: {error}.", hint="Check scheme and port."
        )
    unreachable = ServerUnreachable(
        "The server closed the connection before it answered.", hint="See the server's log."
    )
    unreachable.reset = True
    return unreachable


def _timeout(streaming: bool, waits: bool) -> VesselError:
    if streaming:
        return StreamStalled(
            "The stream stopped in the middle of the answer.",
            hint="Raise `Timeout(between_tokens=…)` if the server is that slow. What came is in `partial`.",
        )
    if waits:
        return FirstTokenTimeout(
            "Not one token in time.",
            hint="Raise `Timeout(first_token=…)`: a long prompt, a queue or a model that loads may take minutes.",
        )
    return ServerTimeout("No answer in time.", hint="Raise `Timeout(request=…)`.")


def _unreachable(error: httpx.ConnectError) -> ServerUnreachable:
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, OSError) and not isinstance(cause, httpx.TransportError)):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLError):
        return ServerUnreachable(
            f"No TLS connection: {cause.reason or cause}.",
            hint="Use http:// if the server speaks no TLS, or `verify='ca.pem'` for a certificate of your own.",
        )
    unreachable = ServerUnreachable(f"No connection: {error}.", hint="Is the server running, and is the URL right?")
    refused = (
        getattr(cause, "errno", None) == errno.ECONNREFUSED
        or "refused" in str(error)
        or "attempts failed" in str(error)
    )
    unreachable.refused = refused
    if refused:
        unreachable.message = "Nothing listens there: the connection was refused."
    return unreachable
