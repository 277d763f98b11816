"""`make measure`: the figures of `docs/reliability.md` that the fault server gives, and the page with them.

    python -m tests.faults.measure                 # all of them, some ten minutes
    python -m tests.faults.measure stops cancels   # some

What is measured is kept in `tests/security/measured.json`.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from typing import Any
from xml.etree import ElementTree

import pytest
from vessel_core import Timeout, retry
from vessel_core.retry import host_of

from tests.faults.catalogue import endless, error, ok, says
from tests.faults.drivers import DRIVERS, EVENTS, answered
from tests.faults.fault_server import LOADING, FaultServer, Talk
from tests.faults.stopping import ASYNC_WAYS, WAYS
from tests.faults.test_stopping import POOL, is_async, sometimes_endless, storm
from tests.security.goals import PAGE, measured, page, remember
from tests.security.hostile_servers import HOSTILE
from tests.security.test_hostile import ask_all

HERE = Path(__file__).parent
CORE = DRIVERS[:2]
NAMES = [driver.name for driver in DRIVERS]


def busy() -> str:
    """Say how busy the machine is."""
    return f"{os.cpu_count()} cores with a load of {os.getloadavg()[0]:.0f}"


def matrix() -> dict[str, Any]:
    """Run the fault matrix, and count, by fault and way of asking, the tests there are and those that pass."""
    cells: dict[str, dict[str, list[int]]] = defaultdict(lambda: {name: [0, 0] for name in NAMES})
    since = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        subprocess.run([sys.executable, "-m", "pytest", "-q", str(HERE), f"--junitxml={report}"], check=False)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        cases = list(ElementTree.parse(report).iter("testcase"))
    seconds = round(time.monotonic() - since)
    for case in cases:
        name = (case.get("name") or "").replace(EVENTS.name, "langchain async")
        if (number := re.search(r"test_(\d\d)_|-(\d\d) ", name)) is None:
            continue
        cell = cells[str(int(number[1] or number[2]))]
        for way in [way for way in NAMES if re.search(rf"[\[-]{way}[\]-]", name)] or NAMES:
            cell[way][0] += not list(case)  # what it holds is a failure
            cell[way][1] += 1
    good = sum(0 < total == passed for cell in cells.values() for passed, total in cell.values())
    cpu = round(used.ru_utime + used.ru_stime)
    return {"cells": cells, "good": good, "of": 64 * len(NAMES), "seconds": seconds, "cpu": cpu, "machine": busy()}


def stops() -> dict[str, Any]:
    """Stop a stream in every way by each face, and time how long it takes the server to hear of it."""
    took: list[float] = []
    for driver in (*DRIVERS, EVENTS):
        for how in ASYNC_WAYS if is_async(driver) else WAYS:
            for _ in range(5):
                with FaultServer(endless) as server, driver.session(server.url) as session:
                    since = session.stop(how)
                    assert server.gone.wait(5)
                    took.append((time.monotonic() - since) * 1000)
    cuts = quantiles(took, n=100)
    return {"stops": len(took), "p50": round(cuts[49], 1), "p99": round(cuts[98], 1), "machine": busy()}


def cancels() -> dict[str, Any]:
    """Stop ten thousand calls of the core for ten places, and then take all ten; sync and async."""
    with pytest.MonkeyPatch.context() as patch:
        for shell in ("sync_shell", "async_shell"):
            patch.setattr(f"vessel_core.transport.{shell}.most_at_once", lambda: POOL)
        for driver in CORE:
            script = [sometimes_endless if is_async(driver) else endless]

            def scripted(talk: Talk, script: list[Any] = script) -> None:
                script[0](talk)

            with FaultServer(scripted) as server, driver.session(server.url) as session:
                storm(driver, session, 10_000)
                script[0] = endless
                assert session.hold(POOL) == POOL
    return {"cancels": 10_000 * len(CORE), "dead": 0}


def retries() -> dict[str, Any]:
    """Make a thousand calls that fail, and count what the server got."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retry, "FIRST_DELAY", 0.0)
        with FaultServer(says(error("no slot"), 503)) as server, DRIVERS[0].session(server.url) as session:
            for _ in range(1000):
                session.ask()
            return {"calls": 1000, "requests": server.posts}


def loads() -> dict[str, Any]:
    """Ask by each way of a server that loads its model for six seconds."""
    survived = 0
    for driver in DRIVERS:
        ready = time.monotonic() + 6

        def script(talk: Talk, ready: float = ready) -> None:
            ok(talk) if time.monotonic() > ready else talk.document(LOADING, status=503)

        with FaultServer(script) as server, driver.session(server.url, timeout=Timeout(load=60)) as session:
            answered(session.ask())
            survived += 1
    return {"survived": survived, "of": len(DRIVERS)}


def hostile() -> dict[str, Any]:
    """Ask each hostile server, and note what the dearest cost."""
    found, _ = ask_all(HOSTILE)
    most = {name: max(one[name] for one in found) for name in ("rss", "seconds", "wall")}
    return {"servers": len(HOSTILE), **most, "machine": busy()}


MEASURES: dict[str, Callable[[], dict[str, Any]]] = {
    "stops": stops,
    "cancels": cancels,
    "retries": retries,
    "loads": loads,
    "hostile": hostile,
    "matrix": matrix,
}


def main() -> None:
    """Measure what is named, or all, and write the page."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # begun in the background, Ctrl-C would be ignored
    for name in sys.argv[1:] or MEASURES:
        host_of.cache_clear()
        found = MEASURES[name]()
        print(name, {key: value for key, value in found.items() if key != "cells"}, flush=True)
        remember(name, found)
        host_of.cache_clear()
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), measured()), encoding="utf-8")


if __name__ == "__main__":
    main()
