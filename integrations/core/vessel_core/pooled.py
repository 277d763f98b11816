"""Calls on several hosts: `Transport` over a pool of them; `async_pooled` is the async twin."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import TypedDict

from vessel_core.dispatch import Ticket
from vessel_core.drive import run
from vessel_core.errors import FirstTokenTimeout, ProtocolError, ServerTimeout, VesselError
from vessel_core.hiding import hide_in
from vessel_core.hosts import PoolHost, Silent, is_hosts_fault, may_be_hosts_fault
from vessel_core.pool import HostPool
from vessel_core.retry import Retries
from vessel_core.target import Target
from vessel_core.transport.begun import begin_body
from vessel_core.transport.incoming import Incoming
from vessel_core.transport.sync_shell import HTTPTransport, Transport
from vessel_core.types import Timeout
from vessel_core.verdict import tried_by
from vessel_core.vetting import OfFirst, beginnings, probe
from vessel_core.wire import Call, Reply
from vessel_core.wire.failures import error_from, retry_after

TICK = 0.05
"""Seconds between two looks after the hosts, while calls are under way."""

LONGEST_ASIDE = 60.0
"""Seconds that a host is left alone at most because it asked for it."""

WAKING = Call("GET", "/")
PROBE = Retries(most=0, timeout=Timeout(connect=2.0, request=2.0, load=0.0))


class PooledTransport(Transport):
    """Makes each call on the host that the pool says. A thread looks after the hosts while there are calls."""

    def __init__(self, target: Target, pool: HostPool, http_transport: HTTPTransport | None = None) -> None:
        self._target = target
        self._host_pool = pool
        self._http_transport = http_transport
        self.era = threading.Event()
        self._hosts = {host: target.connection(host.address).transport(http_transport) for host in pool.hosts}
        self._renew()

    def _renew(self) -> None:
        self._pid = os.getpid()
        self._starting = threading.Lock()
        self._warden: threading.Thread | None = None

    def meet(self) -> None:
        """Wait until a host can be used."""
        self._host_pool.leave(self._enter(WAKING, self._target.timeout), time.monotonic())

    @contextmanager
    def open(self, call: Call, timeout: Timeout) -> Generator[Incoming]:
        """Make a call on the host that has the most room; its place is given back when the context is left."""
        ticket = self._enter(call, timeout)
        transport, fault = self._hosts[ticket.at], None
        ticket.abort = transport.hang_up
        try:
            with transport.open(call, timeout) as incoming:
                fault = refusal(incoming, begin_body(incoming), self._target)
                begin(self._host_pool, ticket, incoming)
                yield incoming
        except VesselError as error:
            lost = lost_error(ticket, error, self._host_pool)
            fault = fault or fault_in(lost)
            if lost is not error:
                raise lost from None
            raise
        finally:
            self._host_pool.leave(ticket, time.monotonic(), fault, asked_pause(fault))

    def hang_up(self) -> None:
        """Shut all connections down, at every host; what was asked before is not asked again."""
        self._begin_era()
        for transport in self._hosts.values():
            transport.hang_up()

    def close(self) -> None:
        """Close all connections; calls that other threads have under way end."""
        self.hang_up()
        for transport in self._hosts.values():
            transport.close()

    def _enter(self, call: Call, timeout: Timeout) -> Ticket:
        woken = threading.Event()
        ticket = self._host_pool.enter(time.monotonic(), woken.set, **place_for(call, timeout, self._host_pool))
        try:
            self._look_after()
            if ticket.host is None and not woken.wait(call.longest(timeout)):
                raise none_free(call)
            if ticket.error is not None:
                raise ticket.error
        except BaseException:
            self._host_pool.leave(ticket, time.monotonic())
            raise
        return ticket

    def _look_after(self) -> None:
        if self._pid != os.getpid():
            self._renew()
        if self._warden is None:
            with self._starting:
                if self._warden is None:
                    self._warden = threading.Thread(target=self._watch, name="vessel-hosts", daemon=True)
                    self._warden.start()

    def _watch(self) -> None:
        """Probe and rescue until nobody has needed it for a while."""
        while True:
            now = time.monotonic()
            for host in self._host_pool.due(now):
                threading.Thread(target=self._probe, args=(host,), name="vessel-probe", daemon=True).start()
            for ticket in self._host_pool.hung(now):
                if (abort := ticket.abort) is not None:
                    abort()
            with self._starting:
                if not self._host_pool.busy(now):
                    self._warden = None
                    return
            time.sleep(TICK)

    def _probe(self, host: PoolHost) -> None:
        try:
            with closing(_Probing(self._target.connection(host.address), self._http_transport)) as transport:
                transport.first = lambda: self._hosts[self._host_pool.measured_by()]
                slots = run(probe(self._target, self._host_pool, host), transport, patient_probe(host))
        except Exception as error:  # noqa: BLE001 - whatever it is: calls may wait for the result
            self._host_pool.failed(host, time.monotonic(), shown(error, self._target))
        else:
            self._host_pool.passed(host, time.monotonic(), slots)


class _Probing(Transport):
    """The connection of a probe, which also asks the host that the others are measured by."""

    first: Callable[[], Transport]

    def send(self, call: Call, timeout: Timeout) -> Reply:
        return self.first().send(call, timeout) if isinstance(call, OfFirst) else super().send(call, timeout)


def patient_probe(host: PoolHost) -> Retries:
    """Return how long a probe may take: not longer than the calls that wait for its host will wait."""
    longest = host.patience / 2
    timeout = PROBE.timeout
    return replace(
        PROBE,
        timeout=Timeout(
            connect=min(longest, timeout.connect or longest), request=min(longest, timeout.request or longest), load=0.0
        ),
    )


class PlaceOptions(TypedDict):
    """What `HostPool.enter` takes by name."""

    prefix: Sequence[int]
    counted: bool
    longest: float | None
    avoid: frozenset[str]


def place_for(call: Call, timeout: Timeout, pool: HostPool) -> PlaceOptions:
    """Return what kind of place a call needs."""
    return {
        "prefix": beginnings(call) if pool.routing.affinity else (),
        "counted": call.method != "GET",
        "longest": call.longest(timeout),
        "avoid": tried_by(call),
    }


def begin(pool: HostPool, ticket: Ticket, incoming: Incoming) -> None:
    """Note that a reply has begun, and let each of its reads be noted."""
    host = ticket.at
    pool.hear(ticket, time.monotonic())
    incoming.reply = replace(incoming.reply, url=host.address.root)
    incoming.heard = partial(_hear, host)
    ticket.good = incoming.good


def _hear(host: PoolHost) -> None:
    host.hear(time.monotonic())


def refusal(incoming: Incoming, first: bytes, target: Target) -> VesselError | None:
    """Return what a reply that is no good says of its host, by its status and `first` bytes; raise for a web page, which is
    nobody's answer."""
    if incoming.good:
        if incoming.reply.headers.get("content-type", "").startswith("text/html"):
            raise ProtocolError("It answers with a web page.", hint="Is this the URL of an LLM server?")
        return None
    fault = fault_in(error_from(replace(incoming.reply, body=first)))
    return fault and shown(fault, target)


def fault_in(error: VesselError) -> VesselError | None:
    """Return an error that is the host's fault, or may be."""
    return error if is_hosts_fault(error) or may_be_hosts_fault(error) else None


def asked_pause(fault: VesselError | None) -> float:
    """Return how many seconds a host asked to be left alone."""
    asked = retry_after(fault.response.headers) if fault is not None and fault.response else None
    return min(asked or 0.0, LONGEST_ASIDE)


def lost_error(ticket: Ticket, error: BaseException, pool: HostPool) -> VesselError:
    """Return an error with its host on it; what ended because it was aborted is the silence of its host."""
    if ticket.lost and not ticket.heard:
        error = Silent(f"It said nothing for {pool.routing.hang:g} s, its health page neither.")
    assert isinstance(error, VesselError)  # noqa: S101 - others are never lost
    error.url = error.url or ticket.at.address.root
    return error


def none_free(call: Call) -> VesselError:
    """Return the error of a call for which no host became free."""
    message = "No host became free in time: all have as many calls as their limit allows."
    hint = "Send fewer at once, add hosts, or raise `Routing(overcommit=…)`."
    return FirstTokenTimeout(message, hint=hint) if call.stream else ServerTimeout(message, hint=hint)


def shown(error: Exception, target: Target) -> VesselError:
    """Return an error that may be shown with a host's state."""
    found = error if isinstance(error, VesselError) else VesselError(f"{type(error).__name__}: {error}")
    hide_in(found, target.secrets())
    return found
