"""Drives flows and attempts over a transport: the clock, the sleep and the sending; `async_drive` is the async twin."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import TypeVar

from vessel_core.backends.base import Flow
from vessel_core.errors import VesselError
from vessel_core.retry import Outcome, Retries, Wait, attempts
from vessel_core.transport import Incoming, Transport
from vessel_core.types import Delta, Progress
from vessel_core.watching import NOT_YET, Follow, ProgressLines, Steps, Waiting
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
                outcome = log(step)
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
                outcome = log(step)
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
                incoming.patience.hear(answers=bool(deltas))
            if deltas:
                clock.mark(deltas)
                received += deltas
                yield from deltas
            if reply.done:
                transport.finish(incoming, pieces)
                break
        yield from reply.close()  # an error that came behind the last deltas is raised here


def watch(
    begin: Callable[[], tuple[Steps, Transport, Retries]],
    explained: AbstractContextManager[None],
    waiting: Waiting | None = None,
) -> Generator[Progress]:
    """Drive an operation that says how far it is, and hand its progress on; if it is `waiting`, the server needn't be
    there yet."""
    with explained:
        while True:
            try:
                steps, transport, retries = begin()
                break
            except NOT_YET as error:
                if waiting is None:
                    raise
                yield waiting.after(error)
                time.sleep(waiting.pause)
        reply: Reply | VesselError | None = None
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
                    reply = _tried(step, transport, retries)
                step = steps.throw(reply) if isinstance(reply, VesselError) else steps.send(reply)
        except StopIteration:
            return


def _tried(call: Call, transport: Transport, retries: Retries) -> Reply | VesselError:
    try:
        return send(call, transport, retries)
    except VesselError as error:
        return error


def log(step: Wait) -> None:
    """Say what is waited for, if it is anything to tell."""
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
