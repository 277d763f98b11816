"""Whether the server that answers is the one that was configured: heard from its answers, asked for only where one fails."""

from __future__ import annotations

import logging

from vessel_core.backends import COMPATIBLE, Backend, told_by_answer, told_by_header
from vessel_core.backends.base import Flow, unrecognised
from vessel_core.discovery import identify
from vessel_core.errors import VesselError
from vessel_core.types import Delta
from vessel_core.wire import Reply

logger = logging.getLogger("vessel_core")


class Doubt:
    """What there is to say of who answers `where` a `backend` should be; it is said once, in a warning.

    A server that is known by its name only, or that takes any, is never doubted.
    """

    def __init__(self, backend: Backend, where: str) -> None:
        self._backend = backend
        self._where = where
        self._believed = backend.recognises in (unrecognised, COMPATIBLE.recognises)
        self._heard = self._believed or backend.hands_on
        self._asked = self._believed
        self._said: str | None = None

    def hear(self, reply: Reply) -> None:
        """Take the first reply of any kind."""
        if not self._heard:
            self._heard = True
            self._tell(told_by_header(reply.headers.get("server", "")))

    def hear_answer(self, first: Delta) -> None:
        """Take the first delta of an answer."""
        if first.system_fingerprint is not None and not (self._believed or self._backend.hands_on):
            self._tell(told_by_answer(first.system_fingerprint, first.model))

    def ask(self) -> Flow[None]:
        """Ask what kind of server it is, unless that was done or told."""
        if self._asked:
            return
        self._asked = True
        try:
            self._tell((yield from identify()))
        except VesselError:
            return

    def explain(self, error: VesselError) -> Flow[None]:
        """Ask, and put on an error that it came from another server, if it did."""
        yield from self.ask()
        error.hint = self._said or error.hint

    def _tell(self, other: Backend | None) -> None:
        """Say that another server answers, if it does; after that nothing more is asked."""
        if self._said is not None or other is None or other in (self._backend, COMPATIBLE):
            return
        self._asked = True
        self._said = (
            f"{self._where} points to {other.title}, and not to {self._backend.title}. "
            f"Say backend={other.name!r}, or give the right address."
        )
        logger.warning("%s", self._said)
