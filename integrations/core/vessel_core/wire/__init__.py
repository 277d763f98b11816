"""What travels: pure functions from requests to JSON bodies and from bytes to deltas. No I/O, no clock, no httpx.

A dialect is a module with the names of `Dialect`; a stream of one reply is an object with the names of `ReplyStream`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from vessel_core.types import ChatRequest, Delta, Embeddings

__all__ = ["Call", "Dialect", "Quirks", "Reply", "ReplyStream"]

MAX_BODY = 256 * 1024 * 1024
MAX_EVENT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Call:
    """A request to make: `path` below the server's root, `body` to be sent as JSON (`None` for a GET).

    `stream` tells that the reply is a generation: it may take minutes, and is read as it comes.
    """

    method: str
    path: str
    body: Mapping[str, Any] | Sequence[Any] | None = None
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A response as it came: `headers` by lower-case name, the whole `body`."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Quirks:
    """Where servers of one dialect differ. The defaults are what most OpenAI-compatible servers take.

    - `reasoning_field`: the field of the history in which the server reads an assistant's reasoning
    - `json_object`: whether `response_format: {"type": "json_object"}` is taken; else it goes as a schema
    - `json_object_schema`: whether a schema may ride beside `json_object`
    - `image_urls`: whether the server fetches http(s) images itself
    - `image_types`: the image formats it decodes
    - `refused`: the options it can't take
    - `thinking`: how `reasoning` is switched: `template` (`chat_template_kwargs`), `effort` (`reasoning_effort`)
    - `schema_with_tools`: whether a response schema may be combined with tools
    - `finishes`: whether every complete stream has a finish reason or `[DONE]`
    - `think_tags`: whether `<think>` at the start of the text is reasoning
    """

    reasoning_field: str | None = "reasoning_content"
    json_object: bool = True
    json_object_schema: bool = False
    image_urls: bool | None = None
    image_types: frozenset[str] = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
    refused: frozenset[str] = frozenset({"num_ctx", "keep_alive"})
    thinking: str = "effort"
    schema_with_tools: bool = True
    finishes: bool = True
    think_tags: bool = True


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

    def ChatStream(self, request: ChatRequest, quirks: Quirks) -> ReplyStream:  # noqa: N802 - a class in a module
        """Begin to read its reply."""
        ...

    def encode_embed(self, texts: Sequence[str], model: str | None, dimensions: int | None) -> Call:
        """Write an embedding request."""
        ...

    def decode_embed(self, body: bytes, count: int, dimensions: int | None) -> Embeddings:
        """Read its reply: `count` vectors in the order of the inputs, or `ProtocolError`."""
        ...
