r"""Whether a text matches a JSON schema's pattern, in a time that grows with the text alone.

Patterns are JavaScript's, where `\d` and `\w` are ASCII's. Python's own matcher takes years for `^(a+)+$`, and the text is a
model's; Rust's, which pydantic brings, never does. It knows no look-arounds and no references back.
"""

from __future__ import annotations

import re
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
    compiled = _compiled(pattern)
    if compiled is None:
        return None
    try:
        compiled.validate_python(text)
    except ValidationError as error:
        return False if error.errors()[0]["type"] == "string_pattern_mismatch" else None
    return True


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
