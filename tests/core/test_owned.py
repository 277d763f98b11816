"""A generator inside another one: closed by it, and not by a loop that ends too."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator

import pytest
from vessel_core.owned import owned


class Trail(list[str]):
    """Two generators, one inside the other, that write down how they end."""

    async def inner(self) -> AsyncGenerator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)  # closing a connection takes a turn of the loop
            self.append("inner")

    async def outer(self) -> AsyncGenerator[int]:
        try:
            async with owned(self.inner()) as numbers:
                async for number in numbers:
                    yield number
        finally:
            self.append("outer")


async def failing(generator: AsyncGenerator[int]) -> None:
    async for _ in generator:
        raise ValueError


def test_a_loop_that_ends_closes_both_in_order(caplog: pytest.LogCaptureFixture) -> None:
    trail = Trail()
    with pytest.raises(ValueError):  # noqa: PT011
        asyncio.run(failing(trail.outer()))
    assert trail == ["inner", "outer"]
    assert not caplog.records


async def test_it_gives_everything_and_is_closed_at_the_end() -> None:
    trail, hooks = Trail(), sys.get_asyncgen_hooks()
    assert [number async for number in trail.outer()] == [1, 2]
    assert trail == ["inner", "outer"]
    assert sys.get_asyncgen_hooks() == hooks


async def test_one_that_was_not_begun_is_closed_too() -> None:
    inner = Trail().inner()
    async with owned(inner):
        pass
    with pytest.raises(StopAsyncIteration):
        await anext(inner)
