"""Text that is held back until it is whole, as long as anybody writes one."""

from __future__ import annotations

from vessel_core.errors import ResponseTooLarge

MAX_HELD = 1024 * 1024
"""Characters that may be held."""

BLANKS = 1000
"""Blanks that may be held until it is known what they belong to."""


class Held:
    """Gathers pieces in time linear in their length; raises `ResponseTooLarge` if they get too long."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._size = 0

    def add(self, text: str) -> None:
        """Hold a piece."""
        self._pieces.append(text)
        self._size += len(text)
        if self._size > MAX_HELD:
            raise ResponseTooLarge(
                f"More than {MAX_HELD:,} characters came of a text that is read when it is whole.",
                hint="The model may repeat itself: set `max_tokens`.",
            )

    def whole(self) -> str:
        """Return what is held."""
        return "".join(self._pieces)

    def take(self) -> str:
        """Return what is held, and hold nothing any more."""
        text = self.whole()
        self._pieces, self._size = [], 0
        return text
