"""Several hosts that serve the same model: which one takes the next call. No I/O, and no clock: every step is told the time.

A call goes to the ready host with the smallest `(in flight + 1) / slots`, never above a host's limit; when all are full it
waits, first come first served. A host is vetted before its first call. One that fails is set aside, probed, and taken back:
first for a single call, and wholly when that went well. One that says nothing while calls wait for it is asked how it is;
if that isn't answered either, no more calls go there, and after `Routing.hang` seconds its calls go to another host.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from vessel_core.address import Address
from vessel_core.errors import InvalidConfig, ServerUnreachable, VesselError
from vessel_core.hosts import HostStatus, PoolHost, Routing, Silent, is_hosts_fault
from vessel_core.types import ModelInfo

GRACE = 5.0
"""Seconds that calls wait for a host to come back when all of them are gone, if one was there before."""

LINGER = 1.0
"""Seconds without a call after which nobody needs to look after the hosts."""


class Ticket:
    """A call's place at a host. Without a `host` it waits, and `wake` is called when it has one, or an `error`.

    `abort` ends a call of which nothing has come yet; `lost` tells that this was done. A ticket that is dropped leaves.
    """

    __slots__ = (
        "__weakref__",
        "_pool",
        "abort",
        "counted",
        "era",
        "error",
        "gone",
        "heard",
        "host",
        "lost",
        "prefix",
        "wake",
    )

    def __init__(self, pool: HostPool, prefix: Sequence[int], counted: bool) -> None:
        self._pool = pool
        self.era: object = pool.era
        self.prefix: Sequence[int] = prefix
        self.counted: bool = counted
        self.wake: Callable[[], None] = _nobody
        self.host: PoolHost | None = None
        self.error: VesselError | None = None
        self.abort: Callable[[], None] | None = None
        self.gone: bool = False
        self.heard: bool = False
        self.lost: bool = False

    @property
    def at(self) -> PoolHost:
        """The host, of a ticket that has one."""
        assert self.host is not None  # noqa: S101 - who waits has no business here
        return self.host

    def __del__(self) -> None:
        if not self.gone:
            self._pool.leave(self, self.host.heard if self.host else 0.0)


def _nobody() -> None:
    """Wake nobody: a ticket that had its host at once is waited for by no one."""


class HostPool:
    """See the module. Safe in threads; a pickle holds addresses and routing, and nothing that was learnt."""

    def __init__(self, addresses: Sequence[Address], routing: Routing | None = None) -> None:
        self.routing: Routing = routing or Routing()
        if len({address.root for address in addresses}) < len(addresses):
            raise InvalidConfig(f"base_url names a host twice: {', '.join(each.root for each in addresses)}.")
        slots = self.routing.slots_of(len(addresses))
        self.addresses: tuple[Address, ...] = tuple(addresses)
        self.hosts: list[PoolHost] = [
            PoolHost(address, each, self.routing.overcommit) for address, each in zip(addresses, slots, strict=True)
        ]
        self._first: tuple[PoolHost, Sequence[ModelInfo]] | None = None
        self.renew()
        _POOLS.add(self)

    def renew(self) -> None:
        """Begin without calls: at first, and in a forked child, whose parent's calls are not its own."""
        self.era: object = object()
        self._lock = threading.RLock()
        self._waiting: deque[Ticket] = deque()
        self._looking: deque[Ticket] = deque()
        self._turn = 0
        self._used = 0.0
        self._had = False
        self._gone_since = 0.0
        self._serving = self._owed = False
        for host in self.hosts:
            host.in_flight, host.claimed = 0, None
            host.waiting.clear()

    # ------------------------------------------------------------ calls

    def enter(
        self, now: float, wake: Callable[[], None], prefix: Sequence[int] = (), *, counted: bool = True
    ) -> Ticket:
        """Return a place for a call, or one in the queue; raise why no host can be used.

        A call that is not `counted` only asks something, and needs no slot.
        """
        ticket = Ticket(self, prefix, counted)
        with self._lock:
            self._used = now
            (self._waiting if counted else self._looking).append(ticket)
            self._serve(now)
            if ticket.host is None:
                ticket.wake = wake
                try:
                    self._check_hope(now)
                except VesselError:
                    ticket.gone = True
                    raise
        return ticket

    def hear(self, ticket: Ticket, now: float) -> None:
        """Note that a call's reply has begun: from here on it stays where it is."""
        ticket.heard, ticket.abort = True, None
        host = ticket.at
        host.hear(now)
        with self._lock:
            host.waiting.discard(ticket)

    def leave(self, ticket: Ticket, now: float, error: VesselError | None = None, after: float = 0.0) -> None:
        """Give a place back; with an `error` that is the host's fault, set it aside, for `after` seconds at least."""
        with self._lock:
            if ticket.gone or ticket.era is not self.era:
                return
            ticket.gone = True
            self._used = now
            if (host := ticket.host) is None:
                return
            host.in_flight -= ticket.counted
            host.waiting.discard(ticket)
            if error is not None:
                host.failed += 1
                self._set_aside(host, now, error, after)
            elif ticket.heard:
                host.succeed(now, ticket.prefix)
            self._serve(now)

    def elsewhere(self, error: VesselError) -> bool:
        """Tell whether another host can take a call at once that failed with this error."""
        return is_hosts_fault(error) and any(host.usable for host in self.hosts)

    # ------------------------------------------------------------ looking after the hosts

    def busy(self, now: float) -> bool:
        """Tell whether anybody needs the hosts to be looked after."""
        with self._lock:
            under_way = any(host.in_flight or host.waiting for host in self.hosts)
            return under_way or bool(self._waiting or self._looking) or now - self._used < LINGER

    def due(self, now: float) -> list[PoolHost]:
        """Return the hosts to probe now; whoever asks first does it, and tells `passed` or `failed`."""
        with self._lock:
            found = [host for host in self.hosts if host.due(now)]
            for host in found:
                host.claimed = now
            return found

    def passed(self, host: PoolHost, now: float, slots: int | None = None) -> None:
        """Take in a host that can be used."""
        with self._lock:
            host.pass_probe(now, slots)
            host.claimed = None
            self._had = True
            self._serve(now)

    def failed(self, host: PoolHost, now: float, error: VesselError) -> None:
        """Set aside a host that did not pass its probe."""
        with self._lock:
            if host.state in ("ready", "trial") and not (isinstance(error, ServerUnreachable) and error.refused):
                error = Silent(f"It says nothing, its health page neither: {error.message}")
            self._set_aside(host, now, error)
            host.claimed = None
            if self._none_ready():
                self._give_up(now)

    def hung(self, now: float) -> list[Ticket]:
        """Return the calls to abort: those that wait for a host that says nothing, while another one is there."""
        with self._lock:
            if self._none_ready():
                self._give_up(now)
                return []
            hanging = [host for host in self.hosts if host.state == "aside" and now - host.heard >= self.routing.hang]
            lost = [ticket for host in hanging for ticket in host.waiting if ticket.abort is not None]
            for ticket in lost:
                ticket.lost = True
            return lost

    def measure(self, host: PoolHost, models: Sequence[ModelInfo]) -> Sequence[ModelInfo]:
        """Return the models that a host's are measured by: those of the first one, while it or another one is there."""
        with self._lock:
            if (
                self._first is None
                or self._first[0] is host
                or (self._first[0].state == "aside" and self._none_ready())
            ):
                self._first = (host, models)
            return self._first[1]

    def statuses(self) -> list[HostStatus]:
        """Return how the hosts are."""
        with self._lock:
            return [host.status() for host in self.hosts]

    # ------------------------------------------------------------ within the lock

    def _choose(self, ticket: Ticket) -> PoolHost | None:
        if not ticket.counted:
            return min((host for host in self.hosts if host.usable), key=lambda host: host.load, default=None)
        free = [host for host in self.hosts if host.usable and host.in_flight < host.limit]
        if not free:
            return None
        if ticket.prefix:
            parts = {host: host.known_part(ticket.prefix) for host in free if host.load <= 1}
            longest = max(parts.values(), default=0)
            if longest:
                free = [host for host, part in parts.items() if part == longest]
        self._turn += 1  # of equals another one each time
        return min(free, key=lambda host: (host.load, (self.hosts.index(host) + self._turn) % len(self.hosts)))

    def _seat(self, ticket: Ticket, host: PoolHost, now: float) -> None:
        if not host.waiting:
            host.heard = max(host.heard, now)  # nobody expected anything of it before
        ticket.host = host
        host.in_flight += ticket.counted
        host.waiting.add(ticket)

    def _serve(self, now: float) -> None:
        """Give free places to who waits. The garbage collector may end a call in the middle of it: that is seen to after."""
        self._owed = True
        if self._serving:
            return
        self._serving = True
        try:
            while self._owed:
                self._owed = False
                self._serve_queue(self._looking, now)
                self._serve_queue(self._waiting, now)
        finally:
            self._serving = False

    def _serve_queue(self, queue: deque[Ticket], now: float) -> None:
        while queue:
            ticket = queue.popleft()
            if ticket.gone:
                continue
            if (host := self._choose(ticket)) is None:
                queue.appendleft(ticket)
                return
            self._seat(ticket, host, now)
            ticket.wake()

    def _none_ready(self) -> bool:
        return all(host.state in ("new", "aside") for host in self.hosts)

    def _set_aside(self, host: PoolHost, now: float, error: VesselError, after: float = 0.0) -> None:
        if not self._none_ready():
            self._gone_since = now
        host.fail(now, error, after)
        if self._none_ready():
            self._give_up(now)

    def _give_up(self, now: float) -> None:
        """Tell those who wait for a host when there is no hope."""
        try:
            self._check_hope(now)
        except VesselError:
            for queue in (self._looking, self._waiting):
                while queue:
                    ticket = queue.popleft()
                    ticket.error = self._no_host()
                    ticket.wake()

    def _check_hope(self, now: float) -> None:
        """Raise why no host can be used, unless one may soon: also one that is about to be asked again."""
        hopeful = any(host.state != "aside" or host.claimed is not None or host.due(now) for host in self.hosts)
        if not hopeful and not (self._had and now - self._gone_since < GRACE):
            raise self._no_host()

    def _no_host(self) -> VesselError:
        """Return an error that says what is wrong with each host, of the kind of the last one's."""
        errors = [(host.address.root, host.error) for host in self.hosts if host.error is not None]
        kinds = {type(error) for _, error in errors}
        said = "".join(f"\n  {root}: {error.message}" for root, error in errors)
        message = f"None of the {len(self.hosts)} hosts can be used:{said}"
        last = errors[-1][1]
        cls = type(last) if len(kinds) == 1 and kinds != {Silent} else ServerUnreachable
        return cls(message, hint=last.hint, url=", ".join(root for root, _ in errors), response=last.response)

    def __repr__(self) -> str:
        states = self.statuses()
        ready = sum(status.state == "ready" for status in states)
        return f"HostPool({ready} of {len(states)} ready: {', '.join(map(str, states))})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (HostPool, (tuple(Address(address.root) for address in self.addresses), self.routing))


_POOLS: weakref.WeakSet[HostPool] = weakref.WeakSet()


def _renew_pools() -> None:
    for pool in _POOLS:
        pool.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_pools)
