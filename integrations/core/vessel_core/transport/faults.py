"""Turns httpx's exceptions into ours."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable
from typing import Literal, Protocol

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
from vessel_core.hiding import chain

HUNG_UP = "the connection was closed at this end"
"""What httpx's error says if it was not the server."""

Stage = Literal["call", "generation", "document", "generated", "stream", "answer"]
"""What is waited for: the head of a reply, the head of a generation; then the rest of a document, of one in the place of a
stream, the first token of a stream, or its next one."""


class Watched(Protocol):
    """What is known of a call's connection: whether it served an earlier call."""

    def reused(self) -> bool:
        """Whether a request was sent without connecting first."""
        ...


class mapped:  # noqa: N801 - used as a function; a generator would take longer than what it guards
    """Turn httpx's exceptions into ours; `watch` knows the connection of a call whose reply has not begun."""

    __slots__ = ("_stage", "_watch")

    def __init__(self, stage: Callable[[], Stage], watch: Watched | None = None) -> None:
        self._stage = stage
        self._watch = watch

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            return
        if isinstance(error, httpx.LocalProtocolError):
            for cause in chain(error):
                cause.args, cause.__traceback__ = ("(hidden: it shows the header)",), None
            raise InvalidRequest(
                "A header can't be sent: its name or value holds characters that HTTP forbids."
            ) from None
        if isinstance(error, httpx.TransportError):
            raise translated(error, self._stage(), self._watch) from error
        # a UnicodeError is a host that IDNA has no form for
        if isinstance(error, httpx.InvalidURL | httpx.TooManyRedirects | UnicodeError):
            raise InvalidConfig(f"The URL can't be used: {error}.") from None


def translated(error: httpx.TransportError, stage: Stage, watch: Watched | None = None) -> VesselError:
    """Return our error for one of httpx's, whose own tracebacks are dropped: their frames hold the key."""
    for cause in chain(error):
        cause.__traceback__ = None
    return _error_for(error, stage, watch)


def _error_for(error: httpx.TransportError, stage: Stage, watch: Watched | None) -> VesselError:
    if isinstance(error, httpx.ConnectTimeout):
        return ConnectTimeout(
            "No connection in time.", hint="Is the host right, and is the port open? See `Timeout(connect=…)`."
        )
    if isinstance(error, httpx.TimeoutException):
        return _timeout(stage)
    if isinstance(error, httpx.ConnectError):
        return _unreachable(error)
    if isinstance(error, httpx.ProxyError):
        return ServerUnreachable(
            f"The proxy lets nothing through: {error}.",
            hint="The environment names it (`HTTPS_PROXY`); `NO_PROXY` says what is reached without.",
        )
    if stage in ("stream", "answer"):
        return StreamInterrupted(
            f"The connection broke in the middle of the answer: {error}.",
            hint="The server stopped or was cut off; see its log. What came is in `partial`.",
        )
    if stage in ("document", "generated"):
        cut = ProtocolError(f"The reply was cut: {error}.", hint="See the server's log.")
        cut.cut = True
        return cut
    if isinstance(error, httpx.RemoteProtocolError) and "without sending a response" not in str(error):
        return ProtocolError(
            f"What answers is no HTTP server, or its reply was cut: {error}.", hint="Check scheme and port."
        )
    unreachable = (
        client_closed()
        if str(error) == HUNG_UP
        else ServerUnreachable("The server closed the connection before it answered.", hint="See the server's log.")
    )
    unreachable.reset, unreachable.stale = True, watch is not None and watch.reused()
    return unreachable


def client_closed() -> ServerUnreachable:
    """Return the error of a call whose client was closed meanwhile."""
    return ServerUnreachable("The client was closed before the server answered.")


def _timeout(stage: Stage) -> VesselError:
    if stage == "answer":
        return StreamStalled(
            "The stream stopped in the middle of the answer.",
            hint="Raise `Timeout(between_tokens=…)` if the server is that slow. What came is in `partial`.",
        )
    if stage in ("generation", "stream"):
        return FirstTokenTimeout(
            "Not one token in time.",
            hint="Raise `Timeout(first_token=…)`: a long prompt, a queue or a model that loads may take minutes.",
        )
    bound = "first_token" if stage == "generated" else "request"
    return ServerTimeout("No answer in time.", hint=f"Raise `Timeout({bound}=…)`.")


_OTHER_NAME = "Write the host of the URL as the certificate has it, or give the server one for this name."
_CERTIFICATE_HINTS = {
    9: "Is this machine's clock right?",
    10: "Give the server a new one, or see whether this machine's clock is right.",
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}
"""What to do, by the `X509_V_ERR_…` of OpenSSL's x509_vfy.h: not yet valid, expired, another host, another address."""


def _unreachable(error: httpx.ConnectError) -> ServerUnreachable:
    causes = [cause for cause in chain(error) if isinstance(cause, OSError)]
    if tls := next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None):
        if isinstance(tls, ssl.SSLCertVerificationError):
            what = tls.verify_message.rstrip(".")
            hint = _CERTIFICATE_HINTS.get(
                tls.verify_code, "No CA that is known here signed it. Name the file of its CA: `verify='ca.pem'`."
            )
            return ServerUnreachable(f"The server's TLS certificate is refused: {what}.", hint=hint)
        return ServerUnreachable(
            f"No TLS connection: {tls.reason or tls}.", hint="Use http:// if the server speaks no TLS."
        )
    said = next((str(cause) for cause in causes if cause.errno), str(error))
    unreachable = ServerUnreachable(f"No connection: {said}.", hint="Is the server running, and is the URL right?")
    if any(cause.errno == errno.ECONNREFUSED for cause in causes):
        unreachable.refused = True
        unreachable.message = "Nothing listens there: the connection was refused."
    elif any(cause.errno == errno.EMFILE for cause in causes):
        unreachable.hint = "This process has too many files open: send fewer requests at once, or raise `ulimit -n`."
    return unreachable
