"""What becomes of hosts that fail or say nothing, told by the clock of the test."""

from __future__ import annotations

import pytest
from vessel_core import Client
from vessel_core.address import parse_address
from vessel_core.backends import find_backend
from vessel_core.dispatch import Ticket
from vessel_core.errors import (
    ContextOverflow,
    FirstTokenTimeout,
    ProtocolError,
    RateLimited,
    ServerBusy,
    ServerUnreachable,
    StreamStalled,
    VesselError,
)
from vessel_core.hosts import is_hosts_fault
from vessel_core.pool import HostPool
from vessel_core.target import Server
from vessel_core.verdict import warn
from vessel_core.vetting import probe
from vessel_core.wire import Reply

from tests.core.pools import answered, enter, ready_pool, unreachable


def test_a_failing_host_is_set_aside_probed_and_tried_with_one_call_first() -> None:
    pool = ready_pool(4, 4)
    ticket = enter(pool)
    host = ticket.at
    pool.leave(ticket, 1, unreachable())
    assert host.state == "aside"
    assert pool.due(1) == []
    assert all(each.at is not host for each in [enter(pool, 1) for _ in range(4)])

    assert pool.due(1.2) == [host]
    assert pool.due(1.2) == []  # somebody does it already
    pool.failed(host, 1.3, unreachable())
    assert pool.due(1.3) == []
    assert pool.due(2) == [host]
    pool.passed(host, 2)
    assert host.state == "trial"

    chosen = [enter(pool, 2) for _ in range(3)]
    assert [each.at for each in chosen].count(host) == 1
    answered(pool, next(each for each in chosen if each.at is host), 2)
    assert host.status().state == "ready"


def test_a_host_that_fails_its_trial_is_left_alone_longer_each_time() -> None:
    pool = ready_pool(4, 4)
    host, now = pool.hosts[0], 0.0
    pauses: list[float] = []
    for _ in range(6):
        calls = [enter(pool, now) for _ in range(8)]
        pool.leave(next(each for each in calls if each.host is host), now, unreachable())
        del calls
        since = now
        while pool.due(now) != [host]:
            now += 0.05
        pauses.append(round(now - since, 1))
        pool.passed(host, now)
    assert pauses == sorted(pauses)
    assert pauses[-1] <= 3.1  # and a probe of 2 s: it is back within 5.1 s at most


def test_a_host_that_asks_to_be_left_alone_is() -> None:
    pool = ready_pool(4, 4)
    ticket = enter(pool)
    pool.leave(ticket, 0, RateLimited("slow down"), after=7)
    assert pool.due(6.9) == []
    assert pool.due(7) == [ticket.at]


def test_a_silent_host_is_asked_how_it_is_and_its_calls_go_elsewhere_if_it_says_nothing() -> None:
    pool = ready_pool(4, 4, since=100, hang=10)
    ticket = enter(pool, 100)
    ticket.abort = lambda: None
    host = ticket.at
    assert pool.due(100.9) == []
    assert pool.due(101) == [host]
    pool.failed(host, 102, unreachable("no answer in time"))
    assert host.state == "aside"
    assert "no answer in time" in str(host.status().error)
    assert pool.hung(109.9) == []
    assert pool.hung(110) == [ticket]
    assert ticket.lost


def test_a_silent_host_that_is_well_is_given_more_time() -> None:
    pool = ready_pool(4, 4, since=100)
    ticket = enter(pool, 100)
    pool.due(101)
    pool.passed(ticket.at, 101)
    assert pool.due(102.9) == []
    assert pool.due(103) == [ticket.at]
    pool.passed(ticket.at, 103)
    assert pool.hung(10_000) == []  # a long prompt is no fault


@pytest.mark.parametrize("body", [b"", b"OK"])
def test_a_host_is_well_whatever_it_says_of_it(body: bytes) -> None:
    with Client("vllm", base_url=["http://host-0", "http://host-1"]) as client:
        target, pool = client.target, client.target.pool
        assert pool is not None
        target.known = Server(find_backend("vllm"), pool.addresses[0])
        host = pool.due(0)[0]
        pool.passed(host, 0)
        asking = probe(target, pool, host)
        assert next(asking).path == "/health"
        with pytest.raises(StopIteration):
            asking.send(Reply(200, body=body))


def test_a_silent_host_that_answers_after_all_is_ready_again() -> None:
    pool = ready_pool(4, 4, since=100)
    ticket = enter(pool, 100)
    pool.due(101)
    pool.failed(ticket.at, 103, unreachable())
    answered(pool, ticket, 104)
    assert ticket.at.status().state == "ready"


def test_a_host_of_which_nobody_has_heard_for_a_while_is_vetted_again_before_its_next_call() -> None:
    pool = ready_pool(1, 1)
    kept = enter(pool, 0.9)
    assert kept.host is not None
    ticket = enter(pool, 6)
    assert ticket.host is None  # who is at work is not doubted, and full
    (idle,) = [host for host in pool.due(6) if host is not kept.host]
    pool.passed(idle, 6)
    assert ticket.host is idle


def test_calls_of_the_only_host_are_not_given_up() -> None:
    pool = ready_pool(4, 4, since=100)
    first = enter(pool, 100)
    first.abort = lambda: None
    for host in pool.hosts:
        pool.failed(host, 101, unreachable())
    assert pool.hung(200) == []


def test_a_host_that_was_never_there_is_said_at_once() -> None:
    pool = HostPool([parse_address("http://one"), parse_address("http://two")])
    waiting = enter(pool)
    for host in pool.due(0):
        pool.failed(host, 0, unreachable(f"{host.address.root} is off"))
    assert isinstance(waiting.error, ServerUnreachable)
    assert "http://one is off" in waiting.error.message
    assert "http://two is off" in waiting.error.message
    with pytest.raises(ServerUnreachable, match="None of the 2 hosts"):
        enter(pool)


def test_calls_wait_a_while_for_hosts_that_were_there() -> None:
    pool = ready_pool(1, 1, since=10)
    for ticket in [enter(pool, 10), enter(pool, 10)]:
        pool.leave(ticket, 10, unreachable())
    waiting = enter(pool, 11)
    pool.hung(14)
    assert waiting.error is None
    (host, _) = pool.due(12)
    pool.passed(host, 14)
    assert waiting.host is host
    pool.leave(waiting, 14, unreachable())
    late = enter(pool, 15)
    for host in pool.due(30):
        pool.failed(host, 30, unreachable())
    pool.hung(30)
    assert isinstance(late.error, ServerUnreachable)


def test_hosts_that_were_gone_for_long_are_asked_again_before_a_call_fails() -> None:
    pool = ready_pool(1, 1, since=10)
    for ticket in [enter(pool, 10), enter(pool, 10)]:
        pool.leave(ticket, 10, unreachable())
    waiting = enter(pool, 1000)
    one, other = pool.due(1000)
    pool.failed(one, 1001, unreachable())
    assert waiting.error is None
    pool.failed(other, 1001, unreachable())
    assert isinstance(waiting.error, ServerUnreachable)
    with pytest.raises(ServerUnreachable):
        enter(pool, 1001)  # they were asked a moment ago
    waiting = enter(pool, 2000)
    pool.passed(pool.due(2000)[0], 2000)
    assert waiting.host is one


def test_calls_wait_five_seconds_for_hosts_that_were_there() -> None:
    pool = ready_pool(1, 1)
    for ticket in [enter(pool), enter(pool)]:
        pool.leave(ticket, 1, unreachable())
    waiting: list[Ticket] = []
    for now in (2, 5.5):
        for host in pool.due(now):
            pool.failed(host, now, unreachable())
        waiting.append(enter(pool, now + 0.01))
    assert [ticket.error for ticket in waiting] == [None, None]
    for host in pool.due(20):
        pool.failed(host, 20, unreachable())
    assert all(isinstance(ticket.error, ServerUnreachable) for ticket in waiting)


def test_errors_of_one_kind_stay_of_that_kind() -> None:
    pool = HostPool([parse_address("http://one"), parse_address("http://two")])
    for host in pool.due(0):
        pool.failed(host, 0, RateLimited("slow down"))
    with pytest.raises(RateLimited):
        enter(pool)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (unreachable(), True),
        (ServerBusy("full"), True),
        (ContextOverflow("too long"), False),
        (FirstTokenTimeout("late"), False),
        (StreamStalled("late"), False),
    ],
)
def test_what_is_the_hosts_fault(error: VesselError, fault: bool) -> None:
    assert is_hosts_fault(error) is fault


def test_a_host_is_named_once_however_it_fails_until_it_has_answered_again(caplog: pytest.LogCaptureFixture) -> None:
    (host, *_) = ready_pool(4, 4).hosts
    for error in (ProtocolError("It answers with a web page."), ProtocolError("It is not JSON.")):
        warn(host, error)
    assert len(caplog.messages) == 1
    host.succeed(1.0, ())
    for _ in range(2):
        warn(host, ProtocolError("It is not JSON."))
        host.succeed(2.0, ())
    assert len(caplog.messages) == 2
