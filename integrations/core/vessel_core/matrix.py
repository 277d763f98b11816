"""Vectors in one piece of memory, as numpy wants them, for programs that have no numpy too."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload


@dataclass(slots=True)
class Matrix(Sequence["array[float]"]):
    """Vectors of `width` float32 numbers each, one behind the other; a vector that is taken out is a copy."""

    numbers: array[float]
    width: int

    def __len__(self) -> int:
        return len(self.numbers) // self.width

    @overload
    def __getitem__(self, at: int) -> array[float]: ...
    @overload
    def __getitem__(self, at: slice) -> list[array[float]]: ...
    def __getitem__(self, at: int | slice) -> array[float] | list[array[float]]:
        places = range(0, len(self.numbers), self.width)[at]
        if isinstance(places, range):
            return [self.numbers[place : place + self.width] for place in places]
        return self.numbers[places : places + self.width]
