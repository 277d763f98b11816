"""Keeps what has come of an answer small, and within a limit: a long one is a million deltas, each with room for every field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, groupby
from sys import getsizeof
from typing import Any, cast

from vessel_core.errors import ResponseTooLarge
from vessel_core.types import Delta, ToolCallDelta

DELTA = 250
"""Bytes of memory a delta, or a piece of a call in it, takes beside its texts, about."""

OBJECT = 24
"""Bytes of memory a value takes beside its own: its place in a list, and what the garbage collector notes."""

CHANCE = 600
"""Bytes that a token with its log probability takes where it goes on to, LlamaIndex say, at the least."""

LOGPROBS = 3
"""How many times the limit of an answer the log probabilities of its tokens may take, for each that is told of a token: they are
most of it, where asked for."""


class Keeping:
    """Joins the deltas in `received`, in place, whenever it is told to; raises `ResponseTooLarge` if they take
    more than `limit` bytes of memory. So many `tops` come with each token, where log probabilities are asked for."""

    def __init__(self, received: list[Delta], limit: int, tops: int = 0) -> None:
        self._received = received
        self._limit = limit
        self._most_logprobs = LOGPROBS * limit * (1 + tops)
        self._joined = len(received)
        self._size = self._logprobs = 0

    def join(self) -> None:
        """Join what is new; raise `ResponseTooLarge` if it is too much."""
        came = sorted(self._received[self._joined :], key=lambda delta: delta.index)  # choices come by turns
        new = [_joined(list(run)) for _, run in groupby(came, _kind)]
        self._received[self._joined :] = new
        self._joined = len(self._received)
        self._size += sum(map(_size, new))
        self._logprobs += sum(_weight(delta.logprobs) for delta in new)
        if self._size > self._limit:
            raise _too_large("The answer takes", self._limit)
        if self._logprobs > self._most_logprobs:
            raise _too_large("The log probabilities of the answer take", self._most_logprobs)


def _too_large(what: str, limit: int) -> ResponseTooLarge:
    return ResponseTooLarge(
        f"{what} more than {limit:,} bytes of memory.",
        hint="The model may repeat itself: set `max_tokens`. If it is to write so much, `limits=Limits(answer=…)` takes more in.",
    )


def _kind(delta: Delta) -> tuple[object, ...]:
    """Return what deltas that can be joined have in common."""
    said = delta.finish or delta.usage or delta.timings or delta.model or delta.response_id or delta.system_fingerprint
    calls = [call.index for call in delta.tool_calls if not (call.id or call.name or call.error or call.repaired)]
    if said or delta.truncated or delta.progress or len(delta.tool_calls) > 1 or len(calls) < len(delta.tool_calls):
        return (id(delta),)
    return (delta.index, *calls, bool(delta.text), bool(delta.reasoning), bool(delta.refusal), bool(delta.logprobs))


def _joined(run: list[Delta]) -> Delta:
    if len(run) == 1:
        return run[0]
    calls = [call for delta in run for call in delta.tool_calls]
    logprobs = list(chain.from_iterable(delta.logprobs or () for delta in run))
    return Delta(
        "".join(delta.text for delta in run),
        "".join(delta.reasoning for delta in run),
        [ToolCallDelta(calls[0].index, arguments="".join(call.arguments for call in calls))] if calls else (),
        logprobs=logprobs or None,
        refusal="".join(delta.refusal for delta in run),
        index=run[0].index,
    )


def _size(delta: Delta) -> int:
    texts = (delta.text, delta.reasoning, delta.refusal, *(call.arguments for call in delta.tool_calls))
    return DELTA * (1 + len(delta.tool_calls)) + sum(map(getsizeof, texts))


def _weight(values: Any) -> int:
    """Return how many bytes of memory JSON takes with all that is in it."""
    total, left = 0, [cast("object", values)]
    while left:
        value = left.pop()
        total += getsizeof(value) + OBJECT
        if isinstance(value, Mapping):
            total += CHANCE
            left += chain.from_iterable(cast("Mapping[object, object]", value).items())
        elif isinstance(value, list | tuple):
            left += cast("Iterable[object]", value)
    return total
