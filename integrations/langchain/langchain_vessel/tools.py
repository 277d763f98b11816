"""Tools and tool choices, in every spelling that users of other integrations know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from langchain_core.utils.function_calling import convert_to_openai_tool
from typing_extensions import is_typeddict
from vessel_core.errors import InvalidRequest, did_you_mean
from vessel_core.types import Tool
from vessel_core.written_schema import differs, written_schema

from langchain_vessel.typed_dicts import typed_dict_schema

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

ToolLike: TypeAlias = "Mapping[str, Any] | type | Callable[..., Any] | BaseTool"
"""What LangChain takes for a tool: a tool, a function, a pydantic class or TypedDict, a JSON schema, a provider's dict."""

_SAYS_PARAMETERS = frozenset({"function", "parameters", "input_schema", "inputSchema", "toolSpec", "properties"})
_SAYS_A_FUNCTION = _SAYS_PARAMETERS | {"name", "title", "type"}


def to_tools(tools: Sequence[ToolLike] | None, strict: bool | None = None) -> list[Tool]:
    """Return tools as the core takes them; raise `InvalidRequest` for one that only another provider's servers run."""
    return [_to_tool(tool, strict, f"tools[{at}]") for at, tool in enumerate(tools or ())]


def _to_tool(tool: Any, strict: bool | None, where: str) -> Tool:
    from langchain_core.tools import BaseTool  # who binds no tools does not wait for it

    if isinstance(tool, Mapping):
        tool = _of_responses(cast("Mapping[str, Any]", tool))
        if not _is_function(tool):
            raise _not_here(where, tool)
    elif not isinstance(tool, BaseTool) and not hasattr(tool, "__name__"):
        raise InvalidRequest(
            f"{where} is a {type(tool).__name__}, which has no name to be called by.",
            hint="Give a function, a class or a tool of LangChain's; `InjectedToolArg` hides an argument from the model.",
        )
    elif is_typeddict(tool):
        tool = typed_dict_schema(tool)
    made = cast("Tool", convert_to_openai_tool(tool, strict=strict))
    if "function" not in made:
        raise _not_here(where, made)
    takes: Any = tool.tool_call_schema if isinstance(tool, BaseTool) else tool
    if isinstance(takes, type) and differs(takes):
        said = ("title", "description")  # of the tool itself
        made["function"]["parameters"] = {key: value for key, value in written_schema(takes).items() if key not in said}
    return made


def _is_function(tool: Mapping[str, Any]) -> bool:
    """Tell whether a dict says what the model may call: Anthropic's and Google's own tools are a bare type or name."""
    if tool.get("type") in (None, "function", "object", "custom"):
        return bool(_SAYS_A_FUNCTION & tool.keys())
    return bool(_SAYS_PARAMETERS & tool.keys())


def _not_here(where: str, tool: Mapping[str, Any]) -> InvalidRequest:
    return InvalidRequest(
        f"{where} is {dict(tool)!r}: no function with parameters, and what a provider's own servers run, no local one does.",
        hint="Give a function that does it; the schema of an object, where an answer is wanted.",
    )


def _of_responses(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a function as OpenAI's Responses API writes it, without `function` around it, as LangChain reads one."""
    if tool.get("type") != "function" or "function" in tool:
        return tool
    return {key: value for key, value in tool.items() if key != "type"}


def to_allowed(choice: Any, tools: list[Tool]) -> list[Tool]:
    """Return the tools that a choice leaves: OpenAI's `allowed_tools` names some, which no local server reads."""
    if not _is_of_allowed(choice):
        return tools
    listed = cast("Sequence[Mapping[str, Any]]", _allowed(choice).get("tools") or ())
    names = [_named(each) for each in listed]
    for name in names:
        to_tool_choice(name, tools)
    return [tool for tool in tools if tool["function"]["name"] in names]


def _is_of_allowed(choice: Any) -> bool:
    return isinstance(choice, Mapping) and cast("Mapping[str, Any]", choice).get("type") == "allowed_tools"


def _allowed(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what `allowed_tools` says, in the form of chat completions or in that of the Responses API."""
    return cast("Mapping[str, Any]", choice.get("allowed_tools") or choice)


def to_tool_choice(choice: Any, tools: Sequence[Tool]) -> str | None:
    """Return a tool choice as the core takes it: `auto`, `none`, `required`, a tool's name, or `None`.

    Takes `"any"`, `True`, OpenAI's and Anthropic's objects as well. Raises `InvalidRequest` for a tool that isn't there.
    """
    if choice is None or choice is False:
        return None
    if _is_of_allowed(choice):
        choice = _allowed(choice).get("mode") or "auto"
    elif isinstance(choice, Mapping):
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
