"""Looks at what LlamaIndex leaves untyped, in typed words."""

from __future__ import annotations

from typing import Any, cast

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse


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
