"""Places at hosts, counted over all pools of this process: two clients of one host share what it can take."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from weakref import WeakSet, WeakValueDictionary

from vessel_core.errors import VesselError

if TYPE_CHECKING:
    from vessel_core.hosts import PoolHost
    from vessel_core.pool import HostPool

_NUMBERS = itertools.count()


class Places:
    """How many calls of this process a host has in flight."""

    def __init__(self) -> None:
        self.taken = 0


class Dispatcher:
    """Gives free places to the calls that wait, of whatever pool, first come first served. All pools share its lock."""

    def __init__(self) -> None:
        self._places: WeakValueDictionary[str, Places] = WeakValueDictionary()
        self.pools: WeakSet[HostPool] = WeakSet()
        self.renew()

    def renew(self) -> None:
        """Begin without calls: at first, and in a forked child, whose parent's calls are not its own."""
        self.lock = threading.RLock()
        self.queueing: set[HostPool] = set()
        self._serving = self._owed = False
        for places in self._places.values():
            places.taken = 0
        for pool in self.pools:
            pool.renew()

    def places_of(self, root: str) -> Places:
        """Return the places at the host of this URL."""
        with self.lock:
            places = self._places.get(root)
            if places is None:
                places = self._places[root] = Places()
            return places

    def serve(self, now: float) -> None:
        """Give free places to who waits. The garbage collector may end a call in the middle of it: that is seen to after."""
        self._owed = True
        if self._serving:
            return
        self._serving = True
        try:
            while self._owed:
                self._owed = False
                for pool in sorted(self.queueing, key=lambda each: each.first_come()):
                    pool.seat(now)
        finally:
            self._serving = False


class Ticket:
    """A call's place at a host. Without a `host` it waits, and `wake` is called when it has one, or an `error`.

    `patience` is how many seconds of a silent host it puts up with. `abort` ends a call of which nothing has come yet; `lost`
    tells that this was done, `good` that its reply is no error. A ticket that is dropped leaves.
    """

    __slots__ = (
        "__weakref__",
        "_pool",
        "abort",
        "avoid",
        "counted",
        "era",
        "error",
        "gone",
        "good",
        "heard",
        "host",
        "lost",
        "number",
        "patience",
        "prefix",
        "wake",
    )

    def __init__(
        self, pool: HostPool, prefix: Sequence[int], counted: bool, patience: float, avoid: frozenset[str]
    ) -> None:
        self._pool = pool
        self.number: int = next(_NUMBERS)
        self.era: object = pool.era
        self.prefix: Sequence[int] = prefix
        self.counted: bool = counted
        self.patience: float = patience
        self.avoid: frozenset[str] = avoid
        self.wake: Callable[[], None] = _nobody
        self.host: PoolHost | None = None
        self.error: VesselError | None = None
        self.abort: Callable[[], None] | None = None
        self.gone: bool = False
        self.good: bool = False
        self.heard: bool = False
        self.lost: bool = False

    @property
    def at(self) -> PoolHost:
        """The host, of a ticket that has one."""
        assert self.host is not None  # noqa: S101 - who waits has no business here
        return self.host

    def __del__(self) -> None:
        if not self.gone:
            self._pool.leave(self, self.host.heard if self.host else 0.0)


def _nobody() -> None:
    """Wake nobody: a ticket that had its host at once is waited for by no one."""


DISPATCHER = Dispatcher()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=DISPATCHER.renew)
