"""Every way of asking, and hosts of which nothing is known yet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from vessel_core import retry
from vessel_core.retry import HOSTS

from tests.faults.drivers import DRIVERS, Driver


@pytest.fixture(autouse=True)
def _new_hosts() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    HOSTS.clear()
    yield
    HOSTS.clear()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    """The waits are a quarter of what they are for users; how long those are is in `tests/core/test_retry.py`."""
    monkeypatch.setattr(retry, "FIRST_DELAY", retry.FIRST_DELAY / 4)
    monkeypatch.setattr(retry, "RESTART_DELAY", retry.RESTART_DELAY / 4)


@pytest.fixture(params=DRIVERS, ids=lambda driver: driver.name)
def driver(request: pytest.FixtureRequest) -> Driver:
    """One of the ways of asking."""
    return request.param
