r"""Patterns of a JSON schema, written so that the grammars of llama.cpp bind an answer by them.

Its converter drops a pattern that holds `\d`, `\D`, `\/` or no anchors, without a word, and lets `.` and `[^a]` match the
quote that ends the JSON text, after which it answers 500 to itself (all measured). Look-aheads at the start are left out, and
what can't be written otherwise (`\b`, other look-arounds, references back) goes as it is: `matching` then checks the answer by
what of it can be told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from vessel_core.wire.matching import has_choices, look_aheads

_RANGES: Mapping[str, str] = {"d": "0-9", "w": "A-Za-z0-9_", "s": " "}
"""A line break or tab would have to be escaped in JSON, which a grammar made of a pattern doesn't know."""

_ESCAPED = r"\"\\\x00-\x1F"
"""What stands in a JSON text only with a backslash before it."""

_ANY = f"[^{_ESCAPED}]"
_PIECES = re.compile(r"\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\.|\[(?:\\.|[^\]\\])*\]|\{\d*,?\d*\}|\(\?.?|.", re.DOTALL)
_IN_CLASS = re.compile(r"\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\.|.", re.DOTALL)
_BEYOND = re.compile(r"\\[1-9bBpPkAZ]|\(\?[^:]?")
_SPECIAL = frozenset("^$.[]()|{}*+?\\")
_VALUES = frozenset({"const", "enum", "default", "examples"})


def spelled_patterns(schema: Any) -> Any:
    """Return a JSON schema with its patterns spelled out, wherever in it they are."""
    if isinstance(schema, list | tuple):
        return [spelled_patterns(item) for item in cast("Sequence[Any]", schema)]
    if not isinstance(schema, Mapping):
        return schema
    fields = cast("Mapping[str, Any]", schema)
    made = {name: value if name in _VALUES else spelled_patterns(value) for name, value in fields.items()}
    if isinstance(pattern := fields.get("pattern"), str):
        made["pattern"] = spelled(pattern)
    return made


def spelled(pattern: str) -> str:
    """Return a pattern that matches the same texts, but for those that JSON would have to escape or a look-ahead rules out."""
    pieces: list[str] = _PIECES.findall(look_aheads(pattern)[1])
    if "[" in pieces or any(map(_BEYOND.fullmatch, pieces)) or any(piece in ("^", "$") for piece in pieces[1:-1]):
        return pattern
    starts, ends = pieces[:1] == ["^"], pieces[-1:] == ["$"]
    inner = pieces[starts : len(pieces) - ends]
    if not inner or (starts is not ends and has_choices(inner)):
        return pattern  # an anchor is of one of the choices only
    body = "".join(map(_written, _without_haste(inner)))
    if starts and ends:
        return f"^{body}$"
    return f"^{'' if starts else _ANY + '*'}({body}){'' if ends else _ANY + '*'}$"


def _without_haste(pieces: Sequence[str]) -> list[str]:
    """Return pieces without the `?` that makes a repetition a short one: what is matched at all is the same."""
    repeats = [piece in ("*", "+", "?") or piece.startswith("{") for piece in pieces]
    return [piece for at, piece in enumerate(pieces) if not (at and piece == "?" and repeats[at - 1])]


def _written(piece: str) -> str:
    if piece == ".":
        return _ANY
    if piece in ('"', r"\""):
        return r'\\"'
    if piece == r"\\":
        return r"\\\\"  # one that stands in JSON as two
    if piece.startswith("[") and len(piece) > 1:
        return _class(piece[1:-1])
    if piece.startswith("\\") and len(piece) == 2:
        if piece[1].lower() in _RANGES:
            return _class(piece)
        return piece if piece[1].isalnum() or piece[1] in _SPECIAL else piece[1]
    return piece


def _class(inside: str) -> str:
    """Write a class of characters: with ranges, and without what JSON escapes."""
    negated, parts = inside.startswith("^"), _IN_CLASS.findall(inside.removeprefix("^"))
    opposite = {part[1].lower() for part in parts if part in (r"\D", r"\W", r"\S")}
    if opposite:
        (letter, *others) = sorted(opposite)
        if len(parts) == 1:
            return f"[{_RANGES[letter]}]" if negated else f"[^{_RANGES[letter]}{_ESCAPED}]"
        both = f"\\{letter}" in parts and not negated
        return _ANY if both and not others else f"[{inside}]"
    written = "".join(_RANGES.get(part[1], _literal(part)) if part[0] == "\\" else part for part in parts)
    last = "-" * (r"\-" in parts)
    if negated:
        return f"[^{written}{_ESCAPED}{last}]"
    kept = re.sub(r"\\\\|\\?\"|\\[ntr]", "", written) or written
    return f"[{kept}{last}]" if not kept.startswith("^") else f"[{kept[1:]}^{last}]"


def _literal(part: str) -> str:
    """Write a character of a class that was escaped; a hyphen stands last."""
    if len(part) > 2 or part[1].isalnum() or part[1] in "[]\\":
        return part
    return "" if part == r"\-" else part[1]
