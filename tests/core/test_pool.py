"""Which of several hosts takes a call, told by the clock of the test."""

from __future__ import annotations

import gc
import math
import pickle
from typing import Any

import pytest
from vessel_core import Routing
from vessel_core.address import parse_address
from vessel_core.dispatch import DISPATCHER
from vessel_core.errors import InvalidConfig
from vessel_core.hosts import PoolHost
from vessel_core.pool import HostPool
from vessel_core.vetting import beginnings
from vessel_core.wire import Call

from tests.core.pools import answered, enter, places, ready_pool, unreachable


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


def test_nobody_looks_after_hosts_that_only_others_use() -> None:
    mine, others = ready_pool(1, 1), ready_pool(1, 1)
    seated = enter(others)
    assert (mine.busy(10), others.busy(10)) == (False, True)
    answered(others, seated, 11)
    assert (others.busy(11.5), others.busy(13)) == (True, False)


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


def test_slots_are_given_or_said_by_the_server() -> None:
    address = parse_address("http://one")
    said, given = PoolHost(address, None, 1.5), PoolHost(address, 3, 1.5)
    said.learn(8)
    given.learn(8)
    assert (said.slots, said.limit, given.slots, given.limit) == (8, 12, 3, 4)
    assert PoolHost(address, None, 1.5).slots == 4


WRONG: list[dict[str, Any]] = [
    {"slots": [1]},
    {"slots": 0},
    {"slots": "8"},
    {"slots": [8, "2"]},
    {"slots": 1.5},
    {"overcommit": 0.5},
    {"overcommit": "2"},
    {"overcommit": None},
    {"overcommit": math.inf},
    {"overcommit": math.nan},
    {"hang": 0},
    {"hang": "10"},
    {"hang": math.nan},
    {"affinity": "no"},
]


@pytest.mark.parametrize("routing", [Routing(**given) for given in WRONG], ids=str)
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
