"""What travels: pure functions from requests to JSON bodies and from bytes to deltas. No I/O, no clock, no httpx.

A dialect is a module with the names of `Dialect`; a stream of one reply is an object with the names of `ReplyStream`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Protocol

from vessel_core.options import EmbedOptions
from vessel_core.records import record
from vessel_core.types import ChatRequest, Delta, Embeddings, Limits, Timeout
from vessel_core.wire.quirks import Quirks

__all__ = ["Call", "Dialect", "Quirks", "Reply", "ReplyStream"]

MAX_LINE = Limits().line


@record
class Call:
    """A request to make: `path` below the server's root, `body` to be sent as JSON (`None` for a GET).

    `stream` tells that the reply is a generation: it may take minutes, and is read as it comes. `picture` tells that `path`
    is no path but the URL of a picture somewhere on the web. So many `vectors` are asked for,
    and so many `tops`, tokens with their chances, for each token of an answer. `read` makes a `document` of a
    good reply's body: what it raises is taken as an error status is, so that another host may do better.
    """

    method: str
    path: str
    body: Mapping[str, Any] | Sequence[Any] | None = None
    stream: bool = False
    picture: bool = False
    vectors: int = 0
    tops: int = 0
    read: Reader | None = None

    def longest(self, timeout: Timeout) -> float | None:
        """Return how many seconds its reply may take: a generation to begin, anything else in all."""
        return timeout.first_token if self.stream else timeout.request


@record
class Reply:
    """A response as it came: `headers` by lower-case name, the whole `body`. `url` tells which one of several hosts sent it;
    `document` is what was made of the body already; what is still made of it may take `more` memory, in bytes, than is usual."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    url: str | None = None
    document: Any = None
    more: int = 0

    def read(self, call: Call) -> Reply:
        """Return this reply to a call with its document, if it is good and the call says how that is read."""
        return (
            self
            if call.read is None or self.status >= 300
            else replace(self, document=call.read(self.body, more=self.more))
        )


class Reader(Protocol):
    """Makes of a body what it means; that may take `more` memory, in bytes, than is usual."""

    def __call__(self, body: bytes, *, more: int) -> Any:
        """Return what it means, or raise what is wrong."""
        ...


class ReplyStream(Protocol):
    """The state of one streamed reply."""

    @property
    def done(self) -> bool:
        """Whether the server said that nothing more follows."""
        ...

    def feed(self, data: bytes) -> list[Delta]:
        """Take the next bytes, however they were cut; raise on an error the server sent.

        An error that comes in the same bytes as deltas is raised by the next call, so that no delta is lost.
        """
        ...

    def whole(self, body: bytes) -> list[Delta]:
        """Take a reply that came as one JSON document instead of a stream."""
        ...

    def close(self) -> list[Delta]:
        """Take the end of the stream; raise `StreamInterrupted` if the server never finished."""
        ...


class Dialect(Protocol):
    """How one family of servers speaks. The two of them are modules: `wire.openai` and `wire.ollama`."""

    def encode_chat(self, request: ChatRequest, quirks: Quirks) -> Call:
        """Write a chat request that streams."""
        ...

    def ChatStream(  # noqa: N802 - a class in a module
        self, request: ChatRequest, quirks: Quirks, *, together: bool = False, limit: int = MAX_LINE
    ) -> ReplyStream:
        """Begin to read its reply; `together` makes one delta of plain texts that one `feed` holds, `limit` bounds a line."""
        ...

    def encode_embed(
        self,
        texts: Sequence[str],
        model: str | None,
        dimensions: int | None,
        options: EmbedOptions | None = None,
        quirks: Quirks = ...,
    ) -> Call:
        """Write an embedding request."""
        ...

    def decode_embed(self, body: bytes, count: int, dimensions: int | None, more: int = 0) -> Embeddings:
        """Read its reply: `count` vectors in the order of the inputs, or `ProtocolError`. It may take `more` bytes of memory
        than is usual."""
        ...
