"""What to do after an attempt: give the reply back, wait and try again, or raise. It doesn't sleep: the shells do."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from vessel_core.errors import (
    ModelLoading,
    ProtocolError,
    RateLimited,
    ServerBusy,
    ServerError,
    ServerTimeout,
    ServerUnreachable,
    VesselError,
)
from vessel_core.records import record
from vessel_core.types import Progress, Timeout
from vessel_core.wire import Call, Reply
from vessel_core.wire.failures import error_from, retry_after

FIRST_DELAY = 0.25
LONGEST_DELAY = 8.0
LONGEST_RETRY_AFTER = 120.0
RESTART_DELAY = 0.5
FULL = 100.0
LOST = (ModelLoading, ProtocolError, ServerError, ServerUnreachable)
"""What a server fails with that is being started anew."""
RETRY_COST = 10.0


@record
class Send:
    """Make this request, `within` so many seconds if that is less than its timeout; the answer is a `Reply`, or the error that
    kept one from coming."""

    call: Call
    within: float | None = None

    def timeout(self, usual: Timeout) -> Timeout:
        """Return how long it may take."""
        if self.within is None or (usual.request is not None and usual.request <= self.within):
            return usual
        return replace(usual, request=self.within)


@record
class Open(Send):
    """Make this request and leave its reply open if it is good, to be read as it comes."""


@record
class Wait:
    """Sleep so many seconds; `progress` says what for."""

    seconds: float
    progress: Progress | None = None


Step = Send | Wait
Outcome = Reply | VesselError | None
Attempts = Generator[Step, Outcome, Reply]


@dataclass(slots=True, eq=False, repr=False)
class Host:
    """What is known of a host: whether it `answered` before, the `tokens` that retries cost, and how often it was `lost`: who
    answers next may be another server.

    A retry takes ten tokens of at most a hundred and a good reply gives one back, so that a server in trouble gets at most a
    tenth more requests than it would without retries.
    """

    tokens: float = FULL
    answered: bool = False
    lost: int = 0

    def reward(self) -> None:
        """Note a good reply."""
        self.tokens = min(self.tokens + 1, FULL)

    def spend(self) -> bool:
        """Take the price of a retry; tell whether there was enough."""
        if self.tokens < RETRY_COST:
            return False
        self.tokens -= RETRY_COST
        return True


@lru_cache(maxsize=512)
def host_of(root: str) -> Host:
    """Return what is known of the host of a server, by its root: every client of this process shares it.

    What was asked for longest ago is forgotten, so that a gateway to ever new servers doesn't grow.
    """
    return Host()


@record
class Retries:
    """How often and how long: `most` further attempts after the first, `timeout` for each, and for a model that loads.

    `elsewhere` makes, of several hosts, a call that failed one for another host, if one can take it at once.
    `hear` is told of every reply. `clock` tells the seconds.
    """

    most: int = 2
    timeout: Timeout = field(default_factory=Timeout)
    health: str = "/health"
    draw: Callable[[], float] = random.random
    host: Host = field(default_factory=Host)
    elsewhere: Callable[[Call, VesselError], Call | None] | None = None
    hear: Callable[[Reply], None] = lambda _: None
    clock: Callable[[], float] = time.monotonic


def attempts(call: Call, policy: Retries, ask: type[Send] = Send) -> Attempts:
    """Make a call (or `Open` it), again where that can help, before anything of a reply was handed on.

    A connection kept from an earlier call that breaks before any byte is tried again at once, unseen: llama.cpp closes idle
    and old connections without a word. A loading model is waited for. What timed out is never sent again: it would run the
    whole prompt once more.
    """
    tried = retries = 0
    stale = False
    loading = _Loading(policy)
    while True:
        outcome = yield ask(call)
        tried += 1
        if isinstance(outcome, Reply):
            policy.host.answered = True
            policy.hear(outcome)
        error = _error(outcome)
        if error is None:
            assert isinstance(outcome, Reply)  # noqa: S101 - what `_error` has just told
            policy.host.reward()
            return outcome
        error.attempts = tried
        policy.host.lost += isinstance(error, LOST)
        moved = policy.elsewhere(call, error) if policy.elsewhere is not None else None
        if moved is not None and retries < policy.most:
            call = moved
            retries += 1
        elif isinstance(error, ModelLoading):
            yield from loading.wait(error)
        elif not stale and isinstance(error, ServerUnreachable) and error.stale:
            stale = True
        elif (
            delay := retry_delay(error, retries, policy, call.longest(policy.timeout))
        ) is None or not policy.host.spend():
            raise error
        else:
            retries += 1
            yield Wait(delay)


def _error(outcome: Outcome) -> VesselError | None:
    if isinstance(outcome, VesselError):
        return outcome
    return error_from(outcome) if outcome is not None and outcome.status >= 300 else None


def retry_delay(error: VesselError, retries: int, policy: Retries, longest: float | None) -> float | None:
    """Return how many seconds to wait before the next attempt, or `None` if there should be none. Who waits `longest` for an
    answer doesn't wait longer to ask for it."""
    if retries >= policy.most:
        return None
    if isinstance(error, RateLimited | ServerBusy | ServerError) and (asked := _asked(error)) is not None:
        most = LONGEST_RETRY_AFTER if longest is None else min(longest, LONGEST_RETRY_AFTER)
        return asked if asked <= most else None
    if isinstance(error, ServerUnreachable) and error.refused:
        return _after_refusal(retries, policy)
    return policy.draw() * min(FIRST_DELAY * 2**retries, LONGEST_DELAY) if _may_pass(error, retries) else None


def _asked(error: VesselError) -> float | None:
    """Return how many seconds the server asked to wait."""
    return retry_after(error.response.headers) if error.response else None


def _after_refusal(retries: int, policy: Retries) -> float | None:
    """A server that has answered before may be starting anew: that takes a second. One that never did is not there."""
    if policy.host.answered:
        return RESTART_DELAY * (1 + policy.draw()) * 2**retries
    return policy.draw() * FIRST_DELAY if retries == 0 else None


def _may_pass(error: VesselError, retries: int) -> bool:
    """Tell whether what went wrong may be over by the next attempt."""
    if isinstance(error, ServerUnreachable):
        return error.reset
    if isinstance(error, ServerError):
        return retries == 0 or error.status_code in (502, 503, 504)
    if isinstance(error, ProtocolError):
        return retries == 0 and error.cut
    return isinstance(error, RateLimited | ServerBusy)


class _Loading:
    """Waits for a model to load, as long as the policy says in all."""

    def __init__(self, policy: Retries) -> None:
        self._policy = policy
        self._waited = 0.0
        self._pause = FIRST_DELAY

    def wait(self, error: ModelLoading) -> Generator[Step, Outcome, None]:
        """Ask for the server's health until its model is loaded; raise `error` when the time is over."""
        limit = self._policy.timeout.load
        total = int(limit) if limit is not None else None
        while limit is None or self._waited < limit:
            yield Wait(self._pause, Progress("waiting for the model to load", int(self._waited), total, "seconds"))
            self._waited += self._pause
            self._pause = min(self._pause * 1.5, 2.0)
            left = None if limit is None else max(limit - self._waited, FIRST_DELAY)
            asked = self._policy.clock()
            outcome = yield Send(Call("GET", self._policy.health), left)
            self._waited += self._policy.clock() - asked
            if not isinstance(_error(outcome), ModelLoading | ServerBusy | ServerTimeout):
                return
        raise error
