"""Operations that take their time and say how far they are: steps that yield progress between their calls."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

from vessel_core.errors import ModelLoading, ServerBusy, ServerTimeout, ServerUnreachable, VesselError
from vessel_core.retry import Wait
from vessel_core.types import Progress
from vessel_core.wire import Call, Reply
from vessel_core.wire.failures import error_from, json_body
from vessel_core.wire.framing import Lines
from vessel_core.wire.reading import count, mapping, mappings, string

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0


@dataclass(frozen=True, slots=True)
class Follow:
    """Make a call whose reply is a line of JSON for each step of the work; `read` turns one into progress."""

    call: Call
    read: Callable[[Mapping[str, Any]], Progress]


Steps = Generator[Call | Follow | Wait | Progress, Reply | None, None]
"""An operation to watch: it yields calls, waits and progress; it is sent the reply of a call, and its error is raised inside."""


class ProgressLines:
    """Reads the reply of a `Follow`: lines of JSON in, progress out; an error that a line holds is raised."""

    def __init__(self, follow: Follow, reply: Reply, *, good: bool) -> None:
        self._read = follow.read
        self._lines = Lines()
        self._status = reply.status
        self._failed = bytearray()
        self._good = good

    def feed(self, data: bytes) -> list[Progress]:
        """Return the progress that `data` completes."""
        if not self._good:
            self._failed += data
            return []
        return [self._progress(line) for line in self._lines.feed(data) if line.strip()]

    def close(self) -> list[Progress]:
        """Take the end of the reply."""
        if not self._good:
            raise error_from(Reply(self._status, body=bytes(self._failed)))
        rest = self._lines.close()
        return [self._progress(rest)] if rest.strip() else []

    def _progress(self, line: bytes) -> Progress:
        fields = mapping(json_body(Reply(200, body=line)))
        return self._read(fields)


def read_status(fields: Mapping[str, Any]) -> Progress:
    """Read a line of Ollama's progress: `{"status", "digest", "total", "completed"}`, in bytes."""
    unit = "bytes" if "total" in fields else ""
    return Progress(
        string(fields.get("status")) or "", count(fields.get("completed")), count(fields.get("total")), unit
    )


def until_ready(health: str, limit: float | None) -> Steps:
    """Ask for the server's health until it is well; raise the last error when `limit` seconds are over."""
    waited, pause = 0.0, FIRST_PAUSE
    while True:
        try:
            yield Call("GET", health)
        except (ModelLoading, ServerBusy, ServerUnreachable, ServerTimeout) as error:
            if limit is not None and waited >= limit:
                raise
            yield Progress(_what(error), int(waited), None if limit is None else int(limit), "seconds")
        else:
            yield Progress("ready")
            return
        yield Wait(pause)
        waited += pause
        pause = min(pause * 1.5, LONGEST_PAUSE)


def _what(error: VesselError) -> str:
    return "the model is loading" if isinstance(error, ModelLoading) else f"waiting for the server ({error.message})"


def until_loaded(model: str, limit: float | None = 300.0) -> Steps:
    """Follow a llama.cpp router's list until it says that a model is loaded."""
    waited = 0.0
    while True:
        reply = yield Call("GET", "/v1/models")
        status = _router_status(reply, model)
        if status.get("failed"):
            raise ModelLoading(f"The model {model!r} failed to load (exit code {status.get('exit_code')}).")
        if status.get("value") == "loaded":
            yield Progress("loaded")
            return
        if limit is not None and waited >= limit:
            raise ModelLoading(f"The model {model!r} did not load within {limit:g} s.")
        yield Progress(string(status.get("value")) or "loading", int(waited), None, "seconds")
        yield Wait(0.2)
        waited += 0.2


def _router_status(reply: Reply | None, model: str) -> Mapping[str, Any]:
    listed = mappings(mapping(json_body(reply or Reply(500))).get("data"))
    return mapping(next((item.get("status") for item in listed if item.get("id") == model), None))
