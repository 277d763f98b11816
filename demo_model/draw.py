"""Random choices that keep a tenth of all words and sentences out of training, so that cases can be unseen."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import TypeVar
from zlib import crc32

__all__ = ["Draw", "held_out"]

T = TypeVar("T")


def held_out(text: str) -> bool:
    """Tell whether a word or a sentence is kept for the evaluation; the case of its letters makes no difference."""
    return crc32(text.lower().encode()) % 10 == 0


class Draw(random.Random):
    """A seeded source of choices: of what may be trained on, or, if `unseen`, of what may not."""

    def __init__(self, seed: int | str, *, unseen: bool = False) -> None:
        super().__init__(seed)
        self.unseen = unseen

    def one(self, pool: Sequence[str]) -> str:
        """Choose a word of this split."""
        return self.until(lambda: self.choice(pool))

    def some(self, pool: Sequence[str], count: int) -> list[str]:
        """Choose different words of this split."""
        found: dict[str, None] = {}
        while len(found) < count:
            found[self.one(pool)] = None
        return list(found)

    def until(self, make: Callable[[], str]) -> str:
        """Make texts until one belongs to this split."""
        while held_out(text := make()) is not self.unseen:
            pass
        return text

    def chance(self, share: float) -> bool:
        """Be true in this share of the cases."""
        return self.random() < share

    def spell(self, pattern: str) -> str:
        """Write one of the texts that a pattern like "[Say|Write] hello[ please|]" stands for; brackets may nest."""
        while "[" in pattern:
            pattern = re.sub(r"\[([^\[\]]*)\]", lambda match: self.choice(match[1].split("|")), pattern)
        return pattern
