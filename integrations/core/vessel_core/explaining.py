"""Checks what came, and puts on an error where it happened, what had come, and which models there are instead; our own frames
are left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from vessel_core.async_drive import arun
from vessel_core.choosing import advice
from vessel_core.drive import run
from vessel_core.errors import NoServerFound, ResponseError, ServerTimeout, ServerUnreachable, VesselError
from vessel_core.types import ChatReply

if TYPE_CHECKING:
    from vessel_core.checking import Check
    from vessel_core.retry import Retries
    from vessel_core.target import Target
    from vessel_core.types import Delta, Timeout

__all__ = ["AsyncExplained", "Explained", "shortened"]

_SAY_IT_ALL = (NoServerFound, ServerUnreachable, ServerTimeout, ResponseError)
"""Errors of the server or of the way to it: which of our functions met them says nothing to anybody."""


class shortened:  # noqa: N801 - reads as what it does: `with shortened():`
    """Raise an error whose message says it all from here, so that a traceback shows who asked, and the message.

    What caused it is its `__context__`, for a debugger.
    """

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Drop what lies between."""
        if isinstance(error, _SAY_IT_ALL):
            raise error.with_traceback(None) from None


class _Explaining(shortened):
    """What goes wrong with a call on `target` by `model` is explained, within the call's `timeout`; `received` is what came
    before, which is checked at its end."""

    def __init__(
        self,
        target: Target,
        connected: Callable[[Retries], Any],
        model: str | None,
        timeout: Timeout | float | None = None,
        received: Sequence[Delta] = (),
        check: Check | None = None,
    ) -> None:
        self._target = target
        self._connected = connected
        self._model = model
        self._timeout = timeout
        self._received = received
        self._check = check

    def __enter__(self) -> None:
        """Begin."""
        self._since = time.monotonic()

    @property
    def _look(self) -> Retries:
        """How long and how often what explains an error is asked for."""
        return self._target.patience(patient=False, timeout=self._timeout)

    def _ended(self) -> None:
        """Learn from an answer that has come whole, and check it."""
        self._target.hear_answer(self._received)
        if self._check is None:
            return
        try:
            self._check(ChatReply.gather(self._received))
        except VesselError as error:
            raise self._target.explain(error, self._since)  # noqa: B904 - the same error, with more on it


class Explained(_Explaining):
    """Ask the server, if need be, what explains an error."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Explain the error."""
        target = self._target
        if error is None:
            self._ended()
        elif isinstance(error, VesselError):
            if (asking := advice(target, error, self._model)) is not None:
                run(asking, self._connected(self._look), self._look)
            super().__exit__(kind, target.explain(error, self._since, self._received), trace)


class AsyncExplained(_Explaining):
    """The twin of `Explained`."""

    async def __aenter__(self) -> None:
        """Begin."""
        self.__enter__()

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Explain the error."""
        target = self._target
        if error is None:
            self._ended()
        elif isinstance(error, VesselError):
            if (asking := advice(target, error, self._model)) is not None:
                await arun(asking, await self._connected(self._look), self._look)
            self.__exit__(kind, target.explain(error, self._since, self._received), trace)
