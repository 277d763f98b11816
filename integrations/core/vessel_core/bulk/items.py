"""Rows to ask: what they hold, what is asked, and what is found of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from vessel_core.request import chat_request, checked_options, checked_timeout
from vessel_core.types import Message

Task = Literal["embed", "chat"]

COLUMNS: Mapping[Task, Mapping[str, str]] = {
    "embed": {"embedding": "vector"},
    "chat": {
        "text": "text",
        "reasoning": "text",
        "tool_calls": "text",
        "finish": "text",
        "prompt_tokens": "int",
        "completion_tokens": "int",
    },
}
"""What a task adds to a row, beside `row`, `key`, `error` and `attempts`."""


def kinds_of(task: Task) -> Mapping[str, str]:
    """Return the columns of what is found of a row, and their kinds."""
    return {"error": "text", "attempts": "int", **COLUMNS[task]}


@dataclass(slots=True)
class Item:
    """A row to work on: its number, id, key, prompt, and the columns kept of the source."""

    row: int
    key: str
    prompt: Any
    kept: dict[str, Any]
    error: str | None = None
    attempts: int = 0


def check_options(task: Task, options: Mapping[str, Any]) -> None:
    """Raise `InvalidRequest` or `InvalidConfig` for options that no row could be asked with."""
    checked_timeout(options.get("timeout"))
    if task == "chat":
        fields = {name: value for name, value in options.items() if name != "validate"}
        chat_request(messages_of("?"), **fields)
    else:
        named = ("model", "dimensions", "blank", "concurrency", "timeout", "extra_body")
        checked_options({name: value for name, value in options.items() if name not in named})


def wrong_in(given: Any, column: str) -> str | None:
    """Return why a row can't be asked, if it can't."""
    if given is None or given in ("", []):
        return f"The row has nothing in its column {column!r}."
    return None if isinstance(given, str | list) else f"{column!r} is a {type(given).__name__}, not a text."


def prompt_of(given: Any, system: str | None) -> Any:
    """Return what is asked, with a system message before it."""
    if system is None or not given:
        return given
    return [{"role": "system", "content": system}, *messages_of(given)]


def messages_of(given: Any) -> list[Message]:
    """Return what is asked: a text is a user's."""
    return cast("list[Message]", given) if isinstance(given, list) else [{"role": "user", "content": given}]


def batches_of(items: Iterator[Item], size: Callable[[], int]) -> Iterator[list[Item]]:
    """Yield rows together that are asked together; what `size` says may change as more is known."""
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) >= size():
            yield batch
            batch = []
    if batch:
        yield batch
