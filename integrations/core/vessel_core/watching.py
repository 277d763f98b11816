"""Operations that take their time and say how far they are: steps that yield progress between their calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import Any

from vessel_core.errors import (
    ModelLoading,
    NoServerFound,
    ResponseTooLarge,
    ServerBusy,
    ServerTimeout,
    ServerUnreachable,
    StreamInterrupted,
    VesselError,
)
from vessel_core.records import record
from vessel_core.request import checked_timeout
from vessel_core.retry import Wait
from vessel_core.types import Progress, Timeout, time_limit
from vessel_core.wire import Call, Reply
from vessel_core.wire.failures import check_health, json_body
from vessel_core.wire.framing import Lines
from vessel_core.wire.jsontext import cut_off
from vessel_core.wire.reading import count, mapping, mappings, string

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
SHORTEST_LOOK = 1.0
NO_NEWS = 8 * 1024 * 1024
"""Bytes that may come in a row without any news: hours of a server that says the same each time."""

LINE_COST = 64
"""Bytes for which a line counts beside its own."""

NOT_YET = (ModelLoading, NoServerFound, ServerBusy, ServerUnreachable, ServerTimeout)
"""What may go wrong while a server starts."""


@record
class Follow:
    """Make a call whose reply is a line of JSON for each step of the work; `read` turns one into progress, `last` is the
    status of the last one."""

    call: Call
    read: Callable[[Mapping[str, Any]], Progress]
    last: str


Steps = Generator[Call | Follow | Wait | Progress, Reply | None, None]
"""An operation to watch: it yields calls, waits and progress; it is sent the reply of a call, and its error is raised inside."""


class ProgressLines:
    """Reads the reply of a `Follow`: lines of JSON in, progress out; an error that a line holds is raised."""

    def __init__(self, follow: Follow) -> None:
        self._follow = follow
        self._said = Progress("")
        self._quiet = 0
        self._lines = Lines()

    def feed(self, data: bytes) -> list[Progress]:
        """Return the progress that `data` completes."""
        lines = self._lines.feed(data)
        before = self._said
        progress = [self._progress(line) for line in lines if line.strip()]
        self._quiet = 0 if self._said != before else self._quiet + len(data) + LINE_COST * len(lines)
        if self._quiet > NO_NEWS:
            raise ResponseTooLarge(
                f"{NO_NEWS:,} bytes and more came that say nothing new.", hint="See the server's log, and try again."
            )
        return progress

    def close(self) -> list[Progress]:
        """Take the end of the reply."""
        rest = self._lines.close()
        progress = [self._progress(rest)] if rest.strip() and not cut_off(rest) else []
        if self._said.status != self._follow.last:
            raise StreamInterrupted(
                f"The server stopped before it had finished; the last it said was {self._said.status!r}.",
                hint="See the server's log, and try again: what was fetched is kept.",
            )
        return progress

    def _progress(self, line: bytes) -> Progress:
        self._said = self._follow.read(mapping(json_body(Reply(200, body=line))))
        return self._said


def read_status(fields: Mapping[str, Any]) -> Progress:
    """Read a line of Ollama's progress: `{"status", "digest", "total", "completed"}`, in bytes."""
    unit = "bytes" if "total" in fields else ""
    return Progress(
        string(fields.get("status")) or "", count(fields.get("completed")), count(fields.get("total")), unit
    )


class Waiting:
    """How long a server has been waited for, since it was first looked for; `pause` is how many seconds to wait next.

    A number of seconds bounds the wait alone; of a `Timeout` that is `load`, and the rest is for each look.
    """

    def __init__(self, limit: Timeout | float | None, usual: Timeout | None = None) -> None:
        self.pause: float = FIRST_PAUSE / 1.5
        self.timeout: Timeout | None = None
        if isinstance(limit, Timeout):
            self.timeout = limit = checked_timeout(limit, usual)
        self._limit = limit.load if isinstance(limit, Timeout) else time_limit(limit)
        self._since: float | None = None

    @property
    def _waited(self) -> float:
        now = time.monotonic()
        if self._since is None:
            self._since = now
        return now - self._since

    @property
    def left(self) -> float | None:
        """How many seconds are left to wait."""
        return None if self._limit is None else max(0.0, self._limit - self._waited)

    def look(self, usual: Timeout) -> Timeout:
        """Return how long one look may take: no longer than what is left, but for a moment."""
        left = self.left
        if left is None or (usual.request is not None and usual.request <= left):
            return usual
        return replace(usual, request=max(left, SHORTEST_LOOK))

    def after(self, error: VesselError) -> Progress:
        """Return what to say after one more look in vain; raise the error when the time is over."""
        waited, limit = self._waited, self._limit
        if limit is not None and waited >= limit:
            raise error
        self.pause = min(self.pause * 1.5, LONGEST_PAUSE)
        if limit is not None:
            self.pause = min(self.pause, limit - waited)
        return Progress(_what(error), int(waited), None if limit is None else int(limit), "seconds")


def until_well(health: str, waiting: Waiting) -> Steps:
    """Ask for the server's health until it is well; raise the last error when the time is over."""
    while True:
        try:
            check_health((yield Call("GET", health)) or Reply(500))
        except NOT_YET as error:
            yield waiting.after(error)
        else:
            return
        yield Wait(waiting.pause)


def _what(error: VesselError) -> str:
    if isinstance(error, ModelLoading):
        return "the model is loading"
    return "no server answers yet" if isinstance(error, NoServerFound) else f"waiting for the server ({error.message})"


def until_loaded(model: str, limit: float | None) -> Steps:
    """Follow a llama.cpp router's list until it says that a model is loaded."""
    since = time.monotonic()
    while True:
        reply = yield Call("GET", "/v1/models")
        waited = time.monotonic() - since
        status = _router_status(reply, model)
        if status.get("failed"):
            raise ModelLoading(
                f"The model {model!r} failed to load (exit code {status.get('exit_code')}).",
                hint="See the router's log; the file may be cut off, or too large for the memory.",
            )
        if status.get("value") == "loaded":
            yield Progress("loaded")
            return
        if limit is not None and waited >= limit:
            raise ModelLoading(f"The model {model!r} did not load within {limit:g} s.", hint="See the router's log.")
        yield Progress(string(status.get("value")) or "loading", int(waited), None, "seconds")
        yield Wait(0.2)


def _router_status(reply: Reply | None, model: str) -> Mapping[str, Any]:
    listed = mappings(mapping(json_body(reply or Reply(500))).get("data"))
    return mapping(next((item.get("status") for item in listed if item.get("id") == model), None))
