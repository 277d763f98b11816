"""What has come of an answer is kept small while it grows, and says the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vessel_core.errors import ResponseTooLarge
from vessel_core.keeping import Keeping
from vessel_core.types import ChatReply, Delta, Progress, ToolCallDelta, Usage

MANY = 10**9
texts = st.sampled_from(["", "a", "é😀"])
calls = st.builds(
    ToolCallDelta,
    st.integers(0, 1),
    st.sampled_from([None, "c"]),
    st.sampled_from([None, "f"]),
    texts,
    st.none(),
    st.none(),
)
deltas = st.builds(
    Delta,
    text=texts,
    reasoning=texts,
    tool_calls=st.lists(calls, max_size=2),
    finish=st.sampled_from([None, None, "stop"]),
    usage=st.sampled_from([None, None, Usage(1, 2, 3)]),
    logprobs=st.sampled_from([None, None, [{"token": "a"}]]),
    refusal=texts,
    index=st.integers(0, 1),
)


def joined(some: list[Delta], limit: int, tops: int = 0) -> list[Delta]:
    received: list[Delta] = []
    kept = Keeping(received, limit, tops)
    received += some
    kept.join()
    return received


@given(st.lists(deltas, max_size=30), st.integers(0, 30))
def test_joined_deltas_say_what_they_said_one_by_one(some: list[Delta], cut: int) -> None:
    received: list[Delta] = []
    kept = Keeping(received, MANY)
    received += some[:cut]
    kept.join()
    received += some[cut:]
    kept.join()
    assert ChatReply.gather(received) == ChatReply.gather(some)


def test_a_long_answer_is_a_few_deltas() -> None:
    many = [Delta("a") if at < 1000 else Delta(reasoning="b") for at in range(2000)]
    received = joined([*many, Delta(progress=Progress("x"))], MANY)
    assert received == [Delta("a" * 1000), Delta(reasoning="b" * 1000), Delta(progress=Progress("x"))]


def test_choices_that_come_by_turns_are_a_few_deltas_too() -> None:
    received = joined([Delta("a", index=at % 4) for at in range(4000)], MANY)
    assert [(delta.index, delta.text) for delta in received] == [(at, "a" * 1000) for at in range(4)]


@pytest.mark.parametrize(
    "delta",
    [
        Delta("a" * 1000),
        Delta(reasoning="a" * 1000),
        Delta(refusal="a" * 1000),
        Delta("a", finish="stop"),
        Delta(tool_calls=[ToolCallDelta(0, arguments="a" * 1000)]),
        Delta(tool_calls=[ToolCallDelta(at, "c", "f") for at in range(9)]),
        Delta(logprobs=[{"token": "a", "top_logprobs": [{"token": "a", "bytes": [97]}] * 20}]),
    ],
)
def test_an_answer_is_bounded_whatever_it_is_made_of(delta: Delta) -> None:
    with pytest.raises(ResponseTooLarge, match=r"more than [13]00,000 bytes of memory") as caught:
        joined([replace(delta) for _ in range(1000)], 100_000)
    assert "Limits(answer=" in str(caught.value)


def test_log_probabilities_that_were_asked_for_have_room() -> None:
    told = [{"token": "a", "logprob": -1.0, "top_logprobs": [{"token": "a", "logprob": -1.0}] * 20}]
    answer, limit = [Delta("a", logprobs=told) for _ in range(1000)], 2_000_000
    received = joined(answer, limit, tops=20)
    assert [len(delta.logprobs or ()) for delta in received] == [1000]
    with pytest.raises(ResponseTooLarge, match="The log probabilities of the answer take more than 6,000,000 bytes"):
        joined(answer, limit)


@pytest.mark.parametrize(
    ("delta", "limit", "what"),
    [
        (Delta("a" * 10_000), 25_000, "The answer takes"),
        (Delta(logprobs=[{"token": "a" * 120_000}]), 100_000, "The log probabilities of the answer take"),
    ],
)
def test_what_came_before_counts_however_often_it_is_joined(delta: Delta, limit: int, what: str) -> None:
    received: list[Delta] = []
    kept = Keeping(received, limit)
    for _ in range(2):
        received.append(replace(delta))
        kept.join()
    received.append(replace(delta))
    with pytest.raises(ResponseTooLarge, match=what):
        kept.join()


def test_a_wide_character_takes_four_bytes() -> None:
    assert joined([Delta("a" * 100_000)], 300_000)
    with pytest.raises(ResponseTooLarge, match="The answer takes more than 300,000 bytes"):
        joined([Delta("😀" * 100_000)], 300_000)


def test_deltas_that_cannot_be_joined_take_more_than_their_texts() -> None:
    with pytest.raises(ResponseTooLarge, match="The answer takes more than 300,000 bytes"):
        joined([Delta("a", finish="stop") for _ in range(1000)], 300_000)
