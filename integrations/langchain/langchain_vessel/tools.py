"""Tools and tool choices, in every spelling that users of other integrations know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from vessel_core.errors import InvalidRequest, did_you_mean
from vessel_core.types import Tool
from vessel_core.written_schema import differs, written_schema

ToolLike = Mapping[str, Any] | type | Callable[..., Any] | BaseTool
"""What LangChain takes for a tool: a tool, a function, a pydantic class or TypedDict, a JSON schema, a provider's dict."""


def to_tools(tools: Sequence[ToolLike] | None, strict: bool | None = None) -> list[Tool]:
    """Return tools as the core takes them; raise `InvalidRequest` for one that only another provider's servers run."""
    return [_to_tool(tool, strict, f"tools[{at}]") for at, tool in enumerate(tools or ())]


def _to_tool(tool: Any, strict: bool | None, where: str) -> Tool:
    made = cast("Tool", convert_to_openai_tool(tool, strict=strict))
    if "function" not in made:
        raise InvalidRequest(
            f"{where} is {made!r}, which a provider's own servers run: no local server does.",
            hint="Give a function that does it.",
        )
    takes: Any = tool.tool_call_schema if isinstance(tool, BaseTool) else tool
    if isinstance(takes, type) and differs(takes):
        said = ("title", "description")  # of the tool itself
        made["function"]["parameters"] = {key: value for key, value in written_schema(takes).items() if key not in said}
    return made


def to_tool_choice(choice: Any, tools: Sequence[Tool]) -> str | None:
    """Return a tool choice as the core takes it: `auto`, `none`, `required`, a tool's name, or `None`.

    Takes `"any"`, `True`, OpenAI's and Anthropic's objects as well. Raises `InvalidRequest` for a tool that isn't there.
    """
    if choice is None or choice is False:
        return None
    if isinstance(choice, Mapping):
        choice = _named(cast("Mapping[str, Any]", choice))
    if choice is True or choice == "any":
        choice = "required"
    names = [tool["function"]["name"] for tool in tools]
    if choice in ("auto", "none", "required", *names):
        return choice if names or choice != "auto" else None
    raise InvalidRequest(
        f"tool_choice is {choice!r}, which is none of the tools{did_you_mean(str(choice), names)}",
        hint=f"Choose 'auto', 'none', 'any' or one of {names}.",
    )


def _named(choice: Mapping[str, Any]) -> Any:
    """Return the name in OpenAI's `{"type": "function", "function": {"name": …}}` and Anthropic's `{"type": "tool", …}`."""
    function = choice.get("function")
    if isinstance(function, Mapping):
        return cast("Mapping[str, Any]", function).get("name")
    return choice.get("name") or choice.get("type")
