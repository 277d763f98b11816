"""Whether the server that answers is the one that was configured: heard from its answers, asked for only where one fails."""

from __future__ import annotations

import logging
from contextlib import suppress

from vessel_core.backends import COMPATIBLE, Backend, told_by_answer, told_by_header
from vessel_core.backends.base import Flow, unrecognised
from vessel_core.discovery import identify
from vessel_core.errors import VesselError
from vessel_core.types import Delta
from vessel_core.wire import Reply

logger: logging.Logger = logging.getLogger("vessel_core")


class Doubt:
    """What there is to say of who answers `where` a `backend` should be; it is said once, in a warning.

    A server that is known by its name only, or that takes any, is never doubted.
    """

    def __init__(self, backend: Backend, where: str) -> None:
        self._backend = backend
        self._where = where
        self._over = backend.recognises in (unrecognised, COMPATIBLE.recognises)
        self._heard = backend.hands_on
        self._said: str | None = None

    def believe(self) -> None:
        """Take that it is the right one, since its list of models says so."""
        self._over = True

    def hear(self, reply: Reply) -> None:
        """Take the first reply of any kind."""
        if not self._heard:
            self._heard = True
            self._tell(told_by_header(reply.headers.get("server", "")))

    def hear_answer(self, first: Delta) -> None:
        """Take the first delta of an answer."""
        if first.system_fingerprint is not None and not self._backend.hands_on:
            self._tell(told_by_answer(first.system_fingerprint, first.model))

    def ask(self) -> Flow[None]:
        """Ask what kind of server it is, unless that is known."""
        if not self._over:
            with suppress(VesselError):
                self._tell((yield from identify()))
            self._over = True

    def explain(self, error: VesselError) -> Flow[None]:
        """Ask, and put on an error that it came from another server, if it did."""
        yield from self.ask()
        error.hint = self._said or error.hint

    def _tell(self, other: Backend | None) -> None:
        """Say that another server answers, if it does."""
        if self._over or other is None or other in (self._backend, COMPATIBLE):
            return
        self._over = True
        self._said = (
            f"{self._where} points to {other.title}, and not to {self._backend.title}. "
            f"Say backend={other.name!r}, or give the right address."
        )
        logger.warning("%s", self._said)
