"""When an attempt is made again, after how long, and how often: no clock and no network in here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vessel_core.errors import (
    AuthFailed,
    BadRequest,
    ConnectTimeout,
    FirstTokenTimeout,
    InputTooLarge,
    ModelLoading,
    ModelNotFound,
    ProtocolError,
    RateLimited,
    ServerBusy,
    ServerError,
    ServerTimeout,
    ServerUnreachable,
    StreamInterrupted,
    VesselError,
)
from vessel_core.retry import Host, Retries, Send, Wait, attempts, host_of
from vessel_core.types import Timeout
from vessel_core.wire import Call, Reply

CHAT = Call("POST", "/v1/chat/completions", {}, stream=True)
GOOD = Reply(200)
LOADING = Reply(503, body=b'{"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}')


def reply(status: int, body: Any = None, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, named, json.dumps(body).encode() if body is not None else b"")


def unreachable(**what: bool) -> ServerUnreachable:
    error = ServerUnreachable("gone")
    for name, value in what.items():
        setattr(error, name, value)
    return error


def cut() -> ProtocolError:
    error = ProtocolError("cut")
    error.cut = True
    return error


class Played:
    """What came of a call whose attempts have these outcomes; the last one comes again and again."""

    def __init__(
        self,
        outcomes: Iterable[Any],
        policy: Retries | None = None,
        health: Iterable[Any] = (GOOD,),
        slow: float = 0.0,
        call: Call = CHAT,
    ) -> None:
        self.sent = 0
        self.asked = 0
        self.waits: list[float] = []
        self.within: list[float | None] = []
        self.now = 0.0
        self.progress: list[str] = []
        self.error: VesselError | None = None
        answers, states = list(outcomes), list(health)
        steps = attempts(call, replace(policy or Retries(draw=lambda: 1.0), clock=lambda: self.now))
        outcome: Any = None
        came: Reply | None = None
        try:
            while True:
                step = steps.send(outcome)
                outcome = None
                if isinstance(step, Wait):
                    self.waits.append(step.seconds)
                    self.now += step.seconds
                    if step.progress is not None:
                        self.progress.append(step.progress.status)
                elif step.call is call:
                    outcome = answers[min(self.sent, len(answers) - 1)]
                    self.sent += 1
                else:
                    outcome = states[min(self.asked, len(states) - 1)]
                    self.asked += 1
                    self.within.append(step.within)
                    self.now += slow if step.within is None else min(slow, step.within)
        except StopIteration as stop:
            came = stop.value
        except VesselError as error:
            self.error = error
        assert self.error is not None or came is GOOD


@pytest.mark.parametrize(
    ("outcome", "sent", "error"),
    [
        (reply(429), 3, RateLimited),
        (reply(503), 3, ServerBusy),
        (reply(502, "Bad gateway"), 3, ServerError),
        (reply(504), 3, ServerError),
        (reply(500, {"error": "out of memory"}), 2, ServerError),
        (unreachable(reset=True), 3, ServerUnreachable),
        (unreachable(refused=True), 2, ServerUnreachable),
        (unreachable(), 1, ServerUnreachable),
        (cut(), 2, ProtocolError),
        (ProtocolError("garbage"), 1, ProtocolError),
        (ConnectTimeout("slow"), 1, ConnectTimeout),
        (FirstTokenTimeout("slow"), 1, FirstTokenTimeout),
        (ServerTimeout("slow"), 1, ServerTimeout),
        (StreamInterrupted("cut"), 1, StreamInterrupted),
        (reply(400, {"error": "no"}), 1, BadRequest),
        (reply(401), 1, AuthFailed),
        (reply(404, {"error": "model 'x' not found"}), 1, ModelNotFound),
        (reply(413), 1, BadRequest),
        (reply(422, {"detail": "no"}), 1, BadRequest),
        (reply(500, {"error": "input (9 tokens) is too large to process"}), 1, InputTooLarge),
    ],
)
def test_what_may_pass_is_tried_again_and_nothing_else(
    outcome: Reply | VesselError, sent: int, error: type[VesselError]
) -> None:
    played = Played([outcome])
    assert type(played.error) is error
    assert played.error is not None
    assert (played.sent, played.error.attempts, len(played.waits)) == (sent, sent, sent - 1)


@pytest.mark.parametrize("outcome", [reply(429), reply(503), reply(500), unreachable(reset=True)])
def test_what_passes_is_not_noticed(outcome: Reply | VesselError) -> None:
    played = Played([outcome, GOOD])
    assert (played.error, played.sent) == (None, 2)


def test_no_retries_are_none() -> None:
    for outcome in (reply(429), reply(500), unreachable(reset=True), unreachable(refused=True)):
        assert Played([outcome], Retries(most=0)).sent == 1


def test_a_kept_connection_that_broke_is_tried_again_at_once_and_costs_nothing() -> None:
    policy = Retries(most=0)
    played = Played([unreachable(reset=True, stale=True), GOOD], policy)
    assert (played.error, played.sent, played.waits, policy.host.tokens) == (None, 2, [], 100.0)
    again = Played([unreachable(reset=True, stale=True)], Retries(draw=lambda: 1.0))
    assert (again.sent, len(again.waits)) == (4, 2)


def test_the_waits_grow_and_are_drawn_from_nothing_to_their_full_length() -> None:
    assert Played([reply(503)], Retries(most=8, draw=lambda: 1.0)).waits == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert Played([reply(503)], Retries(most=3, draw=lambda: 0.0)).waits == [0.0, 0.0, 0.0]


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 6))
def test_a_wait_lies_between_nothing_and_its_full_length(drawn: float, most: int) -> None:
    waits = Played([reply(503)], Retries(most=most, draw=lambda: drawn)).waits
    assert waits == [pytest.approx(drawn * min(0.25 * 2**number, 8)) for number in range(most)]


@pytest.mark.parametrize(
    ("headers", "waits"),
    [
        ({"retry_after": "1"}, 1.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after_ms": "1500"}, 1.5),
        ({"retry_after": "Mon, 23 Nov 2026 10:00:03 GMT", "date": "Mon, 23 Nov 2026 10:00:01 GMT"}, 2.0),
        ({"retry_after": "120"}, 120.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_says_how_long_is_believed(status: int, headers: Mapping[str, str], waits: float) -> None:
    played = Played([reply(status, None, **headers), GOOD])
    assert (played.error, played.waits) == (None, [waits])


def test_too_long_a_wait_is_left_to_the_caller() -> None:
    played = Played([reply(429, None, retry_after="3600")])
    assert isinstance(played.error, RateLimited)
    assert (played.sent, played.waits, played.error.retry_after) == (1, [], 3600.0)


@pytest.mark.parametrize("timeout", [Timeout(first_token=5, request=60), Timeout(first_token=60, request=5)])
def test_a_wait_that_is_longer_than_an_answer_may_take_is_left_to_the_caller(timeout: Timeout) -> None:
    for stream in (True, False):
        played = Played(
            [reply(429, None, retry_after="30"), GOOD], Retries(timeout=timeout), call=replace(CHAT, stream=stream)
        )
        waited = (timeout.first_token if stream else timeout.request) == 60
        assert (played.sent, played.waits) == ((2, [30.0]) if waited else (1, []))
        assert waited or isinstance(played.error, RateLimited)


def test_a_refusal_is_tried_once_more_and_a_server_that_has_answered_is_given_time_to_start_anew() -> None:
    assert Played([unreachable(refused=True)], Retries(draw=lambda: 1.0)).waits == [0.25]
    host = Host(answered=True)
    least = Played([unreachable(refused=True)], Retries(draw=lambda: 0.0, host=host))
    assert (least.sent, least.waits) == (3, [0.5, 1.0])
    assert Played([unreachable(refused=True)], Retries(draw=lambda: 1.0, host=Host(answered=True))).waits == [1.0, 2.0]


# ------------------------------------------------------------------------------------------------------------ budget


def test_retries_add_at_most_a_tenth_when_everything_fails() -> None:
    host = Host()
    sent = sum(Played([reply(503)], Retries(host=host)).sent for _ in range(1000))
    assert sent <= 1000 * 1.1 + 3


def test_good_replies_fill_the_budget_again_up_to_its_size() -> None:
    host = Host(tokens=0.0)
    assert Played([reply(503)], Retries(host=host)).sent == 1
    for _ in range(10):
        assert Played([GOOD], Retries(host=host)).sent == 1
    assert Played([reply(503), GOOD], Retries(host=host)).sent == 2
    for _ in range(300):
        host.reward()
    assert host.tokens == 100.0


def test_clients_of_one_host_share_what_is_known_of_it() -> None:
    assert host_of("http://a:1") is host_of("http://a:1")
    assert host_of("http://a:1") is not host_of("http://a:2")


def test_of_ever_new_hosts_the_oldest_is_forgotten_and_one_in_use_is_not() -> None:
    used, oldest = host_of("http://used:1"), host_of("http://oldest:1")
    for port in range(5000):
        host_of(f"http://a:{port}")
        assert host_of("http://used:1") is used
    assert host_of("http://oldest:1") is not oldest
    assert host_of.cache_info().currsize <= 1000


# ------------------------------------------------------------------------------------------------------------ loading


def test_a_model_that_loads_is_waited_for_and_costs_no_retry() -> None:
    policy = Retries(most=0, draw=lambda: 1.0)
    played = Played([LOADING, GOOD], policy, health=[LOADING, LOADING, LOADING, GOOD])
    assert (played.error, played.sent, played.asked) == (None, 2, 4)
    assert set(played.progress) == {"waiting for the model to load"}
    assert played.waits == pytest.approx([0.25, 0.375, 0.5625, 0.84375])
    assert policy.host.tokens == 100.0


def test_the_wait_for_a_model_ends_after_its_timeout() -> None:
    played = Played([LOADING], Retries(timeout=Timeout(load=10.0)), health=[LOADING])
    assert isinstance(played.error, ModelLoading)
    assert played.sent == 1
    assert 10.0 <= sum(played.waits) <= 12.0
    assert Played([LOADING], Retries(timeout=Timeout(load=0.0))).waits == []


def test_it_ends_as_well_if_the_server_says_that_it_is_well_and_the_model_is_not() -> None:
    played = Played([LOADING], Retries(timeout=Timeout(load=10.0)), health=[GOOD])
    assert isinstance(played.error, ModelLoading)
    assert 10.0 <= sum(played.waits) <= 12.0


def test_health_that_answers_late_counts_as_waiting() -> None:
    policy = Retries(timeout=Timeout(load=10.0))
    played = Played([LOADING], policy, health=[ServerTimeout("slow")], slow=4.0)
    assert isinstance(played.error, ModelLoading)
    assert (played.sent, played.asked) == (1, 3)
    assert played.within == pytest.approx([9.75, 5.375, 0.8125])
    assert 10.0 <= played.now <= 10.25
    assert Played([LOADING, GOOD], Retries(timeout=Timeout(load=None))).within == [None]


def test_a_request_takes_no_longer_than_its_timeout_nor_than_it_may() -> None:
    usual = Timeout(request=4.0)
    assert Send(CHAT).timeout(usual) is usual
    assert Send(CHAT, 5.0).timeout(usual) is usual
    assert Send(CHAT, 3.0).timeout(usual) == Timeout(request=3.0)
    assert Send(CHAT, 3.0).timeout(Timeout(request=None)) == Timeout(request=3.0)


def test_a_server_that_is_gone_while_it_loads_is_unreachable() -> None:
    played = Played(
        [LOADING, unreachable(refused=True)], Retries(timeout=Timeout(load=10.0)), health=[unreachable(refused=True)]
    )
    assert isinstance(played.error, ServerUnreachable)
