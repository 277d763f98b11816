"""How the turns of a conversation are checked before anything is sent, and what of them is."""

from __future__ import annotations

from typing import Any

import pytest
from vessel_core.errors import InvalidRequest
from vessel_core.request import chat_request

from tests.core.driving import Connect
from tests.core.wire.play import HELLO
from tests.fake_server import llamacpp_server, ollama_server, openai_server, transcript


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        ({"contents": "hi"}, r"has no content, and 'contents' is no field of a message: did you mean 'content'\?"),
        ({"text": "hi"}, r"has no content, and 'text' is no field of a message"),
        ({}, r"has no content\."),
        ({"content": None}, r"has no content\."),
    ],
)
def test_a_users_turn_without_content_is_refused_with_the_name_that_is_no_field(
    connect: Connect, turn: dict[str, Any], said: str
) -> None:
    messages: Any = [HELLO, {"role": "user", **turn}]
    with openai_server() as server:
        client = connect("openai", base_url=server.base_url, model="m")
        with pytest.raises(InvalidRequest, match=rf"messages\[1\] {said}"):
            client.chat(messages)
        assert server.requests == []


@pytest.mark.parametrize(("backend", "field"), [("llamacpp", "reasoning_content"), ("ollama", "thinking")])
def test_what_was_thought_may_have_the_name_it_came_under(connect: Connect, backend: str, field: str) -> None:
    turn: dict[str, Any] = {"role": "assistant", "content": "Hi", "reasoning_content": "Be kind."}
    both = {**turn, "reasoning": "Be brief.", "reasoning_content": "Be kind."}
    ollama = backend == "ollama"
    made = (
        ollama_server(transcript("ollama/text.ndjson")) if ollama else llamacpp_server(transcript("llamacpp/text.sse"))
    )
    messages: Any = [HELLO, turn, HELLO, both, HELLO]
    with made as server:
        connect(backend, base_url=server.base_url, model="m").chat(messages)
        path = "/api/chat" if ollama else "/v1/chat/completions"
        sent = server.asked(path)[0].json()["messages"]
    assert [message.get(field) for message in sent] == [None, "Be kind.", None, "Be brief.", None]


def test_what_a_part_leaves_empty_is_absent() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": None}, "name": None}
    text = {"type": "text", "text": "a", "cache_control": None}
    parts: Any = [text, sound]
    (message,) = chat_request([{"role": "user", "content": parts}]).messages
    assert message.get("content") == [
        {"type": "text", "text": "a"},
        {"type": "input_audio", "input_audio": {"data": "UklGRg=="}},
    ]
    assert "cache_control" in text
