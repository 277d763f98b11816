"""Chats on real servers whose templates refuse system messages, or two turns of one role in a row."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from vessel_core.errors import BadRequest
from vessel_core.local import LocalServer
from vessel_core.types import Message, ResponseFormat

from tests.core.driving import Connect, Tap
from tests.fake_server import Response, llamacpp_server, transcript

TURNS = """\
{%- for message in rest -%}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
ALTERNATING = (
    """\
{%- set rest = messages[1:] if messages[0].role == 'system' else messages -%}
{%- if messages[0].role == 'system' -%}{{- messages[0].content + '\\n' -}}{%- endif -%}
{%- for message in rest -%}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) -%}
{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') -}}
{%- endif -%}
{%- endfor -%}
"""
    + TURNS
)
WITHOUT_SYSTEM = (
    """\
{%- set rest = messages -%}
{%- for message in rest -%}
{%- if message.role == 'system' -%}{{- raise_exception('System role not supported') -}}{%- endif -%}
{%- endfor -%}
"""
    + TURNS
)
SYSTEM_FIRST = (
    """\
{%- set rest = messages -%}
{%- for message in rest -%}
{%- if message.role == 'system' and not loop.first -%}
{{- raise_exception('System message must be at the beginning') -}}
{%- endif -%}
{%- endfor -%}
"""
    + TURNS
)
TWICE: list[Message] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello."},
    {"role": "user", "content": "How are you?"},
]
LATE: list[Message] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello."},
    {"role": "system", "content": "Be kind."},
]


@pytest.fixture(scope="module")
def alternating() -> Iterator[LocalServer]:
    with LocalServer.demo(chat_template=ALTERNATING) as server:
        yield server


@pytest.fixture(scope="module")
def without_system() -> Iterator[LocalServer]:
    with LocalServer.demo(chat_template=WITHOUT_SYSTEM) as server:
        yield server


AS_THEY_ARE = {"repeated_roles": True, "system": "anywhere"}


@pytest.mark.parametrize("model", [None, "demo-chat"])
def test_turns_in_a_row_are_joined_for_a_template_that_wants_them_to_alternate(
    connect: Connect, alternating: LocalServer, model: str | None
) -> None:
    with Tap(alternating.base_url) as tap:
        client = connect(base_url=tap.base_url, model=model)
        assert client.chat(TWICE, max_tokens=5).finish
        assert tap.sent()["messages"] == [TWICE[0], {"role": "user", "content": "Hello.\n\nHow are you?"}]
        assert client.capabilities().repeated_roles is False
        assert "How are you?" in client.apply_template(TWICE)
        assert client.count_chat_tokens(TWICE).exact
    with pytest.raises(BadRequest):
        connect(base_url=alternating.base_url, quirks=AS_THEY_ARE).chat(TWICE)


def test_system_messages_go_into_the_first_turn_for_a_template_that_shows_none(
    connect: Connect, without_system: LocalServer
) -> None:
    with Tap(without_system.base_url) as tap:
        client = connect(base_url=tap.base_url)
        assert client.chat(LATE, max_tokens=5).finish
        assert tap.sent()["messages"] == [{"role": "user", "content": "Be brief.\n\nBe kind.\n\nHello."}]
        assert client.capabilities().system_role is False
    with pytest.raises(BadRequest):
        connect(base_url=without_system.base_url, quirks=AS_THEY_ARE).chat(LATE)


def test_system_messages_become_one_for_a_template_that_takes_it_at_the_beginning_only(connect: Connect) -> None:
    late: list[Message] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello."},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "How are you?"},
    ]
    with LocalServer.demo(chat_template=SYSTEM_FIRST) as server, Tap(server.base_url) as tap:
        client = connect(base_url=tap.base_url)
        assert client.chat(late, max_tokens=5).finish
        assert tap.sent()["messages"] == [{"role": "system", "content": "Be brief.\n\nBe kind."}, late[1], late[3]]
        assert client.capabilities().late_system is False
        with pytest.raises(BadRequest, match="'system': 'first'"):
            connect(base_url=server.base_url, quirks=AS_THEY_ARE).chat(late)


def test_turns_go_as_they_are_to_a_template_that_takes_them(connect: Connect, tapped: Tap) -> None:
    connect(base_url=tapped.base_url).chat(TWICE, max_tokens=5)
    assert tapped.sent()["messages"] == TWICE


def test_a_server_that_does_not_say_is_asked_once_and_trusted(connect: Connect) -> None:
    with llamacpp_server(
        transcript("llamacpp/text.sse"), routes={("GET", "/v1/models"): Response.text("no", 404)}
    ) as server:
        client = connect(base_url=server.base_url, model="x")
        for _ in range(2):
            client.chat(TWICE)
        assert len(server.asked("/v1/models")) == 1
        assert server.asked("/v1/chat/completions")[0].json()["messages"] == TWICE


def test_an_answer_in_a_form_may_follow_a_turn_of_the_assistant(connect: Connect, chat_server: LocalServer) -> None:
    """llama.cpp goes on with that turn, and fails where a grammar should hold."""
    said: list[Message] = [
        {"role": "user", "content": "The weather in Rome?"},
        {"role": "assistant", "content": "Sunny."},
    ]
    client = connect(base_url=chat_server.base_url)
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    form: ResponseFormat = {"type": "json_schema", "json_schema": {"name": "A", "schema": schema}}
    assert json.loads(client.chat(said, response_format=form, max_tokens=100).text)["city"]
    assert client.chat([*said, said[1]], max_tokens=20).finish in ("stop", "length")  # and no refusal
