"""How turns are put where a template takes them."""

from __future__ import annotations

from typing import Any

import pytest
from vessel_core.types import Message
from vessel_core.wire import Quirks
from vessel_core.wire.turns import IN_FORM, arranged, unusual


def system(text: str) -> Message:
    return {"role": "system", "content": text}


def user(content: Any) -> Message:
    return {"role": "user", "content": content}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


CALLING: Message = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
RESULT: Message = {"role": "tool", "tool_call_id": "a", "content": "7"}
PNG: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}

FIRST = Quirks(system="first")
NEVER = Quirks(system="never")
STRICT = Quirks(system="first", repeated_roles=False)


@pytest.mark.parametrize(
    ("quirks", "given", "sent"),
    [
        (Quirks(), [system("a"), user("b"), system("c"), user("d")], [system("a"), user("b"), system("c"), user("d")]),
        (FIRST, [system("a"), user("b"), system("c"), user("d")], [system("a\n\nc"), user("b"), user("d")]),
        (FIRST, [user("b"), system("c")], [system("c"), user("b")]),
        (FIRST, [user("b")], [user("b")]),
        (NEVER, [system("a"), system("b"), user("c")], [user("a\n\nb\n\nc")]),
        (NEVER, [system("a"), assistant("b"), user("c")], [user("a"), assistant("b"), user("c")]),
        (NEVER, [user("a"), user("b")], [user("a"), user("b")]),
        (NEVER, [system("a")], [user("a")]),
        (STRICT, [system("a"), user("b"), system("c"), user("d")], [system("a\n\nc"), user("b\n\nd")]),
        (STRICT, [user("a"), assistant("b"), assistant("c"), user("d")], [user("a"), assistant("b\n\nc"), user("d")]),
        (
            STRICT,
            [user("a"), CALLING, RESULT, RESULT, assistant("b")],
            [user("a"), CALLING, RESULT, RESULT, assistant("b")],
        ),
        (STRICT, [assistant("a"), CALLING], [assistant("a"), CALLING]),
        (STRICT, [user("a"), user([PNG])], [user([{"type": "text", "text": "a"}, PNG])]),
        (STRICT, [user([PNG]), user([PNG])], [user([PNG, PNG])]),
        (STRICT, [user([PNG]), user(None)], [user([PNG])]),
        (STRICT, [user(""), user("b")], [user("b")]),
    ],
)
def test_turns_are_put_as_the_template_takes_them(quirks: Quirks, given: list[Message], sent: list[Message]) -> None:
    assert list(arranged(given, quirks)) == sent


@pytest.mark.parametrize(
    ("bound", "given", "sent"),
    [
        (False, [user("a"), assistant("b")], [user("a"), assistant("b")]),
        (False, [user("a"), assistant("b"), assistant("c")], [user("a"), assistant("b\n\nc")]),
        (True, [user("a"), assistant("b"), assistant("c")], [user("a"), assistant("b\n\nc"), IN_FORM]),
        (True, [user("a"), CALLING, RESULT], [user("a"), CALLING, RESULT]),
        (True, [user("a"), CALLING], [user("a"), CALLING]),
    ],
)
def test_a_last_turn_of_the_assistant_is_one_and_ended_where_the_answer_is_bound(
    bound: bool, given: list[Message], sent: list[Message]
) -> None:
    assert list(arranged(given, Quirks(continues=True), bound=bound)) == sent
    assert list(arranged(given, Quirks(), bound=bound)) == given


def test_a_name_and_a_thought_of_joined_turns_are_kept() -> None:
    first: Message = {"role": "assistant", "content": "a", "reasoning": "hm"}
    assert arranged([first, assistant("b")], STRICT) == [{"role": "assistant", "content": "a\n\nb", "reasoning": "hm"}]


@pytest.mark.parametrize(
    ("messages", "so"),
    [
        ([system("a"), user("b")], False),
        ([user("b"), assistant("c"), user("d")], False),
        ([user("a"), CALLING, RESULT, RESULT], False),
        ([user("b"), system("a")], True),
        ([user("b"), user("c")], True),
    ],
)
def test_turns_that_a_strict_template_refuses_are_told(messages: list[Message], so: bool) -> None:
    assert unusual(messages) is so
