"""R14, in small: what `make soak` runs for half an hour, for some seconds."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.security import soak


def test_fifty_streams_in_parallel_lose_and_leave_nothing() -> None:
    seen, grown = soak.soak(0.07, warm_up=2)
    assert soak.is_whole(seen, grown)
    assert seen["good"] > 10 * soak.STREAMS
    assert {"StreamInterrupted", "VesselStreamInterrupted"} <= set(seen)  # one request in twenty goes wrong


@pytest.mark.parametrize("grown", [{"tasks": 1}, {"threads": 1}, {"rss": 5.1}, {"fds": 51}])
def test_what_piles_up_is_seen(grown: dict[str, float]) -> None:
    nothing = {"fds": 0, "tasks": 0, "threads": 0, "rss": 0}
    assert soak.is_whole(Counter(good=9), nothing)
    assert not soak.is_whole(Counter(good=9), {**nothing, **grown})
    assert not soak.is_whole(Counter(good=9, lost=1), nothing)
