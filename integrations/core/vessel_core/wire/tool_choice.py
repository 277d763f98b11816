"""What a request says of the calls in its reply: which tools may be called, and how long their arguments may be."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from vessel_core.types import ChatRequest, Tool
from vessel_core.wire.quirks import Quirks
from vessel_core.wire.tools import ToolCallAssembler

CHARACTERS_A_TOKEN = 12
"""More than any language has, or two Chinese characters as escapes; arguments are bounded by it where the answer's tokens are."""


def assembler(request: ChatRequest, quirks: Quirks) -> ToolCallAssembler:
    """Return what puts together the calls of the reply to a request."""
    return ToolCallAssembler(
        [tool["function"]["name"] for tool in request.tools],
        parallel=request.parallel_tool_calls is not False,
        repair=quirks.repair_arguments,
        cumulative=quirks.cumulative_arguments,
        limit=_longest(request, quirks),
        used=(call["id"] for message in request.messages for call in message.get("tool_calls") or ()),
        callable_=_callable(request),
    )


def _longest(request: ChatRequest, quirks: Quirks) -> int | None:
    """Return how many characters of arguments the tokens of an answer can make, `None` if it may have any number of them."""
    tokens = request.options.get("max_tokens")
    if tokens is None or tokens < 0 or quirks.max_structured is None:
        return None
    return max(tokens, quirks.max_structured) * CHARACTERS_A_TOKEN


def _callable(request: ChatRequest) -> Collection[str] | None:
    """Return the tools that may be called, `None` if any may: what becomes of a tool there isn't is told by who runs them."""
    if request.tool_choice == "none":
        return ()
    return None if request.tool_choice in (None, "auto", "required") else (request.tool_choice,)


def forced_tool(tools: Sequence[Tool], tool_choice: str | None) -> Tool | None:
    """Return the tool that `tool_choice` names, if it names one."""
    return next((tool for tool in tools if tool["function"]["name"] == tool_choice), None)
