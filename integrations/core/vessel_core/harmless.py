"""Text that a model or a server wrote, made harmless for whatever shows it: a terminal, a log, a notebook."""

from __future__ import annotations

import re

_CONTROLS = r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"
_HIDING = (
    "[\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\ud800-\udfff]"
)
"""What Unicode says to leave out where it isn't known, and what reorders; not what emoji and scripts are joined by."""


def harmless(text: str) -> str:
    """Return the text without control characters but line breaks and tabs; those that reorder or hide text are shown.

    Without its ESC a terminal's command is plain text, also when it came in two pieces.
    """
    if text.isascii() and text.isprintable():
        return text
    return re.sub(_HIDING, lambda found: f"<U+{ord(found[0]):04X}>", re.sub(_CONTROLS, "", text))
