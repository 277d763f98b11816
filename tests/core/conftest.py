"""Both clients, and hosts of which nothing is known yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest
from vessel_core.local import LocalServer

from tests.core.driving import Connect, Tap, opened

Loops = Mapping[str, Callable[[], asyncio.AbstractEventLoop]]


def pytest_asyncio_loop_factories(item: pytest.Function) -> Loops:
    """Run the async tests of a module on each kind of loop in its `LOOPS`, if it names any."""
    return getattr(item.module, "LOOPS", {"asyncio": asyncio.new_event_loop})


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """What makes a client: `Client`, then `AsyncClient`."""
    with opened(request.param) as made:
        yield made


@pytest.fixture
def tapped(chat_server: LocalServer) -> Iterator[Tap]:
    """The real chat server, overheard."""
    with Tap(chat_server.base_url) as tap:
        yield tap
