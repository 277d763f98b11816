"""S5, R12: a hostile server costs at most 40 MB and one second of CPU, and ends in one of our errors."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import pytest

from tests.fake_server import FakeServer
from tests.packaging.distributions import ROOT
from tests.security.hostile import WAYS
from tests.security.hostile_servers import HOSTILE, Hostile, bomb

MOST_MEMORY = 40
MOST_SECONDS = 1.0
PARTS = 3
"""Processes, so that each part has its time on a busy machine."""


def ask_all(servers: Mapping[str, Hostile]) -> tuple[list[dict[str, Any]], float]:
    """Ask servers, each in every way, in a process of its own, which ends in what is due; return what each cost, and the MiB
    that are kept of all.
    """
    bomb()  # is made before anybody waits for it
    with ExitStack() as stack:
        places: dict[str, tuple[str, str, float, str]] = {}
        for name, one in servers.items():
            server = stack.enter_context(FakeServer(otherwise=lambda _, one=one: one.answer()))
            places[name] = (one.backend, server.base_url, 0.3 if "FirstTokenTimeout" in one.due else 15.0, one.asked)
        arguments = [sys.executable, "-m", "tests.security.hostile", json.dumps(places)]
        done = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    kept = found.pop()["kept"]
    assert len(found) == len(WAYS) * len(servers)
    assert [one for one in found if not re.fullmatch(servers[one["name"].rpartition(", ")[0]].due, one["error"])] == []
    return found, kept


@pytest.mark.parametrize("part", range(PARTS))
def test_a_hostile_server_costs_little_and_ends_in_one_of_our_errors(part: int) -> None:
    servers = dict(list(HOSTILE.items())[part::PARTS])
    found, kept = ask_all(servers)
    most, longest = (max(one[name] for one in found) for name in ("rss", "seconds"))
    print(f"most memory: {most} MiB, kept: {kept} MiB; longest: {longest} s")
    assert [one for one in found if one["rss"] > MOST_MEMORY or one["seconds"] > MOST_SECONDS] == []
    assert kept <= MOST_MEMORY
