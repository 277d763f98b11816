"""Text from a model or a server, made harmless for a terminal: it can't move the cursor, retitle the window or hide itself."""

from __future__ import annotations

import re

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_HIDING = re.compile("[\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def harmless(text: str) -> str:
    """Return the text without control characters but line breaks and tabs; those that reorder or hide text are shown.

    Without its ESC a terminal's command is plain text, also when it came in two pieces.
    """
    return _HIDING.sub(lambda found: f"<U+{ord(found[0]):04X}>", _CONTROLS.sub("", text))
