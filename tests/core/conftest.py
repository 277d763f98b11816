"""Both clients, and hosts of which nothing is known yet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from vessel_core.local import LocalServer
from vessel_core.retry import HOSTS

from tests.core.driving import Connect, Tap, opened


@pytest.fixture(autouse=True)
def _new_hosts() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """No test knows what another one learnt of a port that was given out twice."""
    HOSTS.clear()
    yield
    HOSTS.clear()


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
