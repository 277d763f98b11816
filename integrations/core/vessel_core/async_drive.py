"""Drives flows and attempts over an async transport: the twin of `drive`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from vessel_core.backends.base import Flow
from vessel_core.drive import Clock, Tries, begun, log, looking, tried
from vessel_core.errors import VesselError
from vessel_core.keeping import Keeping
from vessel_core.retry import Open, Outcome, Retries, Send, Wait, attempts
from vessel_core.types import Delta, Progress, Timeout
from vessel_core.watching import NOT_YET, Follow, ProgressLines, Steps, Waiting
from vessel_core.wire import Call, Reply, ReplyStream
from vessel_core.wire.failures import error_from
from vessel_core.wire.forcing import AskAgain

if TYPE_CHECKING:
    from vessel_core.anew import Anew
    from vessel_core.transport.async_shell import AsyncTransport, Era
    from vessel_core.transport.incoming import Incoming

T = TypeVar("T")


async def arun(flow: Flow[T], transport: AsyncTransport, retries: Retries) -> T:
    """Drive a flow to its result."""
    return await _drive(tried(flow, retries), transport, retries.timeout)


async def _drive(tries: Tries[T], transport: AsyncTransport, timeout: Timeout) -> T:
    outcome: Outcome = None
    failed: VesselError | None = None
    era = transport.era
    try:
        while True:
            step = tries.send(outcome)
            outcome = await (_wait(step, era) if isinstance(step, Wait) else _send(step, transport, timeout))
            failed = outcome if isinstance(outcome, VesselError) else failed
            if failed is not None and transport.era is not era:
                raise failed
    except StopIteration as stop:
        return stop.value


async def _wait(step: Wait, era: Era) -> None:
    log(step)
    if not await era.lasts(step.seconds):
        from vessel_core.transport.faults import client_closed  # with httpx, which no import of ours loads

        raise client_closed()


async def _send(step: Send, transport: AsyncTransport, timeout: Timeout) -> Reply | VesselError:
    try:
        return await transport.send(step.call, step.timeout(timeout))
    except VesselError as error:
        return error


async def adeltas_of(
    begin: Callable[[], Awaitable[tuple[Flow[tuple[Call, ReplyStream]], AsyncTransport, Retries]]],
    explained: AbstractAsyncContextManager[None],
    received: list[Delta],
    again: Anew | None = None,
) -> AsyncGenerator[Delta]:
    """Make the calls of a generation and yield the deltas of its reply, as `deltas_of`.

    It is the only generator of a stream: a loop that ends closes all there are at once, those in use by others too.
    """
    async with explained:
        flow, transport, retries = await begin()
        era = transport.era
        while True:
            incoming = None
            try:
                async with _Reading() as reading:
                    opening = _Opening(begun(flow, retries), transport, retries.timeout, reading)
                    while (progress := await opening.progress()) is not None:
                        yield Delta(progress=progress)
                    reply, whole, incoming = opening.result()
                    if incoming.streams:
                        pieces, clock = transport.pieces(incoming), Clock(incoming.since)
                        incoming.body.whenever_grown(Keeping(received, *incoming.answer).join)
                        async for data in pieces:
                            deltas = reply.feed(data)
                            if not incoming.patience.answering:
                                incoming.patience.hear(deltas)
                            if deltas:
                                clock.mark(deltas)
                                received += deltas if incoming.patience.answering else []
                                for delta in deltas if again is None else again.handed(deltas):
                                    yield delta
                            if reply.done:
                                await transport.finish(incoming, pieces)
                                break
                        deltas = reply.close()  # an error that came behind the last deltas is raised here
                        clock.mark(deltas)
                    else:
                        deltas = reply.whole(whole.body)
                        Keeping(deltas, *incoming.answer).join()
                    received += deltas
                    for delta in deltas if again is None else again.last(deltas):
                        yield delta
                    return
            except AskAgain as other:
                flow = other.flow()
            except VesselError as error:
                data = b""  # which may hold the key: this frame goes on, and is on the error
                flow = _begun_again(again if transport.era is era else None, error, begun=incoming is not None)


def _begun_again(again: Anew | None, error: VesselError, *, begun: bool) -> Flow[tuple[Call, ReplyStream]]:
    if again is None or not begun:
        raise error
    return again.after(error)


class _Reading:
    """Closes at its end the reply that is read, as `Reading`."""

    __slots__ = ("_reply",)

    def __init__(self) -> None:
        self._reply: AbstractAsyncContextManager[Incoming] | None = None

    async def begin(self, reply: AbstractAsyncContextManager[Incoming]) -> Incoming:
        """Open a reply."""
        incoming = await reply.__aenter__()
        self._reply = reply
        return incoming

    async def end(self, error: VesselError | None = None) -> VesselError | None:
        """Close the reply, because of an error; return that, or what closing makes of it."""
        try:
            await self.__aexit__(type(error) if error else None, error, error.__traceback__ if error else None)
        except VesselError as other:
            return other
        return error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        reply, self._reply = self._reply, None
        if reply is not None:
            await reply.__aexit__(kind, error, trace)


class _Opening:
    """Makes calls until the reply of the last is good, which `reading` closes."""

    def __init__(
        self,
        tries: Tries[tuple[ReplyStream, Reply]],
        transport: AsyncTransport,
        timeout: Timeout,
        reading: _Reading,
    ) -> None:
        self._tries = tries
        self._transport = transport
        self._timeout = timeout
        self._reading = reading
        self._era = transport.era
        self._failed: VesselError | None = None
        self._wait: Wait | None = None
        self._incoming: Incoming | None = None
        self._result: tuple[ReplyStream, Reply] | None = None

    async def progress(self) -> Progress | None:
        """Go on until there is something to tell, which is waited for by the next call; or to the end."""
        outcome: Outcome = None if self._wait is None else await _wait(self._wait, self._era)
        try:
            while True:
                step = self._tries.send(outcome)
                if isinstance(step, Open):
                    outcome = await self._open(step.call)
                elif not isinstance(step, Wait):
                    outcome = await _send(step, self._transport, self._timeout)
                elif step.progress is None:
                    outcome = await _wait(step, self._era)
                else:
                    self._wait = step
                    return step.progress
                self._failed = outcome if isinstance(outcome, VesselError) else self._failed
                if self._failed is not None and self._transport.era is not self._era:
                    raise self._failed
        except StopIteration as stop:
            self._result = stop.value
            return None

    async def _open(self, call: Call) -> Outcome:
        outcome: Outcome
        try:
            incoming = self._incoming = await self._reading.begin(self._transport.open(call, self._timeout))
            outcome = incoming.reply if incoming.streams else await self._transport.read(incoming)
            if not incoming.good:
                outcome = await self._reading.end() or outcome
        except VesselError as error:
            outcome = await self._reading.end(error)
        return outcome

    def result(self) -> tuple[ReplyStream, Reply, Incoming]:
        """Return what reads the reply, the reply, and the stream if it is one."""
        assert self._result is not None  # noqa: S101 - `begun` ends with a reply that came
        assert self._incoming is not None  # noqa: S101
        return *self._result, self._incoming


async def awatch(
    begin: Callable[[], Awaitable[tuple[Steps, AsyncTransport, Retries]]],
    explained: AbstractAsyncContextManager[None],
    waiting: Waiting | None = None,
) -> AsyncGenerator[Progress]:
    """Drive an operation that says how far it is, as `watch`; if it is `waiting`, the server needn't be there yet."""
    async with explained:
        while True:
            try:
                steps, transport, retries = await begin()
                break
            except NOT_YET as error:
                if waiting is None:
                    raise
                yield waiting.after(error)
                await asyncio.sleep(waiting.pause)
        reply: Reply | VesselError | None = None
        era = transport.era
        try:
            step = next(steps)
            while True:
                reply = None
                if isinstance(step, Progress):
                    yield step
                elif isinstance(step, Wait):
                    await _wait(step, era)
                elif isinstance(step, Follow):
                    async with transport.open(step.call, retries.timeout) as incoming:
                        await _check(incoming, transport)
                        lines = ProgressLines(step)
                        async for data in transport.pieces(incoming):
                            for progress in lines.feed(data):
                                yield progress
                        for progress in lines.close():
                            yield progress
                else:
                    reply = await _atried(step, transport, looking(retries, waiting))
                step = steps.throw(reply) if isinstance(reply, VesselError) else steps.send(reply)
        except StopIteration:
            return


async def _check(incoming: Incoming, transport: AsyncTransport) -> None:
    """Raise what a reply says is wrong by its status."""
    if not incoming.good:
        raise error_from(await transport.read(incoming))


async def _atried(call: Call, transport: AsyncTransport, retries: Retries) -> Reply | VesselError:
    try:
        return await _drive(attempts(call, retries), transport, retries.timeout)
    except VesselError as error:
        return error
