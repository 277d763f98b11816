"""A call's arguments: JSON text, as servers and models really write it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, cast

from vessel_core.wire.jsontext import loads, without_lone_surrogates
from vessel_core.wire.reading import ending


def arguments_text(arguments: Any) -> str:
    """Return a call's arguments as JSON text: objects are dumped (quirk 59), `None` is empty (quirk 60)."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else json.dumps(arguments, ensure_ascii=False)


# An escape whose end is still to come, the second half of a surrogate pair included.
_OPEN_ESCAPE = re.compile(
    r"(?<!\\)(?:\\\\)*+(\\(?:u[0-9a-fA-F]{0,3})?|\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?)\Z"
)


def whole_escapes(text: str) -> tuple[str, str]:
    """Return the text without halves of characters, which no two readers read alike, and what may yet become a whole one."""
    found = _OPEN_ESCAPE.search(text)
    end = found.start(1) if found else len(text)
    return without_lone_surrogates(text[:end]), text[end:]


_TEXTS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


def without_texts(text: str) -> str:
    """Return what stands outside of the strings of JSON text, whose last one may be open."""
    return _TEXTS.sub("", text)


def lists_in(text: str) -> int:
    """Return how many lists and objects begin in JSON text, or seem to in its strings."""
    return text.count("[") + text.count("{")


_MARKS = re.compile(r'\\.|["\n\r\t]', re.DOTALL)
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


class RawBreaks:
    """Writes line breaks and tabs that stand raw in the strings of a JSON text as escapes, while it comes in pieces."""

    __slots__ = ("_inside", "_seen")

    def __init__(self) -> None:
        self._inside = False  # a string is open after the pieces that were seen
        self._seen = 0

    def escaped(self, piece: str, *, after: Sequence[str] = ()) -> str:
        """Return a piece without them; `after` are all those before it, none of which ends within an escape."""
        for earlier in after[self._seen :]:
            _MARKS.sub(self._mark, earlier)
        self._seen = len(after) + 1
        return _MARKS.sub(self._mark, piece)

    def _mark(self, found: re.Match[str]) -> str:
        if found[0] == '"':
            self._inside = not self._inside
        return _ESCAPES.get(found[0], found[0]) if self._inside else found[0]


def unwrapped_arguments(text: str) -> str:
    """Return JSON text that came as JSON in a JSON string without its wrapping (quirk 59); other text as it is."""
    document = _parsed(text)
    return text if document is None else arguments_text(document)


def _parsed(text: str) -> Any:
    """Return the JSON document in `text`, unwrapped if it is JSON in a JSON string (quirk 59); `None` if none is.

    A number that is none (NaN, Infinity, 1e999) is no JSON: no server takes it back in the history (quirk 62).
    """
    try:
        document = loads(text, nan=False)
        return loads(document, nan=False) if isinstance(document, str) else document
    except ValueError:
        return None


def parse_arguments(text: str) -> dict[str, Any] | None:
    """Return a call's arguments as a dict, or `None` if the text isn't a JSON object; nothing and `null` are no arguments."""
    document: object = {} if text.strip() in ("", "null") else _parsed(text)
    return cast("dict[str, Any]", document) if isinstance(document, dict) else None


def argument_error(text: str) -> str | None:
    """Say why `text` can't be the arguments of a call; `None` if it can."""
    if parse_arguments(text) is not None:
        return None
    document: object = _parsed(text)
    if document is None:
        return f"the arguments are cut off or no JSON: {ending(text)}"
    return f"the arguments are no JSON object but {type(document).__name__}"


_MISTAKES = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*+")|'(?P<quoted>(?:[^'\\]|\\.)*+)'|(?P<open>["'].*+)"""
    r"""|(?P<comma>,)(?=\s*[}\]])|\b(?P<constant>True|False|None)\b""",
    re.DOTALL,
)
_CONSTANTS = {"True": "true", "False": "false", "None": "null"}


def mended_arguments(text: str) -> str | None:
    """Return arguments without single quotes, trailing commas, Python's constants (quirk 63) and raw line breaks; `None` if
    that is not all that is wrong with them. What was cut off stays so: no bracket and no quote is ever added."""
    mended = RawBreaks().escaped(_MISTAKES.sub(_mended, text))
    return mended if parse_arguments(mended) is not None else None


def _mended(found: re.Match[str]) -> str:
    if found["string"] or found["open"]:
        return found[0]
    if (quoted := found["quoted"]) is not None:
        return '"' + re.sub(r"\\'", "'", re.sub(r'(?<!\\)"', r'\\"', quoted)) + '"'
    return _CONSTANTS.get(found["constant"], "")
