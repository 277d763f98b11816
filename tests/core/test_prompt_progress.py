"""How far a server has read the prompt is life, and no token: sync and async, on scripted servers."""

from __future__ import annotations

import pytest
from vessel_core import Timeout
from vessel_core.errors import FirstTokenTimeout
from vessel_core.transport.incoming import Patience
from vessel_core.types import Delta, Progress

from tests.core.driving import Connect
from tests.core.wire.play import HELLO
from tests.faults.catalogue import DONE, HEL, LO, STOP, event
from tests.faults.fault_server import FaultServer, Talk


def progress(read: int) -> bytes:
    begun = {"index": 0, "delta": {"role": "assistant", "content": None}, "finish_reason": None}
    return event({"choices": [begun], "prompt_progress": {"total": 100, "cache": 0, "processed": read, "time_ms": 1}})


def reads_slowly(talk: Talk) -> None:
    """Pause longer than between two tokens, and take longer in all than to the first."""
    talk.head()
    for read in (10, 50, 100):
        talk.chunk(progress(read))
        talk.pause(0.4)
    talk.chunk(HEL, LO, STOP, DONE)
    talk.end()


def stands_still(talk: Talk) -> None:
    talk.head()
    while True:
        talk.chunk(progress(10))
        talk.pause(0.05)


def test_a_prompt_is_waited_for_as_long_as_it_is_read_further(connect: Connect) -> None:
    with FaultServer(reads_slowly) as server:
        timeout = Timeout(first_token=1.0, between_tokens=0.2)
        deltas = list(connect(base_url=server.url, model="x", timeout=timeout).stream([HELLO]))
    assert [delta.progress.completed for delta in deltas if delta.progress] == [10, 50, 100]
    assert "".join(delta.text for delta in deltas) == "Hello"


def test_a_prompt_that_is_not_read_further_is_given_up(connect: Connect) -> None:
    with FaultServer(stands_still) as server:
        client = connect(base_url=server.url, model="x", timeout=Timeout(first_token=0.3), max_retries=0)
        with pytest.raises(FirstTokenTimeout) as caught:
            client.chat([HELLO])
    assert caught.value.partial is None  # progress is no part of an answer


def test_what_counts_as_a_token() -> None:
    patience = Patience(Timeout(first_token=100.0, between_tokens=7.0), since=0.0)
    with pytest.raises(FirstTokenTimeout):
        patience.hear([])
    patience.hear([read(5)])
    left = patience.seconds()
    assert left is not None
    assert 90 < left <= 100
    patience.hear([read(5), Delta("a")])
    assert (patience.answering, patience.seconds()) == (True, 7.0)


@pytest.mark.parametrize("again", [5, 4, None])
def test_what_is_no_more_than_before_grants_no_time(again: int | None) -> None:
    patience = Patience(Timeout(first_token=0.0), since=0.0)
    patience.hear([read(5)])
    with pytest.raises(FirstTokenTimeout):
        patience.hear([read(again)])


def read(tokens: int | None) -> Delta:
    return Delta(progress=Progress("reading the prompt", tokens, 10, "tokens"))
