"""Several hosts that serve the same model: which one takes the next call. No I/O, and no clock: every step is told the time.

A call goes to the ready host with the smallest `(in flight + 1) / slots`, never above a host's limit; when all are full it
waits, first come first served. A host is vetted before its first call. One that fails is set aside, probed, and taken back:
first for a single call, and wholly when that went well. One that says nothing while calls wait for it is asked how it is;
if that isn't answered either, no more calls go there, and after `Routing.hang` seconds its calls go to another host.

An error that may be the host's or the call's fault (a 500, a 401, a web page) sets a host aside too, and the call goes to
another one: if that answers, the first host is to blame, and a warning says so; if all fail alike, the call is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from vessel_core.address import Address, parse_address
from vessel_core.dispatch import DISPATCHER, Ticket
from vessel_core.errors import InvalidConfig, ServerUnreachable, VesselError
from vessel_core.hosts import LINGER, HostStatus, Measure, PoolHost, Routing, Silent, is_hosts_fault, may_be_hosts_fault
from vessel_core.types import ModelInfo
from vessel_core.verdict import blame, moved, retried, suspect, warn
from vessel_core.wire import Call

GRACE = 5.0
"""Seconds that calls wait for a host to come back when all of them are gone, if one was there before."""


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
        self._measure: Measure | None = None
        self.renew()
        DISPATCHER.pools.add(self)

    def renew(self) -> None:
        """Begin without calls: at first, and in a forked child."""
        self.era: object = object()
        self._waiting: deque[Ticket] = deque()
        self._looking: deque[Ticket] = deque()
        self._under_way = 0
        self._turn = 0
        self._used = 0.0
        self._had = False
        self._gone_since = 0.0
        for host in self.hosts:
            host.claimed = None
            host.waiting.clear()

    # ------------------------------------------------------------ calls

    def enter(
        self,
        now: float,
        wake: Callable[[], None],
        prefix: Sequence[int] = (),
        *,
        counted: bool = True,
        longest: float | None = None,
        avoid: frozenset[str] = frozenset(),
    ) -> Ticket:
        """Return a place for a call, or one in the queue; raise why no host can be used.

        A call that is not `counted` only asks something, and needs no slot. `longest` is how many seconds it may take to
        begin, `avoid` the URLs of hosts that failed it.
        """
        patience = min(self.routing.hang, math.inf if longest is None else longest / 2)
        ticket = Ticket(self, prefix, counted, patience, avoid)
        with DISPATCHER.lock:
            self._used = now
            if doubtful := [host for host in self.hosts if host.doubtful(now)]:
                self._gone_since = now
                for host in doubtful:
                    host.state = "new"
            (self._waiting if counted else self._looking).append(ticket)
            DISPATCHER.queueing.add(self)
            DISPATCHER.serve(now)
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
        with DISPATCHER.lock:
            host.waiting.discard(ticket)

    def leave(self, ticket: Ticket, now: float, error: VesselError | None = None, after: float = 0.0) -> None:
        """Give a place back; with an `error` that is or may be the host's fault, set it aside, for `after` seconds at least."""
        with DISPATCHER.lock:
            if ticket.gone or ticket.era is not self.era:
                return
            ticket.gone = True
            self._used = now
            if (host := ticket.host) is None:
                return
            self._under_way -= 1
            host.places.taken -= ticket.counted
            host.waiting.discard(ticket)
            if error is not None:
                host.failed += 1
                if is_hosts_fault(error):
                    self._set_aside(host, now, error, after)
                elif ticket.counted:  # what is only looked at is asked of no other host, so that nothing would tell
                    suspect(self.hosts, host, now, error)
            elif ticket.heard:
                host.succeed(now, ticket.prefix)
                if ticket.good:
                    blame(self.hosts, ticket.avoid)
            DISPATCHER.serve(now)

    def elsewhere(self, call: Call, error: VesselError) -> Call | None:
        """Return a call that failed as one for another host, if one can take it soon and may do better."""
        with DISPATCHER.lock:
            return moved(self.hosts, call, error)

    def retried(self, tried: frozenset[str], error: VesselError) -> frozenset[str] | None:
        """Return the URLs of the hosts to avoid, after these and an error; `None` if no other can take it soon or do better."""
        with DISPATCHER.lock:
            return retried(self.hosts, tried, error)

    # ------------------------------------------------------------ looking after the hosts

    def busy(self, now: float) -> bool:
        """Tell whether anybody needs the hosts to be looked after."""
        with DISPATCHER.lock:
            return bool(self._under_way or self._waiting or self._looking) or now - self._used < LINGER

    def due(self, now: float) -> list[PoolHost]:
        """Return the hosts to probe now; whoever asks first does it, and tells `passed` or `failed`."""
        with DISPATCHER.lock:
            found = [host for host in self.hosts if host.due(now)]
            for host in found:
                host.claimed = now
            return found

    def passed(self, host: PoolHost, now: float, slots: int | None = None) -> None:
        """Take in a host that can be used."""
        with DISPATCHER.lock:
            host.pass_probe(now, slots)
            host.claimed = None
            self._had = True
            DISPATCHER.serve(now)

    def failed(self, host: PoolHost, now: float, error: VesselError) -> None:
        """Set aside a host that did not pass its probe."""
        with DISPATCHER.lock:
            if host.state in ("ready", "trial") and not (isinstance(error, ServerUnreachable) and error.refused):
                error = Silent(f"It says nothing, its health page neither: {error.message}")
            self._set_aside(host, now, error)
            host.claimed = None
            if may_be_hosts_fault(error) or isinstance(error, InvalidConfig):
                warn(host, error)
            if self._none_ready():
                self._give_up(now)

    def hung(self, now: float) -> list[Ticket]:
        """Return the calls to abort: those that wait for a host that says nothing, while another one is there."""
        with DISPATCHER.lock:
            if self._none_ready():
                self._give_up(now)
                return []
            waiting = [(host, ticket) for host in self.hosts if host.state == "aside" for ticket in host.waiting]
            lost = [ticket for host, ticket in waiting if ticket.abort and now - host.heard >= ticket.patience]
            for ticket in lost:
                ticket.lost = True
            return lost

    def measure(self, host: PoolHost, models: Sequence[ModelInfo]) -> Measure:
        """Return what a host's models are measured by: those of the first one, for as long as this pool lives."""
        with DISPATCHER.lock:
            if self._measure is None:
                self._measure = Measure(host, models)
            return self._measure

    def measured_by(self) -> PoolHost:
        """Return the host that the others are measured by, once there is one."""
        assert self._measure is not None  # noqa: S101 - who asks has been measured
        return self._measure.host

    def statuses(self) -> list[HostStatus]:
        """Return how the hosts are."""
        with DISPATCHER.lock:
            return [host.status() for host in self.hosts]

    # ------------------------------------------------------------ within the lock

    def _choose(self, ticket: Ticket) -> PoolHost | None:
        usable = [host for host in self.hosts if host.usable]
        if ticket.avoid:
            usable = [host for host in usable if host.address.root not in ticket.avoid] or usable
        if not ticket.counted:
            return min(usable, key=lambda host: host.load, default=None)
        free = [host for host in usable if host.in_flight < host.limit]
        if not free:
            return None
        if ticket.prefix:
            parts = {host: host.known_part(ticket.prefix) for host in free if host.load <= 1}
            longest = max(parts.values(), default=0)
            if longest:
                free = [host for host, part in parts.items() if part == longest]
        self._turn += 1  # of equals another one each time
        return min(free, key=lambda host: (host.load, (self.hosts.index(host) + self._turn) % len(self.hosts)))

    def first_come(self) -> int:
        """Return the number of the call that has waited longest."""
        return min((queue[0].number for queue in (self._waiting, self._looking) if queue), default=0)

    def seat(self, now: float) -> None:
        """Give free places to who waits here."""
        for queue in (self._looking, self._waiting):
            held: list[Ticket] = []
            while queue:
                ticket = queue.popleft()
                if ticket.gone:
                    continue
                if (host := self._choose(ticket)) is None:
                    held.append(ticket)
                    if ticket.avoid:  # the place it can't take may be another's
                        continue
                    break
                if not host.waiting:
                    host.heard = max(host.heard, now)  # nobody expected anything of it before
                ticket.host = host
                host.places.taken += ticket.counted
                self._under_way += 1
                host.waiting.add(ticket)
                ticket.wake()
            queue.extendleft(reversed(held))
        if not self._looking and not self._waiting:
            DISPATCHER.queueing.discard(self)

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
        return (_rebuilt, (" ".join(address.root for address in self.addresses), self.routing))


def _rebuilt(roots: str, routing: Routing) -> HostPool:
    return HostPool([parse_address(root) for root in roots.split()], routing)
