"""JSON as servers really write it: NaN, lone surrogates and hostile depth included."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from vessel_core.errors import ResponseTooLarge

MAX_DEPTH = 200
"""Levels a document may have: pydantic-core's own bound, which can't be set."""

SMALL = 1024 * 1024
"""Bytes up to which a document may hold what it likes."""

MAX_VALUES = 500_000
"""Objects, lists and texts a larger document may hold: each takes dozens of times the memory of its few bytes. Numbers are not
counted, of which vectors are made."""

# An escaped backslash, a surrogate pair, or a surrogate that stands alone, as an escape or as it is.
_SURROGATES = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2}|[\ud800-\udfff])"
)


def loads(data: bytes | str, *, nan: bool = True) -> Any:
    """Parse a JSON document; raise `ValueError` if it isn't one, or if it nests deeper than `MAX_DEPTH`.

    NaN, Infinity and numbers as large (1e999) are taken, unless `nan` is false; bytes that aren't UTF-8 and lone surrogates
    become U+FFFD (quirk 45). Bytes are what a server sent: `ResponseTooLarge` is raised above `MAX_VALUES`.
    """
    if len(data) > SMALL and isinstance(data, bytes):
        _count(data)
    try:
        document = from_json(data, allow_inf_nan=nan, cache_strings="keys")
    except (ValueError, TypeError):  # the latter of a lone surrogate in a text
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
        if _deeper_than(MAX_DEPTH, text):
            raise ValueError(f"JSON nested deeper than {MAX_DEPTH} levels") from None
        document = json.loads(without_lone_surrogates(text), parse_constant=float if nan else _refused)
    if not nan:
        json.dumps(document, allow_nan=False)  # 1e999 is read as infinity
    return document


def _count(data: bytes) -> None:
    if data.count(b"{") + data.count(b"[") + data.count(b'"') // 2 > MAX_VALUES:
        raise ResponseTooLarge(
            f"The reply is JSON of more than {MAX_VALUES:,} objects, lists and texts.",
            hint="This is no LLM server's answer: is the URL right, and the server to be trusted?",
        )


def without_lone_surrogates(text: str) -> str:
    """Return JSON text in which half a character is an escape of U+FFFD."""
    return _SURROGATES.sub(lambda found: "\\ufffd" if found[1] else found[0], text)


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def dumps(document: Mapping[str, Any] | Sequence[Any]) -> bytes:
    """Write a request body: UTF-8, NaN refused with `ValueError`, lone surrogates replaced (llama.cpp answers 500)."""
    return _ENCODER.encode(document).encode("utf-8", "replace")


def cut_off(data: bytes) -> bool:
    """Tell whether this is the beginning of a JSON object, or of `[DONE]`, whose end never came."""
    if data and data != b"[DONE]" and b"[DONE]".startswith(data):
        return True
    if not data.lstrip().startswith(b"{"):
        return False
    try:
        loads(data)
    except ValueError:
        return True
    return False


def _deeper_than(limit: int, text: str) -> bool:
    """Tell whether more than `limit` brackets are open at once, those inside strings counted too."""
    if text.count("[") + text.count("{") <= limit:
        return False
    depth = 0
    for bracket in re.finditer(r"[\[\]{}]", text):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > limit:
            return True
    return False
