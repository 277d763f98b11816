"""Connect timeouts that a busy event loop doesn't use up itself."""

from __future__ import annotations

import asyncio
from types import TracebackType

STEPS = 20
"""How many turns of the loop a connection gets at least; one takes about eight."""


class unhurried:  # noqa: N801 - used as a function
    """Raise `TimeoutError` after so many seconds, but not before the loop has looked at its sockets many times.

    When hundreds of calls begin at once the loop may come back to its sockets only after the whole timeout: the server took
    the connection long ago, and one clock, like that of `asyncio.timeout`, would have it given up unseen. So the time is
    made of steps, of which one turn of the loop counts one at most. No generator: a loop that ends closes all of them at once,
    those in use by others too.
    """

    __slots__ = ("_due", "_left", "_length", "_limit", "_loop")

    def __init__(self, seconds: float | None) -> None:
        self._length = None if seconds is None else seconds / STEPS
        self._left = STEPS
        self._limit = asyncio.timeout(None)
        self._due: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._limit.__aenter__()
        self._step()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._due is not None:
            self._due.cancel()
        await self._limit.__aexit__(kind, error, trace)

    def end(self) -> None:
        """Raise `TimeoutError` now."""
        if not self._limit.expired():
            self._limit.reschedule(self._loop.time())

    def _step(self) -> None:
        if self._length is None:
            return
        if self._left:
            self._left -= 1
            self._due = self._loop.call_later(self._length, self._step)
        else:
            self.end()
