"""Ask by each face from inside a running loop, as notebooks do: `python -m tests.faults.nested`.

It prints how many calls the server got for each way and face.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import nest_asyncio  # pyright: ignore[reportMissingTypeStubs]
from llama_index.core.async_utils import asyncio_run  # pyright: ignore[reportUnknownVariableType]

from tests.faults.catalogue import ok
from tests.faults.drivers import DRIVERS, Outcome, answered
from tests.faults.fault_server import FaultServer


def nested(loop: asyncio.AbstractEventLoop, asked: Coroutine[Any, Any, Outcome]) -> Outcome:
    """Run a call inside the running loop itself."""
    return loop.run_until_complete(asked)


def apart(_: asyncio.AbstractEventLoop, asked: Coroutine[Any, Any, Outcome]) -> Outcome:
    """Run a call as LlamaIndex's sync methods do there: in a thread, in a loop that it closes with everything open in it."""
    return asyncio_run(asked)


def main() -> None:
    """Ask ten times by each face in either way, with one object."""
    loop = asyncio.new_event_loop()
    for way in (apart, nested):
        if way is nested:
            nest_asyncio.apply(loop)  # pyright: ignore[reportUnknownMemberType] - from here on asyncio is another one
        for driver in DRIVERS:
            with FaultServer(ok) as server, driver.session(server.url) as session:
                for _ in range(10):
                    answered(loop.run_until_complete(cell(session, loop, way)))
                print(f"{way.__name__} {driver.name}: {server.posts}")
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


async def cell(session: Any, loop: asyncio.AbstractEventLoop, way: Any) -> Outcome:
    """Ask from inside a running loop; the sync faces as they are."""
    return way(loop, session.asked()) if hasattr(session, "asked") else session.ask()


if __name__ == "__main__":
    main()
