"""Every way of asking, and hosts of which nothing is known yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import pytest
from vessel_core import Progress, retry
from vessel_core.retry import Wait

from tests.faults.catalogue import ok
from tests.faults.drivers import DRIVERS, Driver, answered
from tests.faults.fault_server import FaultServer


@dataclass
class Waits:
    """The waits before another attempt, in seconds: as they are `asked` for; `told` is called at each.

    A tenth of each is waited.
    """

    asked: list[float] = field(default_factory=list[float])
    told: Callable[[], None] = lambda: None

    @property
    def lasted(self) -> float:
        """How long all of them take at least."""
        return sum(self.asked) * PART

    def __call__(self, seconds: float, progress: Progress | None = None) -> Wait:
        """Stand in for `Wait`."""
        self.asked.append(seconds)
        self.told()
        return Wait(seconds * PART, progress)


PART = 0.1


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """What is waited between the attempts of a test."""
    noted = Waits()
    monkeypatch.setattr(retry, "Wait", noted)
    return noted


@pytest.fixture(params=DRIVERS, ids=lambda driver: driver.name)
def driver(request: pytest.FixtureRequest) -> Driver:
    """One of the ways of asking."""
    load(request.param)
    return request.param


@cache
def load(driver: Driver) -> None:
    """Ask once, so that what is imported at first use is not counted as the time of a test's own call."""
    with FaultServer(ok) as server, driver.session(server.url) as session:
        answered(session.ask())
