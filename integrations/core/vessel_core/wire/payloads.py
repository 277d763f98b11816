"""A reply read payload by payload, as all streams here are: nothing that came before an error is lost."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar, cast

from vessel_core.errors import ResponseTooLarge, VesselError
from vessel_core.types import Delta
from vessel_core.wire.failures import not_json
from vessel_core.wire.framing import EventStream, Lines

F = TypeVar("F", bound=EventStream | Lines)

QUIET = 16 * 1024 * 1024
"""Bytes that may come without anything of an answer in them: progress, or what is held back until it is whole."""

PAYLOAD = 64
"""Bytes for which each payload counts beside its own: those of nothing are bounded too."""

MAX_CHANCES = 8192
"""Tokens whose log probabilities may come at once, beside what each event may tell, and as often as each has alternatives that
were asked for: LlamaIndex takes half a kilobyte for each."""

CHANCES = 24
"""Those that any event may tell, as a token with twenty alternatives: many come at once to who is busy."""

_BETWEEN_LINES = re.compile(rb"\}[^\S\n]*+\n\s*+\{")


class PayloadStream(ABC, Generic[F]):
    """Feeds what its framing finds to `_payload`, which adds deltas. So many `tops` were asked for with each token."""

    def __init__(self, framing: F, tops: int = 0) -> None:
        self.done: bool = False
        self._framing: F = framing
        self._tops = tops
        self._error: VesselError | None = None
        self._quiet = 0

    def feed(self, data: bytes) -> list[Delta]:
        """Return the deltas that `data` completes; raise the error a payload holds, after deltas at the next call."""
        if self._error is not None:
            raise self._error
        deltas: list[Delta] = []
        try:
            payloads = self._framing.feed(data)
            for payload in payloads:
                self._payload(payload, deltas)
            _bound(deltas, 1 + self._tops)
            self._quiet = 0 if deltas else self._quiet + len(data) + PAYLOAD * len(payloads)
            if self._quiet > QUIET:
                raise _too_quiet()
        except VesselError as error:
            if not deltas:
                raise
            self._error, self.done = error, True  # `close` raises it
        return deltas

    @abstractmethod
    def _payload(self, payload: bytes, deltas: list[Delta]) -> None: ...

    @abstractmethod
    def whole(self, body: bytes) -> list[Delta]:
        """Read a reply that came as one JSON document, or as a stream that was called one (quirk 20)."""

    def _is_stream(self, body: bytes) -> bool:
        """Tell whether a body that was called a document is a stream: events, or JSON documents on lines of their own."""
        if isinstance(self._framing, EventStream):
            return body.lstrip().startswith((b"data:", b"event:", b":"))
        return bool(_BETWEEN_LINES.search(body))

    def _stray(self, stray: bytes) -> list[Delta]:
        """Read what came in place of a stream: a document (quirk 20), else a web page or a proxy's words (quirk 19)."""
        if stray.startswith(b"{"):
            return self.whole(stray)
        raise not_json(stray)

    def _raise_held(self) -> None:
        if self._error is not None:
            raise self._error


def _bound(deltas: list[Delta], times: int) -> None:
    """Raise for too many log probabilities, which are not handed on with the texts they came with."""
    most, told, over = times * MAX_CHANCES, 0, False
    for delta in deltas:
        if delta.logprobs is None:
            continue
        most += times * CHANCES
        tops = (token.get("top_logprobs") for token in delta.logprobs)
        told += len(delta.logprobs) + sum(len(cast("list[Any]", each)) for each in tops if isinstance(each, list))
        over = over or told > most
        if over:
            delta.logprobs = None
    if over:
        raise ResponseTooLarge(
            f"The stream tells the chances of more than {times * MAX_CHANCES:,} tokens at once.",
            hint="See the server's log.",
        )


def _too_quiet() -> ResponseTooLarge:
    return ResponseTooLarge(
        f"{QUIET:,} bytes and more came without anything of an answer in them.",
        hint="This is no LLM server's answer: is the URL right, and the server to be trusted?",
    )
