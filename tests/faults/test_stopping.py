"""Faults 58 to 60: who stops, stops the server and leaves nothing behind; one object in many loops and threads."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from tests.faults.catalogue import HEL, endless, ok
from tests.faults.drivers import DRIVERS, EVENTS, Driver, How, Outcome, answered, opened
from tests.faults.fault_server import FaultServer, Talk
from tests.faults.stopping import ASYNC_WAYS, WAYS, close

AT_ONCE = 0.1
"""Seconds within which a server hears that nobody reads on (R7); `make measure` says how long it takes."""


def is_async(driver: Driver) -> bool:
    return not driver.name.endswith(" sync")


STOPS = [(driver, way) for driver in (*DRIVERS, EVENTS) for way in (ASYNC_WAYS if is_async(driver) else WAYS)]


@pytest.mark.parametrize(("driver", "how"), STOPS, ids=[f"{driver.name}-{way.__name__}" for driver, way in STOPS])
def test_58_who_stops_stops_the_server(driver: Driver, how: How) -> None:
    with FaultServer(endless) as server, driver.session(server.url) as session:
        since = session.stop(how)
        assert server.deserted()  # by now: no later turn of a loop, no collector was needed
        assert time.monotonic() - since <= AT_ONCE
        assert server.gone.wait(5)


# ----------------------------------------------------------------------------------------------- many that stop at once

POOL = 10


@pytest.fixture
def small_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    for shell in ("sync_shell", "async_shell"):
        monkeypatch.setattr(f"vessel_core.transport.{shell}.most_at_once", lambda: POOL)


def sometimes_endless(talk: Talk) -> None:
    """Answer a call that is about to be stopped with one word, or with nothing at all."""
    if b"Hello" not in talk.body:  # cut off while it was sent
        return
    if random.random() < 0.5:
        talk.head()
        talk.chunk(HEL)
    talk.hold()


async def cancelled_midway(session: Any, turns: int) -> None:
    """Begin a stream, and cancel it after so many turns of the loop: waiting, connecting, sending, reading."""

    async def read() -> None:
        async for _ in await opened(session.streaming(session.made)):
            pass

    task = asyncio.create_task(read())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def storm(driver: Driver, session: Any, count: int) -> None:
    """Stop so many streams, fifty at once on connections for ten; a sync caller can only stop what has begun."""
    if not is_async(driver):
        with ThreadPoolExecutor(2 * POOL) as pool:
            for call in [pool.submit(session.stop, close) for _ in range(count)]:
                call.result()
        return

    async def wave() -> None:
        await asyncio.gather(*(cancelled_midway(session, random.randrange(60)) for _ in range(50)))

    for _ in range(count // 50):
        session.runner.run(wave())


CANCELS = 1000


@pytest.mark.usefixtures("small_pool")
def test_59_many_that_stop_leave_no_place_taken(driver: Driver) -> None:
    """Ten streams at once have their place afterwards: not one of the ten is dead."""
    script: Callable[[Talk], None] = sometimes_endless if is_async(driver) else endless

    def scripted(talk: Talk) -> None:
        (script if storming.is_set() else endless)(talk)

    storming = threading.Event()
    storming.set()
    with FaultServer(scripted) as server, driver.session(server.url) as session:
        storm(driver, session, CANCELS)
        storming.clear()
        assert session.hold(POOL) == POOL


# --------------------------------------------------------------------------------------------------------- many loops


def ask_in(run: Callable[[Any], Outcome], session: Any) -> None:
    """Ask once in whatever loop `run` begins, by a sync face from inside that loop."""

    async def ask() -> Outcome:
        return await session.asked() if hasattr(session, "asked") else session.ask()

    answered(run(ask()))


def test_60_one_object_in_100_loops_one_after_another(driver: Driver) -> None:
    with FaultServer(ok) as server, driver.session(server.url) as session:
        for _ in range(100):
            ask_in(asyncio.run, session)
        assert server.posts == 100


def test_60_one_object_in_8_loops_at_once(driver: Driver) -> None:
    with FaultServer(ok) as server, driver.session(server.url) as session:
        together = threading.Barrier(8)

        def loop() -> None:
            together.wait(5)
            with asyncio.Runner() as runner:
                for _ in range(5):
                    ask_in(runner.run, session)

        with ThreadPoolExecutor(8) as pool:
            for call in [pool.submit(loop) for _ in range(8)]:
                call.result()
        assert server.posts == 40


def test_60_one_object_in_the_cells_of_a_notebook(driver: Driver) -> None:
    """Each cell is a task of its own in a loop that runs on, as in a Jupyter kernel."""

    async def kernel(session: Any) -> None:
        for _ in range(10):
            asked = asyncio.create_task(session.asked()) if is_async(driver) else asyncio.to_thread(session.ask)
            answered(await asked)

    with FaultServer(ok) as server, driver.session(server.url) as session:
        asyncio.run(kernel(session))
        assert server.posts == 10


def test_60_one_object_in_loops_inside_loops() -> None:
    """By nest_asyncio, which changes asyncio for the whole process, and by LlamaIndex's `asyncio_run`: so it has its own."""
    ran = subprocess.run([sys.executable, "-m", "tests.faults.nested"], capture_output=True, text=True, timeout=90)
    expected = [f"{way} {driver.name}: 10" for way in ("apart", "nested") for driver in DRIVERS]
    assert ran.stdout.splitlines() == expected, ran.stderr
