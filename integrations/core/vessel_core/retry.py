"""What to do after an attempt: give the reply back, wait and try again, or raise. No clock, no sleep: the shells have those."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass

from vessel_core.errors import (
    ConnectTimeout,
    ModelLoading,
    RateLimited,
    ServerBusy,
    ServerError,
    ServerUnreachable,
    VesselError,
)
from vessel_core.types import Progress
from vessel_core.wire import Call, Reply
from vessel_core.wire.failures import error_from

FIRST_DELAY = 0.25
LONGEST_DELAY = 8.0
LONGEST_RETRY_AFTER = 120.0


@dataclass(frozen=True, slots=True)
class Send:
    """Make this request; the answer is a `Reply`, or the error that kept one from coming."""

    call: Call


@dataclass(frozen=True, slots=True)
class Wait:
    """Sleep so many seconds; `progress` says what for."""

    seconds: float
    progress: Progress | None = None


Step = Send | Wait
Outcome = Reply | VesselError | None
Attempts = Generator[Step, Outcome, Reply]


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how long: `most` further attempts after the first, `load` seconds for a model that loads."""

    most: int = 2
    load: float | None = 300.0
    health: str = "/health"
    draw: Callable[[], float] = random.random


def attempts(call: Call, policy: Retries) -> Attempts:
    """Make a call, again where that can help, before anything of a reply was handed on.

    A connection that was reset before any byte is tried again at once: llama.cpp closes idle and old connections without
    a word. A loading model is waited for. What timed out is never sent again: it would run the whole prompt once more.
    """
    tried = 0
    reset = False
    while True:
        outcome = yield Send(call)
        tried += 1
        error = _error(outcome)
        if error is None:
            assert isinstance(outcome, Reply)  # noqa: S101 - what `_error` has just told
            return outcome
        error.attempts = tried
        if isinstance(error, ModelLoading):
            yield from _loaded(error, policy)
            continue
        if not reset and _was_reset(error):
            reset = True
            continue
        delay = retry_delay(error, tried - 1 - reset, policy)
        if delay is None:
            raise error
        yield Wait(delay)


def _error(outcome: Outcome) -> VesselError | None:
    if isinstance(outcome, VesselError):
        return outcome
    return error_from(outcome) if outcome is not None and outcome.status >= 300 else None


def _was_reset(error: VesselError) -> bool:
    return isinstance(error, ServerUnreachable) and error.reset


def retry_delay(error: VesselError, retries: int, policy: Retries) -> float | None:
    """Return how many seconds to wait before the next attempt, or `None` if there should be none."""
    if retries >= policy.most:
        return None
    if isinstance(error, RateLimited) and error.retry_after is not None:
        return error.retry_after if error.retry_after <= LONGEST_RETRY_AFTER else None
    if isinstance(error, ServerUnreachable) and not isinstance(error, ConnectTimeout):
        may = error.reset or (error.refused and retries == 0)
    elif isinstance(error, ServerError):
        may = retries == 0 or error.status_code in (502, 503, 504)
    else:
        may = isinstance(error, RateLimited | ServerBusy)
    return policy.draw() * min(FIRST_DELAY * 2**retries, LONGEST_DELAY) if may else None


def _loaded(error: ModelLoading, policy: Retries) -> Generator[Step, Outcome, None]:
    """Ask for the server's health until its model is loaded; raise `error` when the load timeout runs out."""
    waited, pause = 0.0, FIRST_DELAY
    while policy.load is None or waited < policy.load:
        total = int(policy.load) if policy.load is not None else None
        yield Wait(pause, Progress("waiting for the model to load", int(waited), total, "seconds"))
        waited += pause
        pause = min(pause * 1.5, 2.0)
        outcome = yield Send(Call("GET", policy.health))
        if not isinstance(_error(outcome), ModelLoading | ServerBusy):
            return
    raise error
