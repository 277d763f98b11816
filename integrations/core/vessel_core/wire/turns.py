"""Puts the turns of a conversation into the order that a model's template takes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

from vessel_core.types import ContentPart, Message
from vessel_core.wire.quirks import Quirks

IN_FORM: Message = {"role": "user", "content": "Now give the answer in the form that is asked for."}
"""Follows a last turn of the assistant where the answer must be JSON or a call, and the server would go on with that turn."""


def arranged(messages: Sequence[Message], quirks: Quirks, *, bound: bool = False) -> Sequence[Message]:
    """Return the messages with what the template does not take put another way: nothing that was said is lost.

    System messages become one at the start, or the beginning of the first user's turn; turns of one role in a row become
    one. A tool's results and turns with tool calls stay as they are. `bound` says that the answer must be JSON or a call.
    """
    if quirks.system != "anywhere":
        messages = _system_first(messages)
    if quirks.system == "never" and messages and messages[0]["role"] == "system":
        first: Message = {"role": "user", "content": messages[0].get("content")}
        messages = [first, *messages[1:]]
        messages = _joined(messages[:2]) + list(messages[2:])
    messages = messages if quirks.repeated_roles else _joined(messages)
    return _ended(messages, bound=bound) if quirks.continues else messages


def _ended(messages: Sequence[Message], *, bound: bool) -> Sequence[Message]:
    """Return the messages with one turn of the assistant at the end at most, and none where the answer is bound."""
    end = len(messages)
    while end and messages[end - 1]["role"] == "assistant" and not messages[end - 1].get("tool_calls"):
        end -= 1
    if end == len(messages):
        return messages
    return [*messages[:end], *_joined(messages[end:]), *([IN_FORM] if bound else [])]


def unusual(messages: Sequence[Message]) -> bool:
    """Tell whether there are turns that a strict template refuses: two of one role in a row, or a late system message."""
    late = any(message["role"] == "system" for message in messages[1:])
    return late or any(_same_speaker(one, other) for one, other in pairwise(messages))


def _system_first(messages: Sequence[Message]) -> list[Message]:
    said = [message for message in messages if message["role"] == "system"]
    rest = [message for message in messages if message["role"] != "system"]
    return [*_joined(said), *rest]


def _joined(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with those of one role in a row as one."""
    turns: list[Message] = []
    for message in messages:
        if turns and _same_speaker(turns[-1], message):
            content = _both(turns[-1].get("content"), message.get("content"))
            turns[-1] = cast("Message", {**turns[-1], **message, "content": content})
        else:
            turns.append(message)
    return turns


def _same_speaker(one: Message, other: Message) -> bool:
    return one["role"] == other["role"] != "tool" and not one.get("tool_calls") and not other.get("tool_calls")


def _both(
    one: str | Sequence[ContentPart] | None, other: str | Sequence[ContentPart] | None
) -> str | list[ContentPart]:
    if not isinstance(one, str | None) or not isinstance(other, str | None):
        return [*_parts(one), *_parts(other)]
    return "\n\n".join(text for text in (one, other) if text)


def _parts(content: str | Sequence[ContentPart] | None) -> Sequence[ContentPart]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content or ()
