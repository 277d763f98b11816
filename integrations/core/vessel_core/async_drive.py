"""Drives flows and attempts over an async transport: the twin of `drive`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TypeVar

from vessel_core.backends.base import Flow
from vessel_core.drive import Clock, log
from vessel_core.errors import VesselError
from vessel_core.retry import Outcome, Retries, Wait, attempts
from vessel_core.transport import AsyncTransport, Incoming
from vessel_core.types import Delta, Progress
from vessel_core.watching import NOT_YET, Follow, ProgressLines, Steps, Waiting
from vessel_core.wire import Call, Reply, ReplyStream

T = TypeVar("T")


async def asend(call: Call, transport: AsyncTransport, retries: Retries) -> Reply:
    """Make a call, as `send`."""
    steps = attempts(call, retries)
    outcome: Outcome = None
    try:
        while True:
            step = steps.send(outcome)
            if isinstance(step, Wait):
                outcome = log(step)
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
                outcome = log(step)
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
    begin: Callable[[], Awaitable[tuple[Call, ReplyStream, AsyncTransport, Retries]]],
    explained: AbstractAsyncContextManager[None],
    received: list[Delta],
) -> AsyncGenerator[Delta]:
    """Make a call and yield the deltas of its reply, as `deltas_of`.

    It is the only generator of a stream: a loop that ends closes all there are at once, those in use by others too.
    """
    async with explained, AsyncExitStack() as stack:
        call, reply, transport, retries = await begin()
        clock = Clock()
        incoming = await aopen_stream(call, transport, retries, stack)
        if not incoming.streams:
            for delta in reply.whole((await transport.read(incoming)).body):
                yield delta
            return
        pieces = transport.pieces(incoming)
        async for data in pieces:
            deltas = reply.feed(data)
            if not incoming.patience.answering:
                incoming.patience.hear(answers=bool(deltas))
            if deltas:
                clock.mark(deltas)
                received += deltas
                for delta in deltas:
                    yield delta
            if reply.done:
                await transport.finish(incoming, pieces)
                break
        for delta in reply.close():  # an error that came behind the last deltas is raised here
            yield delta


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
                    reply = await _atried(step, transport, retries)
                step = steps.throw(reply) if isinstance(reply, VesselError) else steps.send(reply)
        except StopIteration:
            return


async def _atried(call: Call, transport: AsyncTransport, retries: Retries) -> Reply | VesselError:
    try:
        return await asend(call, transport, retries)
    except VesselError as error:
        return error
