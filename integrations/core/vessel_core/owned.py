"""An async generator that is read by another one, which closes it."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class owned(Generic[T]):  # noqa: N801 - stands where contextlib.aclosing does
    """Read an async generator inside another one: `contextlib.aclosing`, out of sight of the event loop.

        async with owned(client.stream(messages)) as deltas:
            async for delta in deltas:
                yield delta

    A loop that ends closes all generators it knows at once. Where one of them closes another, both do, and `asyncio.run`
    prints that "aclose(): asynchronous generator is already running". So the loop is told of the outermost one alone.
    """

    def __init__(self, generator: AsyncGenerator[T]) -> None:
        self._generator = generator
        self._begun = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._generator.aclose()

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[T]:
        if self._begun:
            return self._generator.__anext__()
        self._begun = True
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)  # a generator is made known to the loop by its first step
        try:
            return self._generator.__anext__()
        finally:
            sys.set_asyncgen_hooks(*hooks)
