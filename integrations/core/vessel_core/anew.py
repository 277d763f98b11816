"""An answer that nobody has seen anything of may be begun anew on another host, if the first one fails in the middle of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vessel_core.backends.base import Flow
from vessel_core.errors import VesselError
from vessel_core.pool import HostPool
from vessel_core.types import Delta
from vessel_core.verdict import moved_from
from vessel_core.wire import Call, ReplyStream

Begin = Callable[[], Flow[tuple[Call, ReplyStream]]]


class Anew:
    """Begins an answer again with another host, at most `most` times, while nothing of what was `received` was handed on.

    An answer that is needed `whole` is held back until it is complete; how far it is, is told before.
    """

    def __init__(self, pool: HostPool, begin: Begin, received: list[Delta], most: int, *, whole: bool) -> None:
        self._pool = pool
        self._begin = begin
        self._received = received
        self._left = most
        self._whole = whole
        self._tried: frozenset[str] = frozenset()

    def handed(self, deltas: Sequence[Delta]) -> Sequence[Delta]:
        """Return which of these to hand on now."""
        return [delta for delta in deltas if delta.progress is not None] if self._whole else deltas

    def last(self, deltas: Sequence[Delta]) -> Sequence[Delta]:
        """Return what to hand on at the end, of which these came last."""
        return [delta for delta in self._received if delta.progress is None] if self._whole else deltas

    def after(self, error: VesselError) -> Flow[tuple[Call, ReplyStream]]:
        """Return what begins it on another host; raise the error if nothing can. What timed out is never sent again."""
        seen = not self._whole and any(delta.progress is None for delta in self._received)
        tried = None if seen or self._left < 1 else self._pool.retried(self._tried, error)
        if tried is None:
            raise error
        self._left -= 1
        self._tried = tried
        self._received.clear()
        return self._moved()

    def _moved(self) -> Flow[tuple[Call, ReplyStream]]:
        call, reply = yield from self._begin()
        return moved_from(call, self._tried), reply
