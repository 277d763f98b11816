"""A response as it comes in: bodies within limits, read timeouts that change once an answer has begun."""

from __future__ import annotations

import weakref
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, cast

import httpx

from vessel_core.errors import ProtocolError, ResponseTooLarge
from vessel_core.wire import MAX_BODY, Reply


class Body:
    """Bounds a body, and unpacks it if the server packed it though it wasn't asked to (quirk 21)."""

    def __init__(self, headers: Mapping[str, str], limit: int = MAX_BODY) -> None:
        self._left = limit
        self._limit = limit
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity", "gzip", "deflate"):
            raise ProtocolError(f"The reply is compressed with {encoding!r}, which was not asked for.")
        self._unpack = zlib.decompressobj(zlib.MAX_WBITS | 32) if encoding in ("gzip", "deflate") else None

    def plain(self, data: bytes) -> bytes:
        """Return the next bytes, unpacked; raise `ResponseTooLarge` above the limit."""
        if self._unpack is not None:
            try:
                data = self._unpack.decompress(data, self._left + 1)
            except zlib.error as error:
                raise ProtocolError(f"The compressed reply is broken: {error}.") from None
        self._left -= len(data)
        if self._left < 0:
            raise ResponseTooLarge(f"The reply is longer than {self._limit:,} bytes.")
        return data


class Incoming:
    """A response whose body is still coming: `reply` has its status and headers.

    `good` tells that it is no error, `streams` that its body is a stream and no document, `begun` that bytes of it came.
    """

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.reply = Reply(response.status_code, {name.lower(): value for name, value in response.headers.items()})
        self.body = Body(self.reply.headers)
        self.good = response.status_code < 300
        kind = self.reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        self.streams = self.good and kind not in ("application/json", "text/html")
        self.begun = False

    def patience(self, seconds: float | None) -> None:
        """Let each further read of this response wait so long.

        httpx fixes the read timeout when a body begins, but a first token may take minutes where a second one may not: so
        the connection's own `read` gets another timeout, until `forget`.
        """
        network: Any = self.response.extensions.get("network_stream")
        if network is None:
            return
        read = cast("Callable[..., Any]", type(network).read)  # pyright: ignore[reportUnknownMemberType]
        here = weakref.ref(network)

        def patient(max_bytes: int, timeout: float | None = None) -> Any:
            return read(here(), max_bytes, seconds)

        with suppress(AttributeError):
            network.read = patient

    def forget(self) -> None:
        """Give the connection its own timeouts back."""
        network: Any = self.response.extensions.get("network_stream")
        with suppress(AttributeError, KeyError):
            del network.__dict__["read"]
