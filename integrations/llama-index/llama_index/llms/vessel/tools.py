"""Tools on their way out, tool calls on their way in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.types import BaseTool
from llama_index.llms.vessel.partial import Arguments, partial_object
from vessel_core import Tool
from vessel_core.errors import InvalidOutput, InvalidRequest
from vessel_core.unvalidated import built
from vessel_core.wire.arguments import mended_arguments

SELECTION_FIELDS = {"tool_id", "tool_name", "tool_kwargs"}


def tool_spec(tool: BaseTool) -> Tool:
    """Return what the model is told of a tool: its own name, so that a call finds it again, and its whole description."""
    described: Any = tool.metadata
    parameters: dict[str, Any] = described.get_parameters_dict()
    return {
        "type": "function",
        "function": {
            "name": described.name or "",
            "description": described.description,
            "parameters": parameters,
        },
    }


def chosen_tool(choice: Any) -> str | None:
    """Return a tool choice as `"auto"`, `"none"`, `"required"` or a tool's name, from any form LlamaIndex's users write."""
    if choice is None or isinstance(choice, str):
        return {"any": "required", "": None}.get(choice, choice) if choice is not None else None
    if isinstance(choice, Mapping):
        choice = cast("Mapping[str, Any]", choice)
        function: Any = choice.get("function", choice)
        name = cast("Mapping[str, Any]", function).get("name") if isinstance(function, Mapping) else function
        if isinstance(name, str):
            return name
        if isinstance(choice.get("type"), str):
            return chosen_tool(choice["type"])
    raise InvalidRequest(
        f"tool_choice={choice!r} is no choice.", hint='Give "auto", "none", "required" or the name of a tool.'
    )


def tool_request(
    tools: Sequence[BaseTool],
    user_msg: str | ChatMessage | None,
    chat_history: Sequence[ChatMessage] | None,
    *,
    parallel: bool,
    required: bool,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the arguments of `chat` for a turn with tools."""
    messages = list(chat_history or ())
    if user_msg is not None:
        messages.append(ChatMessage(role="user", content=user_msg) if isinstance(user_msg, str) else user_msg)
    request: dict[str, Any] = {"messages": messages, **options}
    if not tools:
        request.pop("tool_choice", None)
        return request
    choice = chosen_tool(options.get("tool_choice"))
    if required and choice in (None, "auto"):
        choice = "required"
    request |= {"tools": [tool_spec(tool) for tool in tools], "parallel_tool_calls": parallel}
    if choice is not None:
        request["tool_choice"] = choice
    return request


def is_checked(fields: Mapping[str, Any], options: Mapping[str, Any]) -> bool:
    """Tell whether an answer is checked at its end, for the call it must be. Objects are checked where they are read."""
    return fields.get("tool_choice") not in (None, "auto", "none") and options.get("validate", True)


def tool_selections(response: ChatResponse, *, required: bool) -> list[ToolSelection]:
    """Return the calls of an answer, of a whole one or of one that is still coming.

    A call that can't be run (it is no JSON object) is one of a tool that there isn't, whose name says why: an agent answers
    the model that, and goes on. Raises `InvalidOutput`, which is a `ValueError`, for such a call if one is `required`, or if
    it was cut off at `max_tokens`, as it would be again; and where there is none though one is `required`.
    """
    extra: Mapping[str, Any] = response.message.additional_kwargs  # pyright: ignore[reportUnknownMemberType]
    broken = cast("list[dict[str, Any]]", extra.get("invalid_tool_calls") or [])
    told = cast("Mapping[str, Any]", response.additional_kwargs)  # pyright: ignore[reportUnknownMemberType]
    if broken and (required or told.get("finish_reason") == "length"):
        first = broken[0]
        raise InvalidOutput(
            f"The model's call of {first['name']!r} can't be run: {first['error']}.",
            hint="Raise max_tokens if the answer was cut off, or use a model that is better with tools."
            if mended_arguments(first["arguments"]) in (None, first["arguments"])
            else 'They can be mended: Vessel(quirks={"repair_arguments": True}).',
        )
    calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    selections = [_selection(at, call.tool_call_id, call.tool_name, call.tool_kwargs) for at, call in enumerate(calls)]
    if not selections:
        selections = [_selection(at, *legacy_call(call)) for at, call in enumerate(extra.get("tool_calls") or ())]
    selections += [
        _selection(at, call["id"], f"{call['name']} ({call['error']})", call["arguments"])
        for at, call in enumerate(broken, len(selections))
    ]
    if required and not selections:
        raise InvalidOutput(
            f"The model called no tool; it answered: {(response.message.content or '')[:200]!r}.",
            hint="Pass tool_required=True to make it call one, and leave room for it (max_tokens).",
        )
    return selections


def _selection(at: int, call_id: str | None, name: str, arguments: Mapping[str, Any] | str) -> ToolSelection:
    if isinstance(arguments, Arguments):
        read = arguments.partial()
    else:
        read = partial_object(arguments) if isinstance(arguments, str) else dict(arguments)
    fields = {"tool_id": call_id or f"call_{at}", "tool_name": name, "tool_kwargs": read}
    return built(ToolSelection, fields, SELECTION_FIELDS)


def legacy_call(call: Any) -> tuple[str | None, str, Mapping[str, Any] | str]:
    """Return id, name and arguments of a call in `additional_kwargs["tool_calls"]`, as any class may have written it."""
    function = _part(call, "function") or call
    arguments = _part(function, "arguments")
    if arguments is None:
        arguments = _part(function, "input")  # as Anthropic's API writes it
    if not isinstance(arguments, str | Mapping):
        arguments = "" if arguments is None else str(arguments)
    call_id = _part(call, "id") or _part(call, "tool_call_id")
    return str(call_id) if call_id else None, str(_part(function, "name") or ""), cast("str", arguments)


def _part(value: Any, name: str) -> Any:
    return cast("Mapping[str, Any]", value).get(name) if isinstance(value, Mapping) else getattr(value, name, None)
