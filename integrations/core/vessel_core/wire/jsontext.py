"""JSON as servers really write it: NaN, lone surrogates and hostile depth included."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from pydantic_core import from_json

from vessel_core.errors import ResponseTooLarge

MAX_DEPTH = 128
"""Levels a document may have: who takes it on may go through it level by level, a few calls each, of the thousand Python has."""

SMALL = 128 * 1024
"""Characters up to which a document may hold what it likes."""

BEGINNING = 16 * 1024
"""Bytes of a document that was cut off which may hold what they like: a server may send one for each half of a batch."""

MAX_COST = 18 * 1024 * 1024
"""Bytes of memory that the values of a larger document may take, beside its texts: `[]` takes thirty times its own."""

MOST_MENDED = 2 * 1024 * 1024
"""Characters up to which halves of characters are replaced: that takes a dozen times their memory."""

MAX_TEXT_COST = MAX_COST // 3
"""As much for JSON that a model wrote into a text: it is parsed by who takes it on as well."""

NUMBER = 40
"""Bytes of memory a number takes in a list."""

WIDE = 4
"""Bytes of memory a character of a text takes if one of them is an emoji."""

_COSTS = ((b",", NUMBER), (b"{", 60), (b"[", 60), (b":", 100), (b'"', 30))
TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)

_ALIKE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_TOO_DEEP = b"[" * (MAX_DEPTH + 1)

_NUMERALS = b"0123456789+-.eE "
"""What numbers are written with, and what may stand around them; nothing of it costs by itself."""
_LEVEL = _NUMERALS + b",:"
"""What neither begins a level or a text nor stands behind the backslash of an escape."""

_LONG = 64
"""Characters of a text from which on it matters which signs it holds."""

_UP_TO_A_LONG_TEXT = re.compile(rb'(?:[^"]++|"(?:[^"\\]|\\.){0,%d}+")*+' % _LONG, re.DOTALL)

_PART = 1024 * 1024
"""Bytes of a document that are looked at together: a copy of all would be as large."""

# Escapes of surrogates that follow one another, the first of them no end of an escaped backslash; or one as it is.
_SURROGATES = re.compile(r"(?<!\\)(?:\\\\)*+(?P<escapes>(?:\\u[dD][89a-fA-F][0-9a-fA-F]{2})++)|[\ud800-\udfff]")
_PAIR = r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ONE = re.compile(rf"({_PAIR})|.{{6}}")


def loads(data: bytes | str, *, nan: bool = True, most: int = MAX_COST) -> Any:
    """Parse a JSON document; raise `ValueError` if it isn't one, or if it nests deeper than `MAX_DEPTH`.

    NaN, Infinity and numbers as large (1e999) are taken, unless `nan` is false; bytes that aren't UTF-8 and lone surrogates
    become U+FFFD (quirk 45). Bytes are what a server sent: `ResponseTooLarge` is raised if their values would take more than
    `most` bytes of memory.
    """
    size = len(data)
    flat = size <= 2 * MAX_DEPTH
    if size > SMALL:
        if isinstance(data, bytes):
            _weigh(data, most)
            _refuse_depth(data)  # which takes copies, before there are values beside them
            flat = True
        elif _dearer(MAX_TEXT_COST, _utf8(data)):
            raise ValueError("JSON of so many values that it would fill the memory")
    elif isinstance(data, bytes) and data.count(b"{") + data.count(b"[") <= MAX_DEPTH:
        flat = True
    try:
        document = from_json(data, allow_inf_nan=nan, cache_strings="keys")
    except (ValueError, TypeError):  # the latter of a lone surrogate in a text
        if size > MOST_MENDED:
            raise ValueError(f"no JSON, or longer than {MOST_MENDED:,} bytes and not quite UTF-8") from None
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
        _refuse_depth(text)
        document = json.loads(without_lone_surrogates(text), parse_constant=float if nan else _refused)
    else:
        if not flat:
            _refuse_depth(data)
    if not nan:
        json.dumps(document, allow_nan=False)  # 1e999 is read as infinity
    return document


def loads_beginning(data: bytes) -> Any:
    """Parse what there is of a JSON document that was cut off, as `loads` does; its last text may be cut too. Of one with very
    many values the first are enough."""
    if len(data) > BEGINNING and (_dearer(32 * BEGINNING, data) or _wider(MAX_COST, data)):
        data = data[:BEGINNING]
    _refuse_depth(data)
    try:
        return from_json(data.decode("utf-8", "ignore"), allow_partial="trailing-strings")
    except TypeError:
        raise ValueError("half a character") from None


def _weigh(data: bytes, most: int) -> None:
    if _dearer(most, data) or _wider(most, data):
        raise ResponseTooLarge(
            "The reply is JSON of so many values, or so long a text, that it would fill the memory.",
            hint="This is no LLM server's answer: is the URL right, and the server to be trusted? If it is, "
            "`limits=Limits(document=…)` takes more in of a document.",
        )


def _dearer(most: int, data: bytes) -> bool:
    """Tell whether the values of a document take more bytes of memory, about. What stands in long texts is none of them."""
    cost = 0
    for at in range(0, len(data), _PART):
        signs = data[at : at + _PART].translate(None, _NUMERALS)  # of millions of numbers a tenth is left to count in
        cost += _cost(signs, 0, len(signs))
    at = 0
    while cost > most and (between := _UP_TO_A_LONG_TEXT.match(data, at)) and (text := TEXT.match(data, between.end())):
        at = text.end()
        cost -= _cost(data, text.start() + 1, at - 1)
    return cost > most


def _wider(most: int, data: bytes) -> bool:
    """Tell whether texts that hold more than ASCII may take more bytes of memory. What is no text takes none."""
    if WIDE * len(data) <= most or (data.isascii() and b"\\u" not in data):
        return False
    texts = (text[0] for text in TEXT.finditer(data))
    return WIDE * sum(len(text) for text in texts if not text.isascii() or b"\\u" in text) > most


def _cost(data: bytes, start: int, end: int) -> int:
    return sum(cost * data.count(sign, start, end) for sign, cost in _COSTS)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def without_lone_surrogates(text: str) -> str:
    """Return JSON text in which half a character is an escape of U+FFFD."""
    written, end = StringIO(), 0  # a list of pieces would take twenty times their size
    for found in _SURROGATES.finditer(text):
        start = found.start("escapes") if found["escapes"] else found.start()
        written.write(text[end:start])
        end = found.end()
        written.write(_ONE.sub(lambda one: one[1] or "\\ufffd", text[start:end]) if found["escapes"] else "\\ufffd")
    return written.getvalue() + text[end:] if end else text


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


def _refuse_depth(data: bytes | str) -> None:
    data = _utf8(data) if isinstance(data, str) else data
    data = data.translate(None, _LEVEL)
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return
    levels = TEXT.sub(b"", data).translate(_ALIKE, _NO_BRACKETS)
    levels += b"]" * (levels.count(b"[") - levels.count(b"]"))  # of what was cut off
    for _ in range(MAX_DEPTH):
        if _TOO_DEEP in levels:
            break
        levels = levels.replace(b"[]", b"")  # the innermost that is left
    if levels:
        raise ValueError(f"JSON nested deeper than {MAX_DEPTH} levels")
