"""Cuts a stream of bytes into payloads: server-sent events and newline-delimited JSON.

Lines end at `\\n`, `\\r\\n` or `\\r` and nowhere else: U+2028 and U+0085 stand raw inside JSON that llama.cpp sends,
and text splitters cut there (quirk 15). Bytes are never decoded before a line is whole, so a character split over two
reads stays whole (quirk 14).
"""

from __future__ import annotations

import json
from typing import Any, cast

from vessel_core.errors import ResponseTooLarge
from vessel_core.wire import MAX_LINE
from vessel_core.wire.failure_shapes import beginning_of
from vessel_core.wire.jsontext import loads

FIELDS = (b"data", b"event", b"error", b"id", b"retry")  # a comment's name is empty; a cut line may hold half a name
STRAY = 2000
HINT = "This is no LLM server's answer: check the URL, or take more in with `limits=Limits(line=…)`."
BOM = b"\xef\xbb\xbf"

LINE_COST = 48
"""Bytes for which a line counts beside its own, one of an event that has begun or one of nothing: about what it takes."""


class Lines:
    """Bytes in, whole lines out, without their ends. `limit` bounds one line, in bytes.

    Once it has `started` no byte order mark is left out any more.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._held = bytearray()
        self._skip_newline = False
        self.started: bool = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes; raise `ResponseTooLarge` above the limit."""
        if not data:
            return []
        if b"\r" in data or self._skip_newline:
            data = self._only_newlines(data)
        if not self.started:
            data = self._without_bom(data)
        if b"\n" not in data:
            self._hold(data)
            return []
        if self._held:
            data, self._held = bytes(self._held) + data, bytearray()
        lines = data.split(b"\n")
        if len(data) > self._limit:
            lines = self._up_to_a_long_one(lines)
        self._hold(lines.pop())
        return lines

    def _up_to_a_long_one(self, lines: list[bytes]) -> list[bytes]:
        """Return the lines that came before one above the limit, which is raised for at the next call: they are not lost."""
        long = next((at for at, line in enumerate(lines) if len(line) > self._limit), None)
        if not long:
            self._bound(len(lines[0]))
            return lines
        self._held += lines[long]
        return [*lines[:long], b""]

    def at_start(self) -> bool:
        """Tell whether the next byte begins a line."""
        return not self._held and not self._skip_newline

    def close(self) -> bytes:
        """Return the last line if it had no end."""
        self._bound(len(self._held))
        held, self._held = bytes(self._held), bytearray()
        return held

    def _hold(self, data: bytes) -> None:
        self._held += data
        if data:
            self._bound(len(self._held))

    def _bound(self, length: int) -> None:
        if length > self._limit:
            raise ResponseTooLarge(
                f"One line of the reply is longer than {self._limit:,} bytes.",
                hint=HINT,
            )

    def _only_newlines(self, data: bytes) -> bytes:
        if self._skip_newline and data.startswith(b"\n"):
            data = data[1:]
        self._skip_newline = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _without_bom(self, data: bytes) -> bytes:
        data, self._held = bytes(self._held) + data, bytearray()
        if len(data) < len(BOM) and BOM.startswith(data):
            self._held += data
            return b""
        self.started = True
        return data.removeprefix(BOM)


class EventStream:
    """Server-sent events: bytes in, the `data` of each event out.

    An event of the type `error`, or a field named `error` (llama.cpp before 2025), comes out as the JSON document
    `{"error": …}`, so that a reader meets one form only. `stray` holds
    the first lines that are no part of such a stream, a document whole.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._lines = Lines(limit)
        self._limit = limit
        self._data: list[bytes] = []
        self._size = 0
        self._event = b""
        self._idle = 0
        self.stray = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the payloads that `data` completes."""
        if data.startswith(b"data: ") and data.endswith(b"\n\n") and self._between() and len(data) <= self._limit:
            events = data[6:-2].split(b"\n\ndata: ")
            if data.count(b"\n") == 2 * len(events) and b"\r" not in data:
                self._lines.started, self._idle = True, 0
                return events  # whole events of one line each, as they nearly always come
        payloads: list[bytes] = []
        for line in self._lines.feed(data):
            if line.startswith(b"data:") and not self._data:
                self._take(line[6:] if line.startswith(b"data: ") else line[5:])
            elif line:
                self._field(line, payloads)
            elif self._data:
                payloads.append(self._dispatch())
            else:
                self._event = b""
                self._idle += LINE_COST
        if self._idle > self._limit and not payloads:
            raise ResponseTooLarge(f"More than {self._limit // LINE_COST:,} lines came without an event.", hint=HINT)
        return payloads

    def close(self) -> list[bytes]:
        """Return the payload of a last event that no blank line ended, if there is one (quirk 10)."""
        payloads: list[bytes] = []
        if line := self._lines.close():
            self._field(line, payloads)
        if self._data:
            payloads.append(self._dispatch())
        return payloads

    def _between(self) -> bool:
        """Tell whether nothing of an event has come yet."""
        return not self._data and not self._event and self._lines.at_start()

    def _take(self, value: bytes) -> None:
        self._idle = 0
        self._size += len(value) + (LINE_COST if self._data else 0)
        if self._size > self._limit:
            raise ResponseTooLarge(f"One event of the stream is longer than {self._limit:,} bytes.", hint=HINT)
        self._data.append(value)

    def _field(self, line: bytes, payloads: list[bytes]) -> None:
        name, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if name == b"data":
            if len(self._data) == 1 and value.startswith((b"{", b"[DONE]")) and _is_document(self._data[0]):
                payloads.append(self._dispatch())  # quirk 5: events that no blank line parts
            self._take(value)
            return
        self._idle += len(line) + LINE_COST
        if name == b"event":
            self._event = value
        elif name == b"error":  # quirk 8
            payloads.append(_error_document(value))
        elif not any(field.startswith(name) for field in FIELDS):
            room = self._limit if (self.stray or line).startswith(b"{") else STRAY
            if len(self.stray) < room:
                self.stray += line[:room] + b"\n"

    def _dispatch(self) -> bytes:
        payload = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        is_error = self._event == b"error"
        self._data, self._size, self._event = [], 0, b""
        return _error_document(payload) if is_error else payload


def _is_document(payload: bytes) -> bool:
    try:
        loads(payload)
    except ValueError:
        return payload == b"[DONE]"
    return True


def _error_document(payload: bytes) -> bytes:
    """Wrap what an error event holds, unless it already says `error`."""
    try:
        document = loads(payload)
    except ValueError:
        document = beginning_of(payload)
    if isinstance(document, dict) and cast("dict[str, Any]", document).get("error"):
        return payload
    return json.dumps({"error": document or "The server sent an error without a word."}).encode()
