"""Both clients, and hosts of which nothing is known yet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from vessel_core.local import LocalServer

from tests.core.driving import Connect, Tap, opened


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
