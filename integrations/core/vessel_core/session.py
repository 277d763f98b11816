"""The sync way from a client to its server: found at first use, then kept; `async_session` is the async twin."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar, cast

from vessel_core.abreast import Abreast
from vessel_core.anew import Anew
from vessel_core.backends.base import Flow
from vessel_core.discovery import choose, discover
from vessel_core.drive import deltas_of, run, watch
from vessel_core.explaining import Explained
from vessel_core.operations import forgetting
from vessel_core.pool import HostPool
from vessel_core.retry import Retries
from vessel_core.target import Target
from vessel_core.types import Delta, Progress, Timeout
from vessel_core.watching import Steps, Waiting
from vessel_core.wire import Call, ReplyStream

if TYPE_CHECKING:
    from vessel_core.checking import Check
    from vessel_core.transport.sync_shell import HTTPTransport, Transport

T = TypeVar("T")


class Session:
    """Drives what a client asks over its connections, and says on each error where it happened."""

    def __init__(self, target: Target, http_transport: HTTPTransport | None = None) -> None:
        self.target = target
        self.http_transport = http_transport
        self._transport: Transport | None = None
        self._made: list[Transport] = []

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        if self._transport is not None:
            self._transport.close()

    def hang_up(self) -> None:
        """End the calls that other threads have under way."""
        if self._transport is not None:
            self._transport.hang_up()

    def run(
        self,
        flow: Flow[T],
        model: str | None = None,
        *,
        patient: bool = True,
        timeout: Timeout | float | None = None,
    ) -> T:
        """Drive a flow to its result; it is about `model`, by default the client's."""
        with self._explained(model or self.target.model, timeout):
            transport = self._connected(self.target.patience(patient, timeout))
            return run(flow, transport, self.target.patience(patient, timeout))

    def run_all(
        self,
        flows: Sequence[Flow[T]],
        at_once: int,
        model: str | None,
        timeout: Timeout | float | None,
        take: Callable[[T], None],
    ) -> None:
        """Drive flows, `at_once` at a time, and have their results taken in order; after an error no other is begun, and the
        first one in order is raised."""
        if len(flows) <= 1 or at_once == 1:
            for flow in flows:
                take(self.run(flow, model, timeout=timeout))
            return

        def one(flow: Flow[T]) -> T:
            return self.run(flow, model, timeout=timeout)

        with Abreast(min(max(1, at_once), len(flows)), self.hang_up) as pool:
            for result in pool.map(one, flows):
                take(result)

    def watch(
        self,
        steps: Steps,
        model: str | None = None,
        waiting: Waiting | None = None,
        timeout: Timeout | float | None = None,
    ) -> Generator[Progress]:
        """Hand on how far something slow is; if it is `waiting`, the server needn't be there yet."""

        def begin() -> tuple[Steps, Transport, Retries]:
            patience = self.target.patience(waiting is None, timeout)
            return forgetting(self.target, steps), self._connected(patience), patience

        return watch(begin, self._explained(model, timeout), waiting)

    def deltas(
        self,
        flow: Callable[[], Flow[tuple[Call, ReplyStream]]],
        model: str | None,
        timeout: Timeout | float | None,
        check: Check | None = None,
        *,
        whole: bool = False,
    ) -> Generator[Delta]:
        """Hand on an answer as it comes; `check` is told all of it. Of several hosts another one may begin it anew, if
        it is needed `whole` or nothing of it was handed on."""
        if timeout is not None:
            self.target.within(timeout)  # raises for what can be none, before anything is begun

        def deltas() -> Generator[Delta]:
            received: list[Delta] = []
            with self._explained(model or self.target.model, timeout, received, check):
                known = self.target.known is not None
                transport = (known and self._transport) or self._connected(self.target.within(timeout))
                retries = self.target.within(timeout)
                again = Anew(pool, flow, received, retries.most, whole=whole) if (pool := self.target.pool) else None
                yield from deltas_of(flow(), transport, retries, received, again)

        return deltas()

    def _connected(self, retries: Retries) -> Transport:
        """Return the connections to the server, which is found first if it isn't known."""
        target = self.target
        if target.pool is not None:
            return self._pooled(target.pool)
        if target.settle() is None:
            if target.address is None:
                target.found(choose(discover(places=target.places())))
            else:
                with closing(target.connection(target.address).transport(self.http_transport)) as probe:
                    run(target.recognise(target.address), probe, retries)
        if self._transport is None:
            self._share(target.connection(target.server.address).transport(self.http_transport))
        return self._made[0]

    def _pooled(self, pool: HostPool) -> Transport:
        """Return the connections to several hosts."""
        from vessel_core.pooled import PooledTransport  # only who has several hosts loads it

        if self._transport is None:
            self._share(PooledTransport(self.target, pool, self.http_transport))
        shared = cast("PooledTransport", self._made[0])
        if self.target.settle() is None:
            shared.meet()
        return shared

    def _share(self, made: Transport) -> None:
        """Keep the connections; of threads that come here at once, all get those of the first."""
        self._made.append(made)
        self._transport = self._made[0]

    def _explained(
        self,
        model: str | None,
        timeout: Timeout | float | None,
        received: Sequence[Delta] = (),
        check: Check | None = None,
    ) -> Explained:
        return Explained(self.target, self._connected, model, timeout, received, check)
