"""LangChain's messages → the core's, including turns that other models and other integrations wrote."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from vessel_core.errors import InvalidRequest
from vessel_core.types import ContentPart, Message, ToolCall

from langchain_vessel.content import (
    assistant_reasoning,
    assistant_text,
    is_for_the_model,
    parts_of,
    plain_if_text,
    tool_result_part,
)

_ROLES: Mapping[str, Literal["system", "user", "assistant", "tool"]] = {
    "developer": "system",
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}


def to_messages(messages: Sequence[BaseMessage]) -> list[Message]:
    """Return the conversation as the core takes it; raise `InvalidRequest` naming the message that can't be sent."""
    answered: set[str | None] = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    made: list[Message] = []
    for at, message in enumerate(messages):
        where = f"messages[{at}]"
        if isinstance(message, AIMessage):
            made.append(_from_assistant(message, answered, where))
        elif isinstance(message, ToolMessage):
            made.append(_from_tool(message, where))
        elif isinstance(message, HumanMessage):
            made += _from_human(message, where)
        else:
            made.append(_from_other(message, where))
    return made


def read_files(messages: Sequence[BaseMessage]) -> bool:
    """Tell whether a block holds a file that has to be read."""
    blocks = (block for message in messages if isinstance(message.content, list) for block in message.content)
    values = (value for block in blocks if isinstance(block, dict) for value in block.values())  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return any(isinstance(value, PathLike) or hasattr(value, "read") for value in values)  # pyright: ignore[reportUnknownArgumentType]


def _from_assistant(message: AIMessage, answered: Container[str | None], where: str) -> Message:
    made: Message = {"role": "assistant", "content": assistant_text(message.content)}
    thought = message.additional_kwargs.get("reasoning_content")
    if isinstance(thought, Mapping):  # Bedrock's
        thought = cast("Mapping[str, Any]", thought).get("text")
    if thought := thought or assistant_reasoning(message.content):
        made["reasoning"] = str(thought)
    if calls := [*_calls(message, where), *_answered_invalid_calls(message, answered, where)]:
        made["tool_calls"] = calls
    if message.name:
        made["name"] = message.name
    return made


def _calls(message: AIMessage, where: str) -> list[ToolCall]:
    """Return the tool calls of a turn; those that stand in its content only (Anthropic's) are read there."""
    if message.tool_calls:
        return [_call(call["id"], call["name"], call["args"], at, where) for at, call in enumerate(message.tool_calls)]
    old: Any = message.additional_kwargs.get("function_call")
    if isinstance(old, Mapping):  # before tools: the result, a `FunctionMessage`, names the function in place of a call
        named = cast("Mapping[str, Any]", old)
        return [_call(str(named.get("name")), str(named.get("name")), named.get("arguments") or "{}", 0, where)]
    if isinstance(message.content, str):
        return []
    used = [
        block for block in message.content if isinstance(block, dict) and block.get("type") in ("tool_use", "tool_call")
    ]
    return [
        _call(block.get("id"), str(block.get("name")), block.get("input") or block.get("args") or {}, at, where)
        for at, block in enumerate(used)
    ]


def _call(call_id: str | None, name: str, arguments: Any, at: int, where: str) -> ToolCall:
    """Write one call. A missing id is made from the place, so that the same history is the same request each time."""
    try:
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(
            f"{where}: the arguments of its call of {name!r} are no JSON: {error}.",
            hint="Write dates and ids as texts.",
        ) from None
    return {"id": call_id or f"call_{at}", "type": "function", "function": {"name": name, "arguments": text}}


def _answered_invalid_calls(message: AIMessage, answered: Container[str | None], where: str) -> list[ToolCall]:
    """Return the calls that could not be run and were answered all the same, by the error: an answer needs its call.

    Their arguments are left out: templates parse them, and would fail.
    """
    return [
        _call(call["id"], call["name"] or "unknown", {}, at, where)
        for at, call in enumerate(message.invalid_tool_calls)
        if call["id"] in answered
    ]


def _from_tool(message: ToolMessage, where: str) -> Message:
    made: Message = {"role": "tool", "content": "", "tool_call_id": message.tool_call_id}
    if message.name:
        made["name"] = message.name
    made["content"] = _tool_content(message.content, where)
    return made


def _tool_content(content: Any, where: str) -> str | list[ContentPart]:
    if isinstance(content, str):
        return content
    return plain_if_text([tool_result_part(block, f"{where}.content[{at}]") for at, block in enumerate(content)])


def _from_human(message: HumanMessage, where: str) -> list[Message]:
    """Return the user's turn; tool results in it (Anthropic's) come before it as turns of their own."""
    content = message.content
    if isinstance(content, str):
        return [_named({"role": "user", "content": content}, message)]
    results = [block for block in content if isinstance(block, dict) and block.get("type") == "tool_result"]
    made: list[Message] = [
        {
            "role": "tool",
            "tool_call_id": str(result.get("tool_use_id") or ""),
            "content": _tool_content(result.get("content") or "", where),
        }
        for result in results
    ]
    rest = [block for block in content if block not in results]
    if rest or not results:
        made.append(_named({"role": "user", "content": plain_if_text(parts_of(rest, where))}, message))
    return made


def _from_other(message: BaseMessage, where: str) -> Message:
    if isinstance(message, FunctionMessage):
        return {"role": "tool", "content": str(message.content), "name": message.name, "tool_call_id": message.name}
    if isinstance(message, SystemMessage):
        role: Literal["system", "user", "assistant", "tool"] | None = "system"
    else:
        role = _ROLES.get(message.role.lower()) if isinstance(message, ChatMessage) else None
    if role is None:
        said = f"the role {message.role!r}" if isinstance(message, ChatMessage) else f"is a {type(message).__name__}"
        raise InvalidRequest(f"{where} {said}, which can't be sent to a model.", hint=f"Roles are {', '.join(_ROLES)}.")
    content: Any = message.content
    if not isinstance(content, str):
        content = [block for block in cast("list[Any]", content) if is_for_the_model(block)]
    return _named({"role": role, "content": plain_if_text(parts_of(content, where))}, message)


def _named(made: Message, message: BaseMessage) -> Message:
    if message.name:
        made["name"] = message.name
    return made
