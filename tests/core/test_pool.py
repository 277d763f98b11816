"""Which of several hosts takes a call, told by the clock of the test."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Sequence

import pytest
from vessel_core import Client, Routing
from vessel_core.address import parse_address
from vessel_core.backends import find_backend
from vessel_core.dispatch import DISPATCHER, Ticket
from vessel_core.errors import ContextOverflow, InvalidConfig, RateLimited, ServerBusy, ServerUnreachable, VesselError
from vessel_core.hosts import PoolHost, is_hosts_fault
from vessel_core.pool import HostPool
from vessel_core.target import Server
from vessel_core.vetting import beginnings, probe
from vessel_core.wire import Call, Reply


def ready_pool(*slots: int, **routing: object) -> HostPool:
    """A pool whose hosts have passed their first probe at the time 0."""
    addresses = [parse_address(f"http://host-{number}") for number in range(len(slots))]
    pool = HostPool(addresses, Routing(slots=slots, **routing))  # type: ignore[arg-type]
    for host in pool.due(0):
        pool.passed(host, 0)
    return pool


def enter(pool: HostPool, now: float = 0, prefix: Sequence[int] = ()) -> Ticket:
    return pool.enter(now, lambda: None, prefix)


def answered(pool: HostPool, ticket: Ticket, now: float = 0) -> None:
    pool.hear(ticket, now)
    pool.leave(ticket, now)


def places(pool: HostPool, tickets: Sequence[Ticket]) -> list[int]:
    return [pool.hosts.index(ticket.host) if ticket.host else -1 for ticket in tickets]


def unreachable(message: str = "gone") -> ServerUnreachable:
    return ServerUnreachable(message)


def test_calls_fill_free_slots_in_proportion() -> None:
    pool = ready_pool(8, 2)
    tickets = [enter(pool) for _ in range(10)]
    assert [places(pool, tickets).count(number) for number in (0, 1)] == [8, 2]
    assert places(pool, [enter(pool)]) != [-1]  # above the slots, below the limit


def test_equal_hosts_take_turns() -> None:
    pool = ready_pool(4, 4, 4)
    seen: list[int] = []
    for _ in range(6):
        ticket = enter(pool)
        seen += places(pool, [ticket])
        answered(pool, ticket)
    assert sorted(seen) == [0, 0, 1, 1, 2, 2]


def test_a_host_has_never_more_than_its_limit_and_the_rest_waits_in_order() -> None:
    pool = ready_pool(2, 1, overcommit=1.5)
    woken: list[str] = []
    seated = [enter(pool) for _ in range(4)]
    assert [host.in_flight for host in pool.hosts] == [host.limit for host in pool.hosts] == [3, 1]
    waiting = [pool.enter(0, lambda name=name: woken.append(name)) for name in ("first", "second")]
    assert places(pool, waiting) == [-1, -1]
    answered(pool, seated[0])
    answered(pool, seated[1])
    assert woken == ["first", "second"]
    assert -1 not in places(pool, waiting)


def test_pools_of_one_host_are_served_first_come_first_served() -> None:
    pools = [ready_pool(1, 1, overcommit=1) for _ in range(2)]
    seated = [enter(pools[0]), enter(pools[1])]
    assert {ticket.at.address.root for ticket in seated} == {"http://host-0", "http://host-1"}
    waiting = [enter(pools[number % 2]) for number in range(4)]
    assert [ticket.host for ticket in waiting] == [None] * 4
    seated += waiting
    for number in range(4):
        answered(pools[number % 2], seated[number])
        assert [ticket.host is not None for ticket in waiting] == [at <= number for at in range(4)]


def test_a_call_goes_to_no_host_that_failed_it_while_there_is_another_one() -> None:
    pool = ready_pool(8, 1, overcommit=1)
    failed = frozenset({"http://host-0"})
    seated = pool.enter(0, lambda: None, avoid=failed)
    waiting = pool.enter(0, lambda: None, avoid=failed)
    assert places(pool, [seated, waiting, enter(pool)]) == [1, -1, 0]
    answered(pool, seated)
    assert places(pool, [waiting]) == [1]
    pool.leave(waiting, 0, unreachable())
    assert places(pool, [pool.enter(0, lambda: None, avoid=failed)]) == [0]


def test_a_pool_whose_hosts_are_full_holds_no_other_pool_up() -> None:
    full, other = (
        ready_pool(1, 1, overcommit=1),
        HostPool([parse_address("http://c"), parse_address("http://d")], Routing(1, 1)),
    )
    for host in other.due(0):
        other.passed(host, 0)
    seated = [enter(pool) for pool in (full, full, other, other)]
    first, second = enter(full), enter(other)
    answered(other, seated[2])
    assert (first.host, second.host) == (None, seated[2].host)


def test_who_gives_up_waiting_takes_no_place() -> None:
    pool = ready_pool(1, 1, overcommit=1)
    seated = [enter(pool), enter(pool)]
    gives_up, stays = enter(pool), enter(pool)
    pool.leave(gives_up, 0)
    answered(pool, seated[0])
    assert gives_up.host is None
    assert stays.host is not None


def test_a_dropped_call_gives_its_place_back() -> None:
    pool = ready_pool(1, 1)
    ticket = enter(pool)
    assert sum(host.in_flight for host in pool.hosts) == 1
    del ticket
    gc.collect()
    assert sum(host.in_flight for host in pool.hosts) == 0


def test_a_call_of_the_parent_gives_nothing_back_in_a_forked_child() -> None:
    pool = ready_pool(1, 1)
    ticket = enter(pool)
    DISPATCHER.renew()
    answered(pool, ticket)
    assert [host.in_flight for host in pool.hosts] == [0, 0]


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
    pool = ready_pool(4, 4, hang=10)
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
    pool = ready_pool(4, 4)
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
    pool = ready_pool(4, 4)
    ticket = enter(pool, 100)
    pool.due(101)
    pool.failed(ticket.at, 103, unreachable())
    answered(pool, ticket, 104)
    assert ticket.at.status().state == "ready"


def test_calls_of_the_only_host_are_not_given_up() -> None:
    pool = ready_pool(4, 4)
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
    pool = ready_pool(1, 1)
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
    pool = ready_pool(1, 1)
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


def test_a_call_that_ends_while_places_are_given_away_takes_nobodys_place() -> None:
    """As the garbage collector may end one, in whatever thread and at whatever line."""
    pool = ready_pool(1, 1, overcommit=1)
    seated = [enter(pool), enter(pool)]
    first = pool.enter(0, lambda: answered(pool, seated[1]))
    second = enter(pool)
    answered(pool, seated[0])
    assert sorted(places(pool, [first, second])) == [0, 1]
    for ticket in (first, second):
        answered(pool, ticket)
    assert [host.in_flight for host in pool.hosts] == [0, 0]


def test_errors_of_one_kind_stay_of_that_kind() -> None:
    pool = HostPool([parse_address("http://one"), parse_address("http://two")])
    for host in pool.due(0):
        pool.failed(host, 0, RateLimited("slow down"))
    with pytest.raises(RateLimited):
        enter(pool)


def test_what_only_asks_needs_no_place() -> None:
    pool = ready_pool(1, 1, overcommit=1)
    full = [enter(pool), enter(pool)]
    assert pool.enter(0, lambda: None, counted=False).host is not None
    assert -1 not in places(pool, full)


def test_a_prompt_goes_where_its_beginning_is_cached_while_there_is_a_slot() -> None:
    pool = ready_pool(2, 2, affinity=True)
    first = enter(pool, prefix=[1, 2, 3])
    home = first.at
    answered(pool, first)
    again = [enter(pool, prefix=[1, 2, 3, 4]) for _ in range(3)]
    assert [ticket.at is home for ticket in again] == [True, True, False]  # rather another host than a queue


def test_a_beginning_that_all_share_draws_nobody() -> None:
    pool = ready_pool(4, 4, affinity=True)
    for ticket in [enter(pool, prefix=[1, number]) for number in range(4)]:
        answered(pool, ticket)
    assert {ticket.at for ticket in [enter(pool, prefix=[1, number]) for number in (8, 9)]} == set(pool.hosts)


def test_prompts_share_their_beginning_in_steps() -> None:
    turns = [{"role": "user", "content": "a" * 1000}]
    first = beginnings(Call("POST", "/v1/chat/completions", {"messages": turns}, stream=True))
    more = [*turns, {"role": "assistant", "content": "b" * 500}]
    second = beginnings(Call("POST", "/v1/chat/completions", {"messages": more}, stream=True))
    assert len(first) < len(second)
    assert second[: len(first) - 1] == first[:-1]
    assert beginnings(Call("POST", "/v1/embeddings", {"input": ["a" * 1000]})) == []


@pytest.mark.parametrize(
    ("error", "fault"),
    [(unreachable(), True), (ServerBusy("full"), True), (ContextOverflow("too long"), False)],
)
def test_what_is_the_hosts_fault(error: VesselError, fault: bool) -> None:
    assert is_hosts_fault(error) is fault


def test_slots_are_given_or_said_by_the_server() -> None:
    address = parse_address("http://one")
    said, given = PoolHost(address, None, 1.5), PoolHost(address, 3, 1.5)
    said.learn(8)
    given.learn(8)
    assert (said.slots, said.limit, given.slots, given.limit) == (8, 12, 3, 4)
    assert PoolHost(address, None, 1.5).slots == 4


@pytest.mark.parametrize(
    "routing", [Routing(slots=[1]), Routing(slots=0), Routing(overcommit=0.5), Routing(hang=0)], ids=str
)
def test_routing_that_can_not_be_right_is_refused(routing: Routing) -> None:
    with pytest.raises(InvalidConfig):
        HostPool([parse_address("http://one"), parse_address("http://two")], routing)


def test_a_host_that_is_named_twice_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="twice"):
        HostPool([parse_address("http://one"), parse_address("http://one/v1")])


def test_a_pool_shows_its_hosts_and_pickles_without_logins() -> None:
    pool = HostPool([parse_address("http://ann:secret@one"), parse_address("http://two")], Routing(slots=2))
    assert repr(pool) == "HostPool(0 of 2 ready: http://one new 0/2, http://two new 0/2)"
    pickled = pickle.dumps(pool)
    assert b"secret" not in pickled
    assert b"YW5u" not in pickled  # base64 of ann
    assert [status.base_url for status in pickle.loads(pickled).statuses()] == ["http://one", "http://two"]
