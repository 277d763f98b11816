"""Vectors in one piece of memory, as numpy wants them, for programs that have no numpy too."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, cast, overload


class Matrix(Sequence["array[float]"]):
    """Vectors of `width` numbers each, one behind the other, float32 or doubles; a vector that is taken out is a copy.

    It equals whatever sequence of sequences holds the same numbers.
    """

    __slots__ = ("numbers", "width")

    def __init__(self, numbers: array[float], width: int) -> None:
        self.numbers = numbers
        self.width = width

    def __repr__(self) -> str:
        return f"Matrix({len(self)} × {self.width})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Matrix):
            return self.width == other.width and self.numbers == other.numbers
        if not isinstance(other, Sequence):
            return NotImplemented
        rows = cast("Sequence[Any]", other)
        if len(self) != len(rows):
            return False
        return all(hasattr(two, "__iter__") and list(one) == list(two) for one, two in zip(self, rows, strict=True))

    def __len__(self) -> int:
        return len(self.numbers) // self.width if self.width else 0

    @overload
    def __getitem__(self, at: int) -> array[float]: ...
    @overload
    def __getitem__(self, at: slice) -> list[array[float]]: ...
    def __getitem__(self, at: int | slice) -> array[float] | list[array[float]]:
        places = range(0, len(self.numbers), self.width or 1)[at]
        if isinstance(places, range):
            return [self.numbers[place : place + self.width] for place in places]
        return self.numbers[places : places + self.width]

    def extend(self, other: Matrix) -> None:
        """Take the vectors of another one, of the same width. If one of both holds doubles, all become it."""
        if not self.numbers:
            self.numbers, self.width = other.numbers, other.width
        elif self.numbers.typecode == other.numbers.typecode:
            self.numbers.extend(other.numbers)
        else:
            self.numbers = array("d", self.numbers)
            self.numbers.extend(array("d", other.numbers))
