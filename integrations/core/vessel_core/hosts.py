"""One of several hosts: what was said of it, and how it is."""

from __future__ import annotations

import math
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

from vessel_core.address import Address
from vessel_core.dispatch import DISPATCHER
from vessel_core.errors import (
    AuthFailed,
    InvalidConfig,
    ModelLoading,
    ModelNotFound,
    ProtocolError,
    RateLimited,
    ResponseTooLarge,
    ServerBusy,
    ServerError,
    ServerUnreachable,
    StreamInterrupted,
    Unsupported,
    VesselError,
)
from vessel_core.types import ModelInfo

if TYPE_CHECKING:
    from vessel_core.dispatch import Ticket

UNKNOWN_SLOTS = 4
"""How many requests a host is taken to work on at once, if neither it nor anybody says."""

PAUSES = (0.1, 0.5, 1.0, 2.0, 3.0)
"""Seconds until a failing host is probed: after its first failure, its second…"""

QUIET = 1.0
"""Seconds of silence after which a host with waiting calls is asked how it is; twice as long each time that it is well."""

LINGER = 1.0
"""Seconds without a call after which nobody needs to look after a host."""

REST = 5.0
"""Seconds of silence after which a host is vetted again before its next call: a server is not exchanged faster than that."""

LONGEST_QUIET = 8.0
LONGEST_PROBE = 15.0
"""Seconds after which a probe is taken for forgotten, as one of an event loop that was stopped."""

REMEMBERED = 4096
"""How many beginnings of prompts are remembered of each host."""

State = Literal["new", "ready", "trial", "aside"]


@dataclass(frozen=True, slots=True)
class Routing:
    """How calls are spread over several hosts.

    - `slots`: how many requests a host works on at once: a number for all, or one for each. `None`: what the server says
      (llama.cpp does), else 4; Ollama's is its `OLLAMA_NUM_PARALLEL`
    - `overcommit`: how many times its slots a host may have in flight; what is above its slots waits there
    - `affinity`: prefer the host that has seen the beginning of a prompt, and so has it cached, while it has a free slot
    - `hang`: seconds of silence, its health page's too, after which the calls that wait for a host go to another one; half of
      a call's own timeout where that is shorter
    """

    slots: int | Sequence[int | None] | None = None
    overcommit: float = 1.5
    affinity: bool = False
    hang: float = 10.0

    def slots_of(self, hosts: int) -> list[int | None]:
        """Return the slots of each host; raise `InvalidConfig` for what can't be right."""
        wanted = {"overcommit": (Real, "a number"), "hang": (Real, "a number"), "affinity": (bool, "True or False")}
        for name, (kind, what) in wanted.items():
            if not isinstance(given := getattr(self, name), kind):
                raise InvalidConfig(f"routing: {name}={given!r} is not {what}.")
        if not (1 <= self.overcommit < math.inf and self.hang > 0):
            raise InvalidConfig(f"{self} has an overcommit below 1, or a hang that is not above 0.")
        each: list[Any] = list(self.slots) if isinstance(self.slots, Sequence) else [self.slots] * hosts
        if len(each) != hosts or not all(
            slots is None or (isinstance(slots, SupportsIndex) and slots.__index__() >= 1) for slots in each
        ):
            raise InvalidConfig(
                f"slots={self.slots!r} does not fit {hosts} hosts.", hint="Give one number, or one for each base_url."
            )
        return each


@dataclass(frozen=True, slots=True)
class HostStatus:
    """A host as it is now: `new` (not yet vetted), `ready`, on `trial` (back, for one call) or `aside` (`error` says why).

    `limit` is how many calls may be `in_flight` at once, those of other clients in this process included; `answered` and
    `failed` count the calls of this client.
    """

    base_url: str
    state: State
    slots: int
    limit: int
    in_flight: int
    answered: int
    failed: int
    error: str | None = None

    def __str__(self) -> str:
        why = f": {self.error}" if self.error else ""
        return f"{self.base_url} {self.state} {self.in_flight}/{self.slots}{why}"


class PoolHost:
    """What a pool knows of one host."""

    def __init__(self, address: Address, slots: int | None, overcommit: float) -> None:
        self.address = address
        self.state: State = "new"
        self.suspicion: VesselError | None = None  # an error of which nobody knows yet whether it is its fault
        self.named = False  # whether it was said why it is not used, since its last good answer
        self.warned: str | None = None
        self.places = DISPATCHER.places_of(address.root)
        self.answered: int = 0
        self.failed = 0
        self.error: VesselError | None = None
        self.waiting: weakref.WeakSet[Ticket] = weakref.WeakSet()  # its calls of which no byte has come
        self.heard: float = 0.0
        self.claimed: float | None = None  # when somebody began to probe it
        self._given = slots
        self._overcommit = overcommit
        self._failures = 0
        self._quiet = QUIET
        self._next_probe = 0.0
        self._beginnings: OrderedDict[int, None] = OrderedDict()
        self.learn(None)

    def learn(self, slots: int | None) -> None:
        """Take what the server says of its slots; what was given counts more."""
        self.slots: int = self._given or slots or UNKNOWN_SLOTS
        self.limit: int = max(1, int(self.slots * self._overcommit))

    @property
    def in_flight(self) -> int:
        """How many calls of this process it works on."""
        return self.places.taken

    @property
    def usable(self) -> bool:
        """Whether calls may go there."""
        return self.state == "ready" or (self.state == "trial" and self.in_flight == 0)

    @property
    def expected(self) -> bool:
        """Whether calls may go there, now or once it was met."""
        return self.usable or self.state == "new"

    @property
    def load(self) -> float:
        """What the next call would find: below or at 1 it has a slot for itself."""
        return (self.in_flight + 1) / self.slots

    def known_part(self, prefix: Sequence[int]) -> int:
        """Return how many steps of a prompt's beginning this host has seen."""
        return next((at for at, step in enumerate(prefix) if step not in self._beginnings), len(prefix))

    def remember(self, prefix: Sequence[int]) -> None:
        """Note the beginning of a prompt that this host has cached now."""
        for step in prefix:
            self._beginnings[step] = None
            self._beginnings.move_to_end(step)
        while len(self._beginnings) > REMEMBERED:
            self._beginnings.popitem(last=False)

    def hear(self, now: float) -> None:
        """Note that something came from it."""
        self.heard, self._quiet = now, QUIET

    @property
    def patience(self) -> float:
        """The seconds of silence that the least patient of its calls puts up with."""
        return min((ticket.patience for ticket in self.waiting), default=math.inf)

    def silent(self, now: float) -> bool:
        """Tell whether it should be asked how it is."""
        return bool(self.waiting) and now - self.heard >= min(self._quiet, self.patience / 2)

    def due(self, now: float) -> bool:
        """Tell whether it should be probed now."""
        if self.claimed is not None and now - self.claimed < LONGEST_PROBE:
            return False
        return self.silent(now) if self.state in ("ready", "trial") else now >= self._next_probe

    def fail(self, now: float, error: VesselError, after: float = 0.0) -> None:
        """Set it aside, for `after` seconds at least."""
        if self.state != "aside" or self.claimed is not None:
            pause = PAUSES[min(self._failures, len(PAUSES) - 1)]
            self._failures += 1
            self._next_probe = now + max(after, pause)
        self.state, self.error = "aside", error

    def forgive(self) -> None:
        """Take it back: what it was suspected of was the call's fault."""
        if self.suspicion is not None and self.error is self.suspicion:
            self.state, self.error, self._failures = "ready", None, max(0, self._failures - 1)
        self.suspicion = None

    def pass_probe(self, now: float, slots: int | None) -> None:
        """Take it in, or back for one call; a silent one that is well is given more time."""
        if self.state in ("ready", "trial"):
            self.heard, self._quiet = now, min(self._quiet * 2, LONGEST_QUIET)
            return
        self.learn(slots)
        self.heard = now
        self.state, self.error = ("ready" if self._failures == 0 else "trial"), None

    def doubtful(self, now: float) -> bool:
        """Tell whether nobody has heard of it for a while: another server may be there by now."""
        return self.state == "ready" and not self.in_flight and now - self.heard > REST

    def succeed(self, now: float, prefix: Sequence[int]) -> None:
        """Note a call that went well."""
        self.hear(now)
        self.named = False
        self.answered += 1
        self.remember(prefix)
        if self.state != "aside" or isinstance(self.error, Silent):
            self.state, self.error, self._failures = "ready", None, 0

    def status(self) -> HostStatus:
        """Return how it is."""
        error = None if self.error is None else self.error.message
        counts = (self.slots, self.limit, self.in_flight, self.answered, self.failed)
        return HostStatus(self.address.root, self.state, *counts, error)


@dataclass(slots=True, eq=False, repr=False)
class Measure:
    """What the first host that was taken in answers with, which all must do from then on: its models, and by their ids the
    vectors of a text."""

    host: PoolHost
    models: Sequence[ModelInfo]
    vectors: dict[str, Sequence[float]] = field(default_factory=dict[str, "Sequence[float]"])


class Silent(ServerUnreachable):
    """A host that says nothing any more, its health page included."""


def is_hosts_fault(error: VesselError) -> bool:
    """Tell whether an error says something of the host, and not of what was asked: a connection that broke, too."""
    if isinstance(error, ServerUnreachable):
        return not error.stale
    if isinstance(error, ServerError):
        return error.status_code in (502, 503, 504)
    if isinstance(error, ProtocolError):
        return error.cut or (isinstance(error, StreamInterrupted) and error.__cause__ is not None)
    return isinstance(error, ModelLoading | RateLimited | ServerBusy)


def may_be_hosts_fault(error: VesselError) -> bool:
    """Tell whether an error may be the host's or the call's fault: another host's answer to the same call will tell."""
    if isinstance(error, ResponseTooLarge) or (isinstance(error, StreamInterrupted) and not error.empty):
        return False
    return isinstance(error, AuthFailed | ModelNotFound | ProtocolError | ServerError | Unsupported)
