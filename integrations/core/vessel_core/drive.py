"""Drives flows and attempts over a transport: the clock, the sleep and the sending; `async_drive` is the async twin."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from threading import Event
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from vessel_core.backends.base import Flow, followed
from vessel_core.errors import VesselError
from vessel_core.keeping import Keeping
from vessel_core.retry import Open, Outcome, Retries, Send, Step, Wait, attempts
from vessel_core.types import Delta, Progress, Timeout, Timings
from vessel_core.watching import NOT_YET, Follow, ProgressLines, Steps, Waiting
from vessel_core.wire import Call, Reply, ReplyStream
from vessel_core.wire.failures import error_from
from vessel_core.wire.forcing import AskAgain

if TYPE_CHECKING:
    from vessel_core.anew import Anew
    from vessel_core.transport.incoming import Incoming
    from vessel_core.transport.sync_shell import Transport

T = TypeVar("T")
logger: logging.Logger = logging.getLogger("vessel_core")


Tries = Generator[Step, Outcome, T]
"""What to do next, a call or a wait, until there is a result: `drive` and `async_drive` do it."""


def tried(flow: Flow[T], retries: Retries) -> Tries[T]:
    """Make the calls of a flow, each again where that can help; what goes wrong with one is raised inside the flow."""
    return followed(flow, lambda call: attempts(call, retries))


def begun(flow: Flow[tuple[Call, ReplyStream]], retries: Retries) -> Tries[tuple[ReplyStream, Reply]]:
    """Make the calls of a flow, then open the one it results in, again where that can help.

    Return what reads its reply, and the reply: whole if it is a document, of which nothing is handed on before it has come.
    """
    call, reply = yield from tried(flow, retries)
    return reply, (yield from attempts(call, retries, Open))


def run(flow: Flow[T], transport: Transport, retries: Retries) -> T:
    """Drive a flow to its result."""
    return _drive(tried(flow, retries), transport, retries.timeout)


def _drive(tries: Tries[T], transport: Transport, timeout: Timeout) -> T:
    outcome: Outcome = None
    failed: VesselError | None = None
    era = transport.era
    try:
        while True:
            step = tries.send(outcome)
            outcome = _wait(step, era) if isinstance(step, Wait) else _send(step, transport, timeout)
            failed = outcome if isinstance(outcome, VesselError) else failed
            if failed is not None and transport.era is not era:
                raise failed
    except StopIteration as stop:
        return stop.value


def _wait(step: Wait, era: Event) -> None:
    log(step)
    if era.wait(step.seconds):
        from vessel_core.transport.faults import client_closed  # with httpx, which no import of ours loads

        raise client_closed()


def _send(step: Send, transport: Transport, timeout: Timeout) -> Reply | VesselError:
    try:
        return transport.send(step.call, step.timeout(timeout))
    except VesselError as error:
        return error


def deltas_of(
    flow: Flow[tuple[Call, ReplyStream]],
    transport: Transport,
    retries: Retries,
    received: list[Delta],
    again: Anew | None = None,
) -> Generator[Delta]:
    """Make the calls of a generation and yield the deltas of its reply as they come, noting in `received` what is more
    than progress.

    While a model loads, deltas say how long that has taken. An answer that fails may be begun `again`.
    """
    while True:
        incoming = None
        try:
            with Reading() as reading:
                reply, whole, incoming = yield from _opened(begun(flow, retries), transport, retries.timeout, reading)
                if incoming.streams:
                    pieces, clock = transport.pieces(incoming), Clock(incoming.since)
                    incoming.body.whenever_grown(Keeping(received, *incoming.answer).join)
                    for data in pieces:
                        deltas = reply.feed(data)
                        if not incoming.patience.answering:
                            incoming.patience.hear(deltas)
                        if deltas:
                            clock.mark(deltas)
                            received += deltas if incoming.patience.answering else []
                            yield from deltas if again is None else again.handed(deltas)
                        if reply.done:
                            transport.finish(incoming, pieces)
                            break
                    deltas = reply.close()  # an error that came behind the last deltas is raised here
                    clock.mark(deltas)
                else:
                    deltas = reply.whole(whole.body)
                    Keeping(deltas, *incoming.answer).join()
                received += deltas
                yield from deltas if again is None else again.last(deltas)
                return
        except AskAgain as other:
            flow = other.flow()
        except VesselError as error:
            if again is None or incoming is None:
                raise
            flow = again.after(error)


class Reading:
    """Closes at its end the reply that is read, if one was begun."""

    __slots__ = ("_reply",)

    def __init__(self) -> None:
        self._reply: AbstractContextManager[Incoming] | None = None

    def begin(self, reply: AbstractContextManager[Incoming]) -> Incoming:
        """Open a reply."""
        incoming = reply.__enter__()
        self._reply = reply
        return incoming

    def end(self, error: VesselError | None = None) -> VesselError | None:
        """Close the reply, because of an error; return that, or what closing makes of it."""
        try:
            self.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)
        except VesselError as other:
            return other
        return error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.__exit__(kind, error, trace)


def _opened(
    tries: Tries[tuple[ReplyStream, Reply]], transport: Transport, timeout: Timeout, reading: Reading
) -> Generator[Delta, None, tuple[ReplyStream, Reply, Incoming]]:
    """Make calls until the reply of the last is good, which `reading` closes."""
    outcome: Outcome = None
    failed: VesselError | None = None
    incoming: Incoming | None = None
    era = transport.era
    try:
        while True:
            step = tries.send(outcome)
            if isinstance(step, Wait):
                if step.progress is not None:
                    yield Delta(progress=step.progress)
                outcome = _wait(step, era)
            elif isinstance(step, Open):
                try:
                    incoming = reading.begin(transport.open(step.call, timeout))
                    outcome = incoming.reply if incoming.streams else transport.read(incoming)
                    if not incoming.good:
                        outcome = reading.end() or outcome
                except VesselError as error:
                    outcome = reading.end(error)
            else:
                outcome = _send(step, transport, timeout)
            failed = outcome if isinstance(outcome, VesselError) else failed
            if failed is not None and transport.era is not era:
                raise failed
    except StopIteration as stop:
        assert incoming is not None  # noqa: S101 - `begun` ends with a reply that came
        return *stop.value, incoming


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
        era = transport.era
        try:
            step = next(steps)
            while True:
                reply = None
                if isinstance(step, Progress):
                    yield step
                elif isinstance(step, Wait):
                    _wait(step, era)
                elif isinstance(step, Follow):
                    with transport.open(step.call, retries.timeout) as incoming:
                        _check(incoming, transport)
                        lines = ProgressLines(step)
                        for data in transport.pieces(incoming):
                            yield from lines.feed(data)
                        yield from lines.close()
                else:
                    reply = _tried(step, transport, looking(retries, waiting))
                step = steps.throw(reply) if isinstance(reply, VesselError) else steps.send(reply)
        except StopIteration:
            return


def _check(incoming: Incoming, transport: Transport) -> None:
    """Raise what a reply says is wrong by its status."""
    if not incoming.good:
        raise error_from(transport.read(incoming))


def looking(retries: Retries, waiting: Waiting | None) -> Retries:
    """Return how often and how long to try while a server is waited for."""
    return retries if waiting is None else replace(retries, timeout=waiting.look(retries.timeout))


def _tried(call: Call, transport: Transport, retries: Retries) -> Reply | VesselError:
    try:
        return _drive(attempts(call, retries), transport, retries.timeout)
    except VesselError as error:
        return error


def log(step: Wait) -> None:
    """Say what is waited for, if it is anything to tell."""
    if step.progress is not None:
        logger.info(
            "%s (%s of %s %s)", step.progress.status, step.progress.completed, step.progress.total, step.progress.unit
        )


class Clock:
    """Puts the time to the first token on the timings of a stream, from when its request was begun."""

    def __init__(self, since: float) -> None:
        self._started = since
        self._first: float | None = None

    def mark(self, deltas: Sequence[Delta]) -> None:
        """Take the deltas of one read; how far the prompt is read is no token yet."""
        if self._first is None and any(delta.progress is None for delta in deltas):
            self._first = (time.monotonic() - self._started) * 1000
        if not deltas or (deltas[-1].usage is None and deltas[-1].timings is None):
            return
        deltas[-1].timings = timings = deltas[-1].timings or Timings()  # most servers tell none of their own
        timings.first_token_ms = self._first
