"""Blocking calls side by side, in threads. Whoever interrupts them (Ctrl-C, a notebook's stop) waits for no answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

LONGEST = 1.0
"""Seconds in which calls that are hung up on end."""

AGAIN = 0.02


class Abreast(ThreadPoolExecutor):
    """Threads for calls of one client. After one that failed no other is begun. An error waits for the calls under way, as
    with any executor; an interrupt does not: `hang_up` ends what is under way, so that the server stops."""

    def __init__(self, at_once: int | None, hang_up: Callable[[], None], name: str = "vessel") -> None:
        super().__init__(at_once, thread_name_prefix=name)
        self._hang_up = hang_up
        self._under_way: set[object] = set()
        self._ended = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a function called, as the executor does."""
        return super().submit(self._call, fn, *args, **kwargs)

    def _call(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        call = object()
        self._under_way.add(call)
        try:
            if self._ended:
                raise CancelledError
            return fn(*args, **kwargs)
        except BaseException:
            self._ended = True
            raise
        finally:
            self._under_way.discard(call)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if error is None or isinstance(error, Exception):
            return super().__exit__(kind, error, traceback)
        self._ended = True
        self.shutdown(wait=False, cancel_futures=True)
        end(self._under_way, self._hang_up)
        return None


def end(under_way: Collection[object], hang_up: Callable[[], None]) -> None:
    """Hang up until nothing is under way, or for a second: a call may have no connection yet that could be hung up on."""
    until = time.monotonic() + LONGEST
    while under_way and time.monotonic() < until:
        hang_up()
        time.sleep(AGAIN)
