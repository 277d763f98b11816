"""Calls on several hosts: `AsyncTransport` over a pool of them, the twin of `pooled`."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress

from vessel_core.async_drive import arun
from vessel_core.dispatch import Ticket
from vessel_core.errors import VesselError
from vessel_core.hosts import PoolHost
from vessel_core.pool import HostPool
from vessel_core.pooled import (
    TICK,
    WAKING,
    asked_pause,
    begin,
    fault_in,
    lost_error,
    none_free,
    patient_probe,
    place_for,
    refusal,
    shown,
)
from vessel_core.target import Target
from vessel_core.transport.async_shell import AsyncHTTPTransport, AsyncTransport, Eras
from vessel_core.transport.begun import abegin_body
from vessel_core.transport.faults import client_closed
from vessel_core.transport.incoming import Incoming
from vessel_core.types import Timeout
from vessel_core.vetting import OfFirst, probe
from vessel_core.wire import Call, Reply


class AsyncPooledTransport(AsyncTransport):
    """Makes each call on the host that the pool says. Each event loop looks after the hosts while it has calls."""

    def __init__(self, target: Target, pool: HostPool, http_transport: AsyncHTTPTransport | None = None) -> None:
        self.pool = pool
        self.target = target
        self._eras: Eras = weakref.WeakKeyDictionary()
        self._http_transport = http_transport
        self.hosts: dict[PoolHost, AsyncTransport] = {
            host: target.connection(host.address).async_transport(http_transport) for host in pool.hosts
        }
        self._watching: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()

    async def meet(self) -> None:
        """Wait until a host can be used."""
        self.pool.leave(await self.enter(WAKING, self.target.timeout), time.monotonic())

    def open(self, call: Call, timeout: Timeout) -> AbstractAsyncContextManager[Incoming]:
        """Make a call on the host that has the most room; its place is given back when the context is left."""
        return _Placed(self, call, timeout)

    async def aclose(self) -> None:
        """Close the connections of the running loop; calls that it has under way end."""
        self._begin_era()
        for transport in self.hosts.values():
            await transport.aclose()

    async def enter(self, call: Call, timeout: Timeout) -> Ticket:
        """Wait for a place."""
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        wake = _waker(loop, lambda: woken.done() or woken.set_result(None))
        ticket = self.pool.enter(time.monotonic(), wake, **place_for(call, timeout, self.pool))
        try:
            self._look_after(loop)
            if ticket.host is None:
                era = self.era
                await _in_time(woken, call, timeout)
                if self.era is not era:
                    raise client_closed()
            if ticket.error is not None:
                raise ticket.error
        except BaseException:
            self.pool.leave(ticket, time.monotonic())
            raise
        return ticket

    def _look_after(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop not in self._watching:
            self._watching.add(loop)
            self._watch(loop)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Probe and rescue until nobody has needed it for a while. A timer and no task: nothing is left when a loop ends."""
        now = time.monotonic()
        for host in self.pool.due(now):
            threading.Thread(target=self._probe, args=(host,), name="vessel-probe", daemon=True).start()
        for ticket in self.pool.hung(now):
            if (abort := ticket.abort) is not None:
                abort()
        if self.pool.busy(now):
            loop.call_later(TICK, self._watch, loop)
        else:
            self._watching.discard(loop)

    def _probe(self, host: PoolHost) -> None:
        """Ask a host how it is, in a loop of its own: that of the calls may end meanwhile, and calls of others may wait."""
        try:
            slots = asyncio.run(self._probed(host))
        except Exception as error:  # noqa: BLE001 - whatever it is: calls may wait for the result
            self.pool.failed(host, time.monotonic(), shown(error, self.target))
        else:
            self.pool.passed(host, time.monotonic(), slots)

    async def _probed(self, host: PoolHost) -> int | None:
        transport = _Probing(self.target.connection(host.address), self._http_transport)
        transport.first = lambda: self.hosts[self.pool.measured_by()]
        try:
            return await arun(probe(self.target, self.pool, host), transport, patient_probe(host))
        finally:
            await transport.aclose()


class _Probing(AsyncTransport):
    """The connection of a probe, which also asks the host that the others are measured by."""

    first: Callable[[], AsyncTransport]

    async def send(self, call: Call, timeout: Timeout) -> Reply:
        transport = self.first() if isinstance(call, OfFirst) else super()
        return await transport.send(call, timeout)


class _Placed:
    """One call of a pool: no generator, as an `AsyncTransport`'s own is none."""

    def __init__(self, pooled: AsyncPooledTransport, call: Call, timeout: Timeout) -> None:
        self._pooled = pooled
        self._call = call
        self._timeout = timeout
        self._fault: VesselError | None = None

    async def __aenter__(self) -> Incoming:
        ticket = self._ticket = await self._pooled.enter(self._call, self._timeout)
        self._exchange = self._pooled.hosts[ticket.at].open(self._call, self._timeout)
        self._entered = False
        try:
            incoming = await self._begun(ticket)
            begin(self._pooled.pool, ticket, incoming)
        except (VesselError, TimeoutError) as error:
            lost = lost_error(ticket, error, self._pooled.pool)
            await self._give_up(fault_in(lost))
            raise lost from (error.__cause__ if lost is error else None)
        except BaseException:
            await self._give_up(None)
            raise
        return incoming

    async def _begun(self, ticket: Ticket) -> Incoming:
        """Wait for the first bytes of the answer; what does so can be ended from without."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as scope:

            def end() -> None:
                if ticket.abort is not None:
                    scope.reschedule(loop.time())

            ticket.abort = _waker(loop, end)
            try:
                incoming = await self._exchange.__aenter__()
                self._entered = True
                self._fault = refusal(incoming, await abegin_body(incoming), self._pooled.target)
                return incoming
            finally:
                ticket.abort = None

    async def _give_up(self, fault: VesselError | None) -> None:
        try:
            if self._entered:
                await self._exchange.__aexit__(None, None, None)
        finally:
            self._leave(fault)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            await self._exchange.__aexit__(None, None, None)
        finally:
            if isinstance(error, VesselError):
                error.url = error.url or self._ticket.at.address.root
                self._fault = self._fault or fault_in(error)
            self._leave(self._fault)

    def _leave(self, fault: VesselError | None) -> None:
        self._pooled.pool.leave(self._ticket, time.monotonic(), fault, asked_pause(fault))


def _waker(loop: asyncio.AbstractEventLoop, what: Callable[[], object]) -> Callable[[], None]:
    """Return what does something in a loop, from whatever thread; the loop may be closed by then."""

    def wake() -> None:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(what)

    return wake


async def _in_time(woken: asyncio.Future[None], call: Call, timeout: Timeout) -> None:
    """Wait for a place, as long as such a call may."""
    await asyncio.wait([woken], timeout=call.longest(timeout))
    if not woken.done():
        raise none_free(call)
