"""Connect timeouts that a busy event loop doesn't use up itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

STEPS = 20
"""How many turns of the loop a connection gets at least; one takes about eight."""


@asynccontextmanager
async def unhurried(seconds: float | None) -> AsyncGenerator[None]:
    """Raise `TimeoutError` after so many seconds, but not before the loop has looked at its sockets many times.

    When hundreds of calls begin at once the loop may come back to its sockets only after the whole timeout: the server took
    the connection long ago, and one clock, like that of `asyncio.timeout`, would have it given up unseen. So the time is
    made of steps, of which one turn of the loop counts one at most.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:

        def step(left: int, length: float) -> None:
            nonlocal due
            if left:
                due = loop.call_later(length, step, left - 1, length)
            else:
                limit.reschedule(loop.time())

        due: asyncio.TimerHandle | None = None
        if seconds is not None:
            step(STEPS, seconds / STEPS)
        try:
            yield
        finally:
            if due is not None:
                due.cancel()
