"""The async way from a client to its server: found at first use, then kept; the twin of `session`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from vessel_core.anew import Anew
from vessel_core.async_drive import adeltas_of, arun, awatch
from vessel_core.backends.base import Flow
from vessel_core.discovery import adiscover, choose
from vessel_core.explaining import AsyncExplained
from vessel_core.operations import forgetting
from vessel_core.pool import HostPool
from vessel_core.retry import Retries
from vessel_core.target import Target
from vessel_core.types import Delta, Progress, Timeout
from vessel_core.watching import Steps, Waiting
from vessel_core.wire import Call, ReplyStream

if TYPE_CHECKING:
    from vessel_core.checking import Check
    from vessel_core.transport.async_shell import AsyncHTTPTransport, AsyncTransport

T = TypeVar("T")


class AsyncSession:
    """Drives what a client asks over its connections, as `Session`."""

    def __init__(self, target: Target, http_transport: AsyncHTTPTransport | None = None) -> None:
        self.target = target
        self.http_transport = http_transport
        self._transport: AsyncTransport | None = None

    async def aclose(self) -> None:
        """Close the connections of the running loop; the next call opens new ones."""
        if self._transport is not None:
            await self._transport.aclose()

    async def run(
        self,
        flow: Flow[T],
        model: str | None = None,
        *,
        patient: bool = True,
        timeout: Timeout | float | None = None,
    ) -> T:
        """Drive a flow to its result; it is about `model`, by default the client's."""
        async with self._explained(model or self.target.model, timeout):
            transport = await self._connected(self.target.patience(patient, timeout))
            return await arun(flow, transport, self.target.patience(patient, timeout))

    async def run_all(
        self,
        flows: Sequence[Flow[T]],
        at_once: int,
        model: str | None,
        timeout: Timeout | float | None,
        take: Callable[[T], None],
    ) -> None:
        """Drive flows, `at_once` at a time, and have their results taken in order; after an error no other is begun, and the
        first one in order is raised."""
        room = asyncio.Semaphore(max(1, at_once))
        failed = False

        async def one(flow: Flow[T]) -> T:
            nonlocal failed
            async with room:
                if failed:
                    raise asyncio.CancelledError
                try:
                    return await self.run(flow, model, timeout=timeout)
                except BaseException:
                    failed = True
                    raise

        tasks = deque(asyncio.ensure_future(one(flow)) for flow in flows)
        try:
            while tasks:
                take(await tasks[0])
                tasks.popleft()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def watch(
        self,
        steps: Steps,
        model: str | None = None,
        waiting: Waiting | None = None,
        timeout: Timeout | float | None = None,
    ) -> AsyncGenerator[Progress]:
        """Hand on how far something slow is; if it is `waiting`, the server needn't be there yet."""

        async def begin() -> tuple[Steps, AsyncTransport, Retries]:
            patience = self.target.patience(waiting is None, timeout)
            return forgetting(self.target, steps), await self._connected(patience), patience

        return awatch(begin, self._explained(model, timeout), waiting)

    def deltas(
        self,
        flow: Callable[[], Flow[tuple[Call, ReplyStream]]],
        model: str | None,
        timeout: Timeout | float | None,
        check: Check | None = None,
        *,
        whole: bool = False,
    ) -> AsyncGenerator[Delta]:
        """Hand on an answer as it comes; `check` is told all of it. Of several hosts another one may begin it anew, if
        it is needed `whole` or nothing of it was handed on."""
        if timeout is not None:
            self.target.within(timeout)  # raises for what can be none, before anything is begun

        def deltas() -> AsyncGenerator[Delta]:
            received: list[Delta] = []

            async def begin() -> tuple[Flow[tuple[Call, ReplyStream]], AsyncTransport, Retries]:
                known = self.target.known is not None
                transport = (known and self._transport) or await self._connected(self.target.within(timeout))
                return flow(), transport, self.target.within(timeout)

            pool, most = self.target.pool, self.target.max_retries
            again = Anew(pool, flow, received, most, whole=whole) if pool else None
            return adeltas_of(
                begin, self._explained(model or self.target.model, timeout, received, check), received, again
            )

        return deltas()

    async def _connected(self, retries: Retries) -> AsyncTransport:
        """Return the connections to the server, which is found first if it isn't known."""
        target = self.target
        if target.pool is not None:
            return await self._pooled(target.pool)
        if target.settle() is None:
            if target.address is None:
                target.found(choose(await adiscover(places=target.places())))
            else:
                probe = target.connection(target.address).async_transport(self.http_transport)
                try:
                    await arun(target.recognise(target.address), probe, retries)
                finally:
                    await probe.aclose()
        if self._transport is None:
            self._transport = target.connection(target.server.address).async_transport(self.http_transport)
        return self._transport

    async def _pooled(self, pool: HostPool) -> AsyncTransport:
        """Return the connections to several hosts."""
        from vessel_core.async_pooled import AsyncPooledTransport  # only who has several hosts loads it

        if not isinstance(self._transport, AsyncPooledTransport):
            self._transport = AsyncPooledTransport(self.target, pool, self.http_transport)
        if self.target.settle() is None:
            await self._transport.meet()
        return self._transport

    def _explained(
        self,
        model: str | None,
        timeout: Timeout | float | None,
        received: Sequence[Delta] = (),
        check: Check | None = None,
    ) -> AsyncExplained:
        return AsyncExplained(self.target, self._connected, model, timeout, received, check)
