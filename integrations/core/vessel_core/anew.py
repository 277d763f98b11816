"""An answer that nobody has seen anything of may be begun anew on another host, if the connection to the first one broke."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing

from vessel_core.errors import StreamInterrupted
from vessel_core.hosts import is_hosts_fault
from vessel_core.target import Target
from vessel_core.types import Delta


def whole(target: Target, stream: Callable[[], Generator[Delta]]) -> Generator[Delta]:
    """Yield the deltas of an answer once it is complete, and how far it is before."""
    for retries in range(target.max_retries + 1):
        found: list[Delta] = []
        try:
            with closing(stream()) as deltas:
                for delta in deltas:
                    if delta.progress is not None:
                        yield delta
                    else:
                        found.append(delta)
        except StreamInterrupted as error:
            if not _elsewhere(target, error, retries):
                raise
        else:
            yield from found
            return


async def awhole(target: Target, stream: Callable[[], AsyncGenerator[Delta]]) -> AsyncGenerator[Delta]:
    """Yield the deltas of an answer once it is complete, and how far it is before."""
    for retries in range(target.max_retries + 1):
        found: list[Delta] = []
        try:
            async with aclosing(stream()) as deltas:
                async for delta in deltas:
                    if delta.progress is not None:
                        yield delta
                    else:
                        found.append(delta)
        except StreamInterrupted as error:
            if not _elsewhere(target, error, retries):
                raise
        else:
            for delta in found:
                yield delta
            return


def _elsewhere(target: Target, error: StreamInterrupted, retries: int) -> bool:
    """Tell whether another host can take soon what broke. What timed out is never sent again."""
    there = target.pool is not None and any(host.expected for host in target.pool.hosts)
    return there and retries < target.max_retries and is_hosts_fault(error)
