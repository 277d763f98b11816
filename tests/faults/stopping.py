"""The ways in which a caller stops a stream: each begins one, has its first piece, stops, and returns when it began to."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faults.drivers import How, opened

Begin = Callable[[], Any]
"""Begins a stream of whatever face."""


def close(begin: Begin) -> float:
    """Close the stream."""
    stream = begin()
    next(stream)
    since = time.monotonic()
    stream.close()
    return since


def leave(begin: Begin) -> float:
    """Break out of the loop."""
    since = 0.0
    for _ in begin():
        since = time.monotonic()
        break
    return since


def drop(begin: Begin) -> float:
    """Drop the stream."""
    stream = begin()
    next(stream)
    since = time.monotonic()
    del stream
    return since


def fail(begin: Begin) -> float:
    """Fail at what was read."""

    since = 0.0

    def use(stream: Iterator[Any]) -> None:
        nonlocal since
        for _ in stream:
            since = time.monotonic()
            raise LookupError("a fault of the reader")

    with pytest.raises(LookupError):
        use(begin())
    return since


def interrupt(begin: Begin) -> float:
    """Press Ctrl-C while the next piece is waited for."""
    stream = begin()
    next(stream)
    pressed = _press_soon()
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    return pressed[0]


def _press_soon() -> list[float]:
    """Press Ctrl-C once this thread waits; return where it is noted when that was."""
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Timer(0.03, press).start()
    return pressed


def aclose(begin: Begin, runner: asyncio.Runner) -> float:
    """Close the stream."""

    async def closed() -> float:
        stream = await opened(begin())
        await anext(stream)
        since = time.monotonic()
        await stream.aclose()
        return since

    return runner.run(closed())


def aleave(begin: Begin, runner: asyncio.Runner) -> float:
    """Break out of the loop, and go on with something else."""

    async def left() -> float:
        since = 0.0
        async for _ in await opened(begin()):
            since = time.monotonic()
            break
        await _others()
        return since

    return runner.run(left())


def adrop(begin: Begin, runner: asyncio.Runner) -> float:
    """Drop the stream, and go on with something else."""

    async def dropped() -> float:
        stream = await opened(begin())
        await anext(stream)
        since = time.monotonic()
        del stream
        await _others()
        return since

    return runner.run(dropped())


async def _others() -> None:
    """Go on until the loop has nothing else to do: it closes what was dropped in a task of its own."""
    await asyncio.sleep(0)
    while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - the loop tells nobody
        await asyncio.sleep(0.001)


async def _read(begin: Begin, begun: Callable[[], None]) -> None:
    async for _ in await opened(begin()):
        begun()


def cancel(begin: Begin, runner: asyncio.Runner) -> float:
    """Cancel the task; what it ends with is the cancellation itself."""

    async def cancelled() -> float:
        first = asyncio.Event()
        task = asyncio.create_task(_read(begin, first.set))
        await first.wait()
        since = time.monotonic()
        task.cancel("by the test")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        return since

    return runner.run(cancelled())


def time_out(begin: Begin, runner: asyncio.Runner) -> float:
    """Let a timeout of the caller's own run out."""

    since = 0.0

    async def read() -> None:
        async with asyncio.timeout(None) as limit:

            def end() -> None:
                nonlocal since
                since = time.monotonic()
                limit.reschedule(asyncio.get_running_loop().time())

            await _read(begin, end)

    async def late() -> float:
        with pytest.raises(TimeoutError):
            await read()
        return since

    return runner.run(late())


def ainterrupt(begin: Begin, runner: asyncio.Runner) -> float:
    """Press Ctrl-C, which `asyncio.run` makes a cancellation."""

    pressed: list[float] = []

    async def interrupted() -> None:
        nonlocal pressed
        async for _ in await opened(begin()):
            pressed = _press_soon()

    with pytest.raises(KeyboardInterrupt):
        runner.run(interrupted())
    return pressed[0]


WAYS: tuple[How, ...] = (close, leave, drop, fail, interrupt)
ASYNC_WAYS: tuple[How, ...] = (aclose, aleave, adrop, cancel, time_out, ainterrupt)
