"""Looks at what LlamaIndex leaves untyped, in typed words."""

from __future__ import annotations

import pickle
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

from llama_index.core import instrumentation
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.instrumentation.event_handlers import BaseEventHandler


def extra(response: ChatResponse | CompletionResponse | ChatMessage) -> dict[str, Any]:
    """Return `additional_kwargs`, which is a bare dict there."""
    return cast("dict[str, Any]", response.additional_kwargs)  # pyright: ignore[reportUnknownMemberType]


def raw(response: ChatResponse | CompletionResponse) -> dict[str, Any]:
    """Return `raw`, which must be a plain dict."""
    found: Any = response.raw
    assert type(found) is dict
    return cast("dict[str, Any]", found)


def usage(response: ChatResponse | CompletionResponse) -> dict[str, int]:
    """Return the counts of tokens of a whole answer."""
    return raw(response)["usage"]


class _Recorder(BaseEventHandler):
    told: list[Any]

    def handle(self, event: Any, **_: Any) -> None:
        self.told.append(event)


@contextmanager
def events() -> Generator[list[Any]]:
    """Yield the list to which all events of LlamaIndex's instrumentation go."""
    root: Any = cast("Any", instrumentation).get_dispatcher()
    recorder = _Recorder.model_construct(told=[])
    root.event_handlers.append(recorder)
    try:
        yield recorder.told
    finally:
        root.event_handlers.remove(recorder)


def with_key(made: Any, key: str) -> None:
    """Give an object a key, in each field that may hold one."""
    headers = {"Authorization": f"Bearer {key}"}
    places = {"api_key": key, "headers": headers, "default_headers": headers, "client_kwargs": {"headers": headers}}
    for name in _fields(made) & places.keys():
        setattr(made, name, places[name])


def bounded(made: Any, seconds: float) -> None:
    """Give an object a timeout, by the name it has there."""
    for name in _fields(made) & {"timeout", "request_timeout"}:
        setattr(made, name, seconds)


def _fields(made: Any) -> set[str]:
    return set(made.__class__.model_fields)


def written(made: Any) -> str:
    """Return all that an object is stored and shown as."""
    return f"{made.to_dict()} {made.to_json()} {pickle.dumps(made)!r} {made!r} {made.to_payload()}"
