"""Checks the turns of a conversation, and puts them in the one form that dialects write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from vessel_core.errors import InvalidRequest, did_you_mean
from vessel_core.media import image_part
from vessel_core.merging import said
from vessel_core.types import ContentPart, Message, ToolCall
from vessel_core.wire.arguments import arguments_text
from vessel_core.wire.reading import mapping

ROLES = ("system", "user", "assistant", "tool")


def checked_messages(messages: list[Message]) -> list[Message]:
    """Return the turns in the one form that dialects write; raise `InvalidRequest` that names what was wrong and where."""
    if not messages:
        raise InvalidRequest("The list of messages is empty.", hint="Give at least one message with role 'user'.")
    checked: list[Message] = []
    for at, message in enumerate(messages):
        if not isinstance(message, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types exist
            raise InvalidRequest(
                f"messages[{at}] is a {type(message).__name__}, not a message.",
                hint="A message is {'role': 'user', 'content': 'Hello'}; messages are a list of them.",
            )
        role = message.get("role")
        if role not in ROLES:
            raise InvalidRequest(f"messages[{at}] has the role {role!r}.", hint=f"Roles are {', '.join(ROLES)}.")
        checked.append(_checked_message(message, f"messages[{at}]"))
    return _images_out_of_tool_results(checked)


def _checked_message(message: Message, where: str) -> Message:
    if None in message.values() and any(value is None and name != "content" for name, value in message.items()):
        message = cast("Message", {"content": message.get("content"), **said(message)})
    message = _with_reasoning(message)
    if calls := message.get("tool_calls"):
        message = cast("Message", {**message, "tool_calls": _checked_calls(calls, f"{where}.tool_calls")})
    content: Any = message.get("content")
    if content is None and message["role"] == "user":
        raise _no_content(message, where)
    if content is None or isinstance(content, str):
        return message
    if not isinstance(content, Sequence):
        raise InvalidRequest(
            f"{where}.content is of type {type(content).__name__}.", hint="Give a text, or a list of parts."
        )
    parts = [
        _checked_part(part, f"{where}.content[{number}]") for number, part in enumerate(cast("Sequence[Any]", content))
    ]
    return cast("Message", {**message, "content": parts})


def _with_reasoning(message: Message) -> Message:
    """Return a turn with what was thought under our name, where it has it under the one that servers answer with."""
    thought = cast("Mapping[str, Any]", message).get("reasoning_content")
    if not isinstance(thought, str) or message.get("reasoning"):
        return message
    return cast("Message", {**message, "reasoning": thought})


def _no_content(message: Message, where: str) -> InvalidRequest:
    other = next((name for name in message if name not in Message.__annotations__), None)
    unknown = (
        f", and {other!r} is no field of a message{did_you_mean(other, Message.__annotations__)}" if other else "."
    )
    return InvalidRequest(f"{where} has no content{unknown}", hint="Give the user's turn a text, or a list of parts.")


def _checked_calls(calls: Any, where: str) -> list[ToolCall]:
    """Return the calls of a turn with their arguments as text; refuse one that no result can be of."""
    checked: list[ToolCall] = []
    for at, call in enumerate(cast("list[Any]", calls) if isinstance(calls, list | tuple) else [calls]):
        fields = mapping(call)
        function = mapping(fields.get("function"))
        for name, value in (("id", fields.get("id")), ("function.name", function.get("name"))):
            if not isinstance(value, str) or not value:
                raise InvalidRequest(
                    f"{where}[{at}] has no {name}: {str(call)[:100]!r}.",
                    hint="A call is {'id': …, 'type': 'function', 'function': {'name': …, 'arguments': '{…}'}}.",
                )
        try:
            arguments = arguments_text(function.get("arguments"))
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"{where}[{at}] has arguments that are no JSON: {error}.") from None
        named = {"name": function["name"], "arguments": arguments}
        checked.append(cast("ToolCall", {**fields, "function": named}))
    return checked


def _checked_part(part: Any, where: str) -> ContentPart:
    part = cast("dict[str, Any]", part) if isinstance(part, dict) else {"": part}
    kind = part.get("type")
    if kind not in ("text", "image_url", "input_audio") or kind not in part:
        raise InvalidRequest(
            f"{where} is no text, image_url or input_audio part: {str(part)[:100]!r}.",
            hint="`vessel_core.image_part` makes an image part from bytes, a path object, base64 or a URL.",
        )
    if kind == "text" and not isinstance(part["text"], str):
        raise InvalidRequest(f"{where}.text is a {type(part['text']).__name__}, not a text.")
    if kind == "input_audio" and not any(isinstance(mapping(part[kind]).get(name), str) for name in ("data", "url")):
        raise InvalidRequest(f"{where}.input_audio has no data.", hint="`vessel_core.audio_part` makes an audio part.")
    if kind == "image_url":
        _check_picture(part["image_url"], where)
        if isinstance(part["image_url"], str):
            part = {**part, "image_url": {"url": part["image_url"]}}
    inner = part[kind] if kind == "text" else said(part[kind])
    return cast("ContentPart", {**said(part), kind: inner})


def _check_picture(image: Any, where: str) -> None:
    """Refuse what is neither a URL nor a picture before the server is asked for anything."""
    url = cast("dict[str, Any]", image).get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise InvalidRequest(f"{where}.image_url has no url.", hint="`vessel_core.image_part` makes an image part.")
    if not url.startswith(("http://", "https://", "data:")):
        image_part(url)


def _images_out_of_tool_results(messages: Sequence[Message]) -> list[Message]:
    """Write tool results as text, as every server wants them, and hand their pictures on in a user turn after them."""
    out: list[Message] = []
    pictures: list[ContentPart] = []
    for message in messages:
        if message["role"] != "tool" and pictures:
            out.append(_picture_turn(pictures))
            pictures = []
        content = message.get("content")
        if message["role"] == "tool" and content is not None and not isinstance(content, str):
            pictures += [part for part in content if part["type"] != "text"]
            text = "\n".join(part["text"] for part in content if part["type"] == "text")
            message = cast("Message", {**message, "content": text or "(see the picture)"})
        out.append(message)
    return [*out, _picture_turn(pictures)] if pictures else out


def _picture_turn(pictures: Sequence[ContentPart]) -> Message:
    return {"role": "user", "content": [{"type": "text", "text": "This is what the tool returned:"}, *pictures]}
