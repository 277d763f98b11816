"""A response as it comes in: bodies within limits, read timeouts that change once an answer has begun."""

from __future__ import annotations

import time
import weakref
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import Any, cast
from urllib.parse import urlsplit

import httpx

from vessel_core.errors import ProtocolError, ResponseTooLarge
from vessel_core.records import record
from vessel_core.transport.faults import Stage, translated
from vessel_core.types import Delta, Limits, Timeout
from vessel_core.wire import Call, Reply
from vessel_core.wire.jsontext import MAX_COST

RATIO = 200
"""How many times its size a packed body may unpack to, beyond the first `STEP` bytes."""

STEP = 1024 * 1024

GROWTH = 128 * 1024
"""Bytes of an answer after which what has come of it is looked at again."""

VECTOR = 128 * 1024
"""Bytes that each vector adds to what a document may have: of 8,192 dimensions, with 16 digits and signs for each."""

REPEATED = 2
"""How many times its size what was sent may take in a reply that repeats it: a token is no longer than its number."""

ERROR = 64 * 1024
"""Bytes of an error that are read, beside what it may repeat; more of it says nothing more."""

ERROR_SECONDS = 5.0
"""How long the text of an error may take behind its status, which tells most."""

DEARER = 4.5
"""How many times its size a document may take in memory, beyond what any may."""

MORE = "If it is, `limits=Limits(body=…, document=…, line=…)` takes more in."
FEWER = "If it is, `limits=Limits(document=…)` takes more in, or `batch_size=…` asks for fewer vectors a request."
HOSTILE = "This is no LLM server's answer: is the URL right, and the server to be trusted?"


class Body:
    """Bounds a body, and unpacks it if the server packed it though it wasn't asked to (quirk 21)."""

    def __init__(self, headers: Mapping[str, str], limit: int, more: str = MORE) -> None:
        self._limit = limit
        self._more = more
        self._came = 0
        self._taken = 0
        self._due = limit + 1
        self._grown: Callable[[], None] = lambda: None
        self._packing = headers.get("content-encoding", "").strip().lower()
        self._unpack = zlib.decompressobj(zlib.MAX_WBITS | 32) if self._packing in ("gzip", "deflate") else None

    def refuse_foreign_packing(self) -> None:
        """Raise `ProtocolError` if it is packed in a way that is not known."""
        if self._packing not in ("", "identity", "gzip", "deflate"):
            raise ProtocolError(
                f"The reply is compressed with {self._packing!r}, which was not asked for.",
                hint="Is there a proxy on the way? Let it pass replies on as they are.",
            )

    def plain(self, data: bytes) -> bytes:
        """Return the next bytes, unpacked; raise `ResponseTooLarge` above the limit."""
        self._came += len(data)
        if self._came > self._limit:
            raise self._too_long()
        if self._unpack is not None:
            data = b"".join(self._unpacked(self._unpack, data))
        else:
            self._taken = self._came
        if self._taken > self._due:
            self._due = self._taken + GROWTH
            self._grown()
        return data

    def whenever_grown(self, do: Callable[[], None]) -> None:
        """Do something each time so many bytes more have come, and before they are handed on."""
        self._due, self._grown = GROWTH, do

    def _unpacked(self, unpack: Any, data: bytes) -> list[bytes]:
        """Unpack step by step, so that a few bytes that stand for very many are noticed before they fill the memory."""
        parts: list[bytes] = []
        if data and unpack.eof:
            raise ProtocolError("The compressed reply goes on after its end.", hint="See the server's log.")
        try:
            while data:
                parts.append(unpack.decompress(data, STEP))
                self._taken += len(parts[-1])
                if self._taken > self._limit:
                    raise self._too_long()
                if self._taken > STEP + RATIO * self._came:
                    raise ResponseTooLarge(f"The reply unpacks to more than {RATIO} times its size.", hint=HOSTILE)
                data = unpack.unconsumed_tail
        except zlib.error as error:
            raise ProtocolError(f"The compressed reply is broken: {error}.", hint="See the server's log.") from None
        return parts

    def _too_long(self) -> ResponseTooLarge:
        return ResponseTooLarge(f"The reply is longer than {self._limit:,} bytes.", hint=f"{HOSTILE} {self._more}")


class Patience:
    """How long a read of a stream may take: what is left of the time to the first token, then that between tokens.

    A prompt that is read further is waited for anew. `answering` tells that a token has come, `last` is set once the answer is
    complete.
    """

    def __init__(self, timeout: Timeout, since: float) -> None:
        self._first = timeout.first_token
        self._since = since
        self._read = 0
        self._between = timeout.between_tokens
        self.answering: bool = False
        self.last: float | None = None

    def hear(self, deltas: Sequence[Delta]) -> None:
        """Take what came before the first token was handed on; raise `FirstTokenTimeout` once its time is over.

        More tokens of the prompt that are read grant the whole time again. Nothing else without a token grants any: a server
        may send pings, empty events and the same progress for ever.
        """
        further = False
        for delta in deltas:
            if delta.progress is None:
                self.answering = True
                return
            if (delta.progress.completed or 0) > self._read:
                self._read, further = delta.progress.completed or 0, True
        if further:
            self._since = time.monotonic()
        elif self._first is not None and time.monotonic() > self._since + self._first:
            raise translated(httpx.ReadTimeout(""), "stream")

    def seconds(self) -> float | None:
        """Return how long to wait for the next bytes."""
        if self.last is not None:
            return self.last
        if self.answering:
            return self._between
        return None if self._first is None else max(self._since + self._first - time.monotonic(), 0.001)


@record
class Response:
    """A response as connections give it: `fields` are its headers as they came, `stream` its body. `network` is httpx's own
    connection, where it came over one."""

    status: int
    fields: Sequence[tuple[bytes, bytes]]
    stream: Any
    network: Any = None


class Incoming:
    """A response whose body is still coming: `reply` has its status and headers.

    `good` tells that it is no error, of whose body `enough` bytes are read; `streams` that its body is a stream and no document;
    `patience` hears of what comes; `since` is when the call began. `heard` is called with each read, where several hosts are
    looked after. A document may repeat what was `sent`, so many bytes of JSON.
    """

    heard: Callable[[], None] | None = None

    def __init__(
        self, response: Response, timeout: Timeout, since: float, limits: Limits, call: Call, sent: int = 0
    ) -> None:
        self.response = response
        self.since = since
        self.reply: Reply = Reply(response.status, _headers(response.fields))
        if 300 <= response.status < 400:
            raise _sends_on(self.reply)
        self.good: bool = response.status < 300
        kind = self.reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        self.streams: bool = self.good and call.stream and kind not in ("application/json", "text/html")
        document = limits.document + REPEATED * sent + VECTOR * call.vectors
        limit = limits.body if self.streams else min(document, limits.body)
        self.enough: int = ERROR + REPEATED * sent
        self.more: int = max(0, int(DEARER * (limits.document + REPEATED * sent)) - MAX_COST)
        self.answer: tuple[int, int] = limits.answer, call.tops
        self.body: Body = Body(self.reply.headers, limit, FEWER if call.vectors > 1 else MORE)
        self.patience: Patience = Patience(timeout, since)
        self._document: Stage = "generated" if call.stream else "document"
        longest = call.longest(timeout)
        self._deadline = None if longest is None else since + longest
        if not self.good:
            self.patience.last = ERROR_SECONDS
            self._deadline = min(self._deadline or inf, time.monotonic() + ERROR_SECONDS)

    def taker(self) -> Callable[[bytes], bytes]:
        """Return what takes the next bytes: a document must also be whole in time, however its bytes drip."""
        self.body.refuse_foreign_packing()
        take = self.body.plain if self.streams else self._in_time
        return take if self.heard is None else self._noted(take, self.heard)

    def _noted(self, take: Callable[[bytes], bytes], heard: Callable[[], None]) -> Callable[[bytes], bytes]:
        def taken(data: bytes) -> bytes:
            heard()
            return take(data)

        return taken

    def _in_time(self, data: bytes) -> bytes:
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise translated(httpx.ReadTimeout(""), self.stage())
        return self.body.plain(data)

    def stage(self) -> Stage:
        """Return what is waited for."""
        if not self.streams:
            return self._document
        return "answer" if self.patience.answering else "stream"

    def wait_patiently(self) -> None:
        """Let the reads of this response wait as long as `patience` says, until `forget`.

        A first token may take minutes where a second one may not. Connections of ours ask how long each read may take; httpx
        fixes it when a body begins: of those the connection's own `read` is wrapped.
        """
        stream, network = self.response.stream, self.response.network
        if hasattr(stream, "seconds"):
            stream.seconds = self.patience.seconds
            return
        if network is None:
            return
        read = cast("Callable[..., Any]", type(network).read)  # pyright: ignore[reportUnknownMemberType]
        here, patience = weakref.ref(network), self.patience

        def patient(max_bytes: int, timeout: float | None = None) -> Any:
            return read(here(), max_bytes, patience.seconds())

        with suppress(AttributeError):
            network.read = patient

    def forget(self) -> None:
        """Give a connection of httpx's its own timeouts back."""
        network = self.response.network
        if network is not None:
            with suppress(AttributeError):
                network.__dict__.pop("read", None)


def _headers(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers by lower-case name; one that came several times has all its values, as HTTP reads them."""
    headers: dict[str, str] = {}
    try:
        fields = [(name.decode().lower(), value.decode()) for name, value in raw]
    except UnicodeDecodeError:
        fields = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw]
    for name, value in fields:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _sends_on(reply: Reply) -> ProtocolError:
    """Return the error for a redirect: following it would hand the prompt to somebody who was not asked."""
    try:
        to = urlsplit(reply.headers.get("location", ""))
        place = f"{to.scheme}://{to.netloc.rpartition('@')[2]}" if to.netloc else to.path[:100]
    except ValueError:
        place = "what is no URL"
    return ProtocolError(
        f"The server sends on to {place or 'nowhere'} (HTTP {reply.status}), which is not followed.",
        hint="If that is the right place, give it as `base_url`.",
    )
