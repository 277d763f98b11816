r"""Whether a text matches a JSON schema's pattern, in a time that grows with the text alone.

Patterns are JavaScript's, where `\d` and `\w` are ASCII's. Python's own matcher takes years for `^(a+)+$`, and the text is a
model's; Rust's, which pydantic brings, never does. It knows no look-arounds and no references back. Look-aheads at the start,
as passwords have them, are matched one by one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

_PIECES = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|.", re.DOTALL)
_SINGLE = re.compile(r"\\.|.", re.DOTALL)
_DIGIT, _WORD, _SPACE, _NARROW_SPACE = "0-9", "0-9A-Za-z_", r"\s\x{FEFF}", r"\t-\r "
_LISTS = {
    r"\d": f"[{_DIGIT}]",
    r"\D": f"[^{_DIGIT}]",
    r"\w": f"[{_WORD}]",
    r"\W": f"[^{_WORD}]",
    r"\s": f"[{_SPACE}]",
    r"\S": f"[^{_NARROW_SPACE}]",  # what is a space beyond ASCII is told differently from server to server: it fits both
}
_OUTSIDE = {**_LISTS, r"\b": r"(?-u:\b)", r"\B": r"(?-u:\B)", r"\<": "<", r"\>": ">"}
_INSIDE = {**_LISTS, r"\b": r"\x08", r"\<": "<", r"\>": ">", "[": r"\[", "&": r"\&", "~": r"\~"}
_SAME = frozenset("tnrfvxupP")
"""The escapes that mean the same in Rust."""


def matches(pattern: str, text: str) -> bool | None:
    """Tell whether a pattern is found in a text; `None` where that can't be told."""
    aheads, rest = look_aheads(pattern)
    if aheads:
        found = [matches(f"^(?:{inside})", text) for inside, _ in aheads]
        told = [each if each is None else each is wanted for each, (_, wanted) in zip(found, aheads, strict=True)]
        told.append(matches(rest, text))
        return False if False in told else None if None in told else True
    compiled = _compiled(pattern)
    if compiled is None:
        return None
    try:
        compiled.validate_python(text)
    except ValidationError as error:
        return False if error.errors()[0]["type"] == "string_pattern_mismatch" else None
    return True


@lru_cache(maxsize=256)
def look_aheads(pattern: str) -> tuple[list[tuple[str, bool]], str]:
    """Part a pattern such as `^(?=.*A)(?!.*B)C` into what must follow its start, or must not, and the rest: `^C`."""
    pieces: list[str] = _PIECES.findall(pattern)
    aheads: list[tuple[str, bool]] = []
    at = 1
    while pieces[:1] == ["^"] and pieces[at : at + 2] == ["(", "?"] and pieces[at + 2 : at + 3] in (["="], ["!"]):
        end = _end_of_group(pieces, at)
        aheads.append(("".join(pieces[at + 3 : end]), pieces[at + 2] == "="))
        at = end + 1
    rest = pieces[at:]
    closed, repeated = at <= len(pieces), rest[:1] and rest[0] in "?*+{"
    if not aheads or not closed or repeated or has_choices(rest):
        return [], pattern  # what may be left out, or is of one of the choices only, says nothing of all texts
    return aheads, "^" + "".join(rest)


def _end_of_group(pieces: Sequence[str], start: int) -> int:
    """Return where the group ends that begins at a place: behind the last piece if it never does."""
    depth = 0
    for at in range(start, len(pieces)):
        depth += (pieces[at] == "(") - (pieces[at] == ")")
        if depth == 0:
            return at
    return len(pieces)


def has_choices(pieces: Sequence[str]) -> bool:
    """Tell whether there is a `|` outside of groups."""
    depth = 0
    for piece in pieces:
        depth += piece.startswith("(") - (piece == ")")
        if piece == "|" and depth == 0:
            return True
    return False


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> SchemaValidator | None:
    pieces: list[str] = _PIECES.findall(pattern)
    if any(piece in ("[]", "[^]") or _unknown(piece) for piece in pieces):
        return None
    written = "".join(
        _class(piece) if len(piece) > 1 and piece[0] == "[" else _OUTSIDE.get(piece, piece) for piece in pieces
    )
    try:
        return SchemaValidator(core_schema.str_schema(pattern=written))
    except SchemaError:
        return None


def _unknown(piece: str) -> bool:
    return piece[0] == "\\" and piece[1:].isalnum() and piece not in _OUTSIDE and piece[1] not in _SAME


def _class(piece: str) -> str:
    """Write a class of characters; in one that is negated, a space is what all call one."""
    start = "[^" if piece.startswith("[^") else "["
    parts: list[str] = _SINGLE.findall(piece[len(start) : -1])
    known = {**_INSIDE, r"\s": f"[{_NARROW_SPACE}]", r"\S": f"[^{_SPACE}]"} if start == "[^" else _INSIDE
    return start + "".join(known.get(part, part) for part in parts) + "]"
