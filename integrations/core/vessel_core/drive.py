"""Drives flows and attempts over a transport: the clock, the sleep and the sending, in a sync and an async form."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import AsyncExitStack, ExitStack, aclosing
from typing import TypeVar

from vessel_core.backends.base import Flow
from vessel_core.errors import VesselError
from vessel_core.retry import Outcome, Retries, Wait, attempts
from vessel_core.transport import AsyncTransport, Incoming, Transport
from vessel_core.types import Delta, Progress
from vessel_core.watching import Follow, ProgressLines, Steps
from vessel_core.wire import Call, Reply, ReplyStream

T = TypeVar("T")
logger = logging.getLogger("vessel_core")


def send(call: Call, transport: Transport, retries: Retries) -> Reply:
    """Make a call, again where that can help, and return its good reply; raise the error otherwise."""
    steps = attempts(call, retries)
    outcome: Outcome = None
    try:
        while True:
            step = steps.send(outcome)
            if isinstance(step, Wait):
                outcome = _log(step)
                time.sleep(step.seconds)
                continue
            try:
                outcome = transport.send(step.call)
            except VesselError as error:
                outcome = error
    except StopIteration as stop:
        return stop.value


def run(flow: Flow[T], transport: Transport, retries: Retries) -> T:
    """Drive a flow to its result; what goes wrong with a call is raised inside the flow."""
    try:
        call = next(flow)
        while True:
            try:
                reply = send(call, transport, retries)
            except VesselError as error:
                call = flow.throw(error)
            else:
                call = flow.send(reply)
    except StopIteration as stop:
        return stop.value


def open_stream(call: Call, transport: Transport, retries: Retries, stack: ExitStack) -> Incoming:
    """Make a call whose good reply is read as it comes; `stack` closes it."""
    steps = attempts(call, retries)
    outcome: Outcome = None
    incoming: Incoming | None = None
    try:
        while True:
            step = steps.send(outcome)
            if isinstance(step, Wait):
                outcome = _log(step)
                time.sleep(step.seconds)
                continue
            try:
                if step.call is not call:
                    outcome = transport.send(step.call)
                    continue
                incoming = stack.enter_context(transport.open(call))
                outcome = incoming.reply if incoming.good else transport.read(incoming)
            except VesselError as error:
                outcome = error
            if incoming is None or not incoming.good:
                stack.close()
    except StopIteration:
        assert incoming is not None  # noqa: S101 - attempts only returns a reply that came
        return incoming


def deltas_of(
    call: Call, reply: ReplyStream, transport: Transport, retries: Retries, received: list[Delta]
) -> Generator[Delta]:
    """Make a call and yield the deltas of its reply as they come, noting them in `received`."""
    with ExitStack() as stack:
        clock = Clock()
        incoming = open_stream(call, transport, retries, stack)
        if not incoming.streams:
            yield from reply.whole(transport.read(incoming).body)
            return
        pieces = transport.pieces(incoming)
        for data in pieces:
            deltas = reply.feed(data)
            if not incoming.patience.answering:
                incoming.patience.hear(data, answers=bool(deltas))
            if deltas:
                clock.mark(deltas)
                received += deltas
                yield from deltas
            if reply.done:
                transport.finish(incoming, pieces)
                break
        yield from reply.close()  # an error that came behind the last deltas is raised here


def watch(steps: Steps, transport: Transport, retries: Retries) -> Generator[Progress]:
    """Drive an operation that says how far it is, and hand its progress on."""
    reply: Reply | None = None
    try:
        step = next(steps)
        while True:
            reply = None
            if isinstance(step, Progress):
                yield step
            elif isinstance(step, Wait):
                time.sleep(step.seconds)
            elif isinstance(step, Follow):
                with transport.open(step.call) as incoming:
                    lines = ProgressLines(step, incoming.reply, good=incoming.good)
                    for data in transport.pieces(incoming):
                        yield from lines.feed(data)
                    yield from lines.close()
            else:
                try:
                    reply = send(step, transport, retries)
                except VesselError as error:
                    step = steps.throw(error)
                    continue
            step = steps.send(reply)
    except StopIteration:
        return


async def asend(call: Call, transport: AsyncTransport, retries: Retries) -> Reply:
    """Make a call, as `send`."""
    steps = attempts(call, retries)
    outcome: Outcome = None
    try:
        while True:
            step = steps.send(outcome)
            if isinstance(step, Wait):
                outcome = _log(step)
                await asyncio.sleep(step.seconds)
                continue
            try:
                outcome = await transport.send(step.call)
            except VesselError as error:
                outcome = error
    except StopIteration as stop:
        return stop.value


async def arun(flow: Flow[T], transport: AsyncTransport, retries: Retries) -> T:
    """Drive a flow, as `run`."""
    try:
        call = next(flow)
        while True:
            try:
                reply = await asend(call, transport, retries)
            except VesselError as error:
                call = flow.throw(error)
            else:
                call = flow.send(reply)
    except StopIteration as stop:
        return stop.value


async def aopen_stream(call: Call, transport: AsyncTransport, retries: Retries, stack: AsyncExitStack) -> Incoming:
    """Make a call whose reply is read as it comes, as `open_stream`."""
    steps = attempts(call, retries)
    outcome: Outcome = None
    incoming: Incoming | None = None
    try:
        while True:
            step = steps.send(outcome)
            if isinstance(step, Wait):
                outcome = _log(step)
                await asyncio.sleep(step.seconds)
                continue
            try:
                if step.call is not call:
                    outcome = await transport.send(step.call)
                    continue
                incoming = await stack.enter_async_context(transport.open(call))
                outcome = incoming.reply if incoming.good else await transport.read(incoming)
            except VesselError as error:
                outcome = error
            if incoming is None or not incoming.good:
                await stack.aclose()
    except StopIteration:
        assert incoming is not None  # noqa: S101 - attempts only returns a reply that came
        return incoming


async def adeltas_of(
    call: Call, reply: ReplyStream, transport: AsyncTransport, retries: Retries, received: list[Delta]
) -> AsyncGenerator[Delta]:
    """Make a call and yield the deltas of its reply, as `deltas_of`."""
    async with AsyncExitStack() as stack:
        clock = Clock()
        incoming = await aopen_stream(call, transport, retries, stack)
        if not incoming.streams:
            for delta in reply.whole((await transport.read(incoming)).body):
                yield delta
            return
        pieces = await stack.enter_async_context(aclosing(transport.pieces(incoming)))
        async for data in pieces:
            deltas = reply.feed(data)
            if not incoming.patience.answering:
                incoming.patience.hear(data, answers=bool(deltas))
            if deltas:
                clock.mark(deltas)
                received += deltas
                for delta in deltas:
                    yield delta
            if reply.done:
                await transport.finish(incoming, pieces)
                break
        for delta in reply.close():
            yield delta


async def awatch(steps: Steps, transport: AsyncTransport, retries: Retries) -> AsyncGenerator[Progress]:
    """Drive an operation that says how far it is, as `watch`."""
    reply: Reply | None = None
    try:
        step = next(steps)
        while True:
            reply = None
            if isinstance(step, Progress):
                yield step
            elif isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
            elif isinstance(step, Follow):
                async with transport.open(step.call) as incoming:
                    lines = ProgressLines(step, incoming.reply, good=incoming.good)
                    async for data in transport.pieces(incoming):
                        for progress in lines.feed(data):
                            yield progress
                    for progress in lines.close():
                        yield progress
            else:
                try:
                    reply = await asend(step, transport, retries)
                except VesselError as error:
                    step = steps.throw(error)
                    continue
            step = steps.send(reply)
    except StopIteration:
        return


def _log(step: Wait) -> None:
    if step.progress is not None:
        logger.info(
            "%s (%s of %s %s)", step.progress.status, step.progress.completed, step.progress.total, step.progress.unit
        )


class Clock:
    """Puts the time to the first token on the timings of a stream."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._first: float | None = None

    def mark(self, deltas: Sequence[Delta]) -> None:
        """Take the deltas of one read."""
        if self._first is None:
            self._first = (time.perf_counter() - self._started) * 1000
        if (timings := deltas[-1].timings) is not None:
            timings.first_token_ms = self._first
