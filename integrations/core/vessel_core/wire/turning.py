"""A reply read through another's eyes: each delta of it is turned into what it stands for."""

from __future__ import annotations

from abc import ABC, abstractmethod

from vessel_core.types import Delta
from vessel_core.wire import ReplyStream


class TurningStream(ABC):
    """Reads a reply and turns each of its deltas, in place."""

    def __init__(self, reply: ReplyStream) -> None:
        self._reply = reply

    @property
    def done(self) -> bool:
        """Whether the server said that nothing more follows."""
        return self._reply.done

    def feed(self, data: bytes) -> list[Delta]:
        """Take the next bytes."""
        return self._turned(self._reply.feed(data))

    def whole(self, body: bytes) -> list[Delta]:
        """Take a reply that came as one document."""
        return self._turned(self._reply.whole(body))

    def close(self) -> list[Delta]:
        """Take the end of the stream."""
        return self._turned(self._reply.close())

    def _turned(self, deltas: list[Delta]) -> list[Delta]:
        for delta in deltas:
            self._turn(delta)
        return deltas

    @abstractmethod
    def _turn(self, delta: Delta) -> None: ...
