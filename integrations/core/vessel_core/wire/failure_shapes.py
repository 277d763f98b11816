"""What a server says went wrong, in whatever form it says so.

Servers put an error in `error` as a string, an object, or JSON inside a string; flat beside `"object": "error"`; in
FastAPI's `detail`; in `message`; as HTML or plain text; or say nothing (quirks 19 to 29). What it means is told in `failures`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

from vessel_core.errors import ResponseTooLarge
from vessel_core.records import record
from vessel_core.wire import Reply
from vessel_core.wire.jsontext import loads, loads_beginning
from vessel_core.wire.reading import mapping

MAX_TEXT = 500
"""Characters of what a server says that are told."""

MOST_READ = 64 * 1024
"""Bytes of a page in which its text is looked for: styles may stand before it."""


@record
class Failure:
    """What a server said went wrong: its words, its name for the kind, its numbers."""

    message: str
    kind: str = ""
    details: Mapping[str, Any] | None = None


def failure_in(document: Any) -> Failure | None:
    """Return the error that a JSON document says, or `None` if it says none."""
    if not isinstance(document, dict):
        return None
    fields = cast("dict[str, Any]", document)
    error = fields.get("error")
    if isinstance(error, dict):
        return _from_fields(cast("dict[str, Any]", error))
    if isinstance(error, str) and error:
        return _nested(error, fields)
    if fields.get("object") == "error" or (error is True and (fields.get("message") or fields.get("detail"))):
        return _from_fields(fields)
    if error:
        return Failure(shortened(str(cast("object", error))))
    return None


def failure_of(reply: Reply) -> Failure:
    """Return what a reply that is an error says, whatever its form."""
    try:
        document = _as_far_as_it_came(reply.body) if reply.body.strip() else None
    except ValueError:
        return Failure(readable(reply.body))
    if (failure := failure_in(document)) is not None:
        return failure
    if isinstance(document, dict):
        fields = cast("dict[str, Any]", document)
        if (failure := failure_alone(fields)) is not None:
            return failure
        if status := fields.get("status"):
            return Failure(_detail(status))
    return Failure(readable(reply.body))


def _as_far_as_it_came(body: bytes) -> Any:
    """Parse a JSON object, of which the end may be missing: only so much of an error is read."""
    if body.rstrip().endswith(b"}"):
        with suppress(ValueError, ResponseTooLarge):
            return loads(body)
    return loads_beginning(body)


def failure_alone(fields: Mapping[str, Any]) -> Failure | None:
    """Return the error of a document that is no answer: it may stand in `detail` or `message` too (quirk 23)."""
    said = fields.get("detail") or fields.get("message")
    return failure_in(fields) or (Failure(_detail(said)) if said else None)


def _from_fields(fields: dict[str, Any]) -> Failure:
    message = fields.get("message") or fields.get("detail") or fields.get("error")
    nested = _nested(message) if isinstance(message, str) else Failure(shortened(str(message or fields)))
    kind = " ".join(fields[key][:100] for key in ("type", "code") if isinstance(fields.get(key), str))
    return Failure(nested.message, nested.kind or kind, nested.details or fields)


def _nested(text: str, fields: Mapping[str, Any] | None = None) -> Failure:
    """Read an error that is JSON inside a string, as Ollama passes its runner's on (quirk 23); `fields` stand beside it."""
    if text.lstrip().startswith("{"):
        try:
            inner = failure_in(loads(text))
        except ValueError:
            inner = None
        if inner is not None:
            return inner
    return Failure(shortened(text), details=fields)


def _detail(value: Any) -> str:
    """Write FastAPI's `detail`: a text, or a list of `{loc, msg}`."""
    if not isinstance(value, list):
        return shortened(str(value))
    parts: list[str] = []
    for item in cast("list[Any]", value):
        fields = mapping(item) or {"msg": item}
        loc = fields.get("loc")
        where = ".".join(str(step) for step in cast("list[Any]", loc)) if isinstance(loc, list) else ""
        parts.append(f"{where}: {fields.get('msg')}" if where else str(fields.get("msg")))
    return shortened("; ".join(parts))


def readable(body: bytes) -> str:
    """Return the readable part of HTML or text."""
    text = beginning_of(body, MOST_READ)
    readable = re.sub(r"(?is)<(script|style)\b.*?(</\1>|\Z)|<[^<>]{0,2000}(>|\Z)", " ", text) if "<" in text else text
    return shortened(" ".join((readable.strip() or text).split()))


def beginning_of(body: bytes, most: int = 20 * MAX_TEXT) -> str:
    """Return the text a body begins with, cut between words."""
    return (
        body.decode("utf-8", "replace")
        if len(body) <= most
        else shortened(body[: most + 1].decode("utf-8", "ignore"), most)
    )


def shortened(text: str, most: int = MAX_TEXT) -> str:
    """Return the beginning of a text, cut between words: of a key, half would be told from no other word. Some scripts have
    no spaces, so that a long word is cut."""
    return text if len(text) <= most else re.sub(r"(?<=\s)\S{1,99}\Z", "", text[: most + 1])[:most]
