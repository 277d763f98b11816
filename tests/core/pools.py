"""Pools for tests, told by the clock of the test."""

from __future__ import annotations

from collections.abc import Sequence

from vessel_core import Routing
from vessel_core.address import parse_address
from vessel_core.dispatch import Ticket
from vessel_core.errors import ServerUnreachable
from vessel_core.pool import HostPool


def ready_pool(*slots: int, since: float = 0, **routing: object) -> HostPool:
    """A pool whose hosts have passed their first probe just now."""
    addresses = [parse_address(f"http://host-{number}") for number in range(len(slots))]
    pool = HostPool(addresses, Routing(slots=slots, **routing))  # type: ignore[arg-type]
    for host in pool.due(since):
        pool.passed(host, since)
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
