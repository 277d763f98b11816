"""Patterns of schemas as llama.cpp's grammars can be bound by them."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from vessel_core import Client
from vessel_core.local import LocalServer
from vessel_core.types import ResponseFormat, Tool
from vessel_core.wire import ollama, openai
from vessel_core.wire.matching import matches
from vessel_core.wire.patterns import spelled, spelled_patterns

from tests.core.wire.play import DEFAULT, HELLO, ask, body_of, tool

SPELLED = [
    (r"^\d{3}$", r"^[0-9]{3}$"),
    (r"^[\d.]+\s\w$", r"^[0-9.]+[ ][A-Za-z0-9_]$"),
    (r"^\D\W\S$", r"^[^0-9\"\\\x00-\x1F][^A-Za-z0-9_\"\\\x00-\x1F][^ \"\\\x00-\x1F]$"),
    (r"^[\D][^\D][\s\S]$", r"^[^0-9\"\\\x00-\x1F][0-9][^\"\\\x00-\x1F]$"),
    (r"^[\Da]$", r"^[\Da]$"),
    (r"^(?=.*\d)(?!.*\s)\w{3}$", r"^[A-Za-z0-9_]{3}$"),
    (r"^a(?=b)b$", r"^a(?=b)b$"),
    (r"^[^a].$", r"^[^a\"\\\x00-\x1F][^\"\\\x00-\x1F]$"),
    (r"^[\w\-.]+@\w+\.[a-z]{2,}$", r"^[A-Za-z0-9_.-]+@[A-Za-z0-9_]+\.[a-z]{2,}$"),
    (r"^[^\-a]$", r"^[^a\"\\\x00-\x1F-]$"),
    (r"^[\^a]\[\d\]$", r"^[a^]\[[0-9]\]$"),
    (r'^["\\b]$', r"^[b]$"),
    (r'^["]$', r'^["]$'),
    (r"^a\/b\-c\.$", r"^a/b-c\.$"),
    (r'^"\"\\$', r'^\\"\\"\\\\$'),
    (r"^\x41\u0042\n$", r"^\x41\u0042\n$"),
    (r"^a+?b{2,}?c?$", r"^a+b{2,}c?$"),
    (r"ab", r"^[^\"\\\x00-\x1F]*(ab)[^\"\\\x00-\x1F]*$"),
    (r"^(a|b)", r"^((a|b))[^\"\\\x00-\x1F]*$"),
    (r"b$", r"^[^\"\\\x00-\x1F]*(b)$"),
    (r"a|b", r"^[^\"\\\x00-\x1F]*(a|b)[^\"\\\x00-\x1F]*$"),
    (r"^a|b", r"^a|b"),
    (r"^(?:a|b)", r"^((?:a|b))[^\"\\\x00-\x1F]*$"),
    (r"^\\b(?!a)$", r"^\\b(?!a)$"),
    (r"^$", r"^$"),
    ("", ""),
    (r"^a$|^b$", r"^a$|^b$"),
    (r"^\ba$", r"^\ba$"),
    (r"^(?=a)a$", r"^a$"),
    (r"^(a)\1$", r"^(a)\1$"),
    ("^[A-Z]+$", "^[A-Z]+$"),
    ("^[", "^["),
]


@pytest.mark.parametrize(("pattern", "expected"), SPELLED)
def test_a_pattern_is_spelled_out_wherever_it_is(pattern: str, expected: str) -> None:
    assert spelled(pattern) == expected
    schema = {"properties": {"pattern": {"anyOf": [{"pattern": pattern}]}}, "const": {"pattern": pattern}, "pattern": 7}
    wanted = {
        "properties": {"pattern": {"anyOf": [{"pattern": expected}]}},
        "const": {"pattern": pattern},
        "pattern": 7,
    }
    assert spelled_patterns(schema) == wanted


def test_patterns_of_tools_and_of_answers_are_spelled_out_in_both_dialects() -> None:
    phone = tool("call", phone={"type": "string", "pattern": r"^\d$"})
    form: ResponseFormat = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"pattern": r"^\d$"}}}
    sent = body_of(openai.encode_chat(ask(tools=[phone]), DEFAULT))
    assert sent["tools"][0]["function"]["parameters"]["properties"]["phone"]["pattern"] == "^[0-9]$"
    sent = body_of(openai.encode_chat(ask(response_format=form), DEFAULT))
    assert sent["response_format"]["json_schema"]["schema"] == {"pattern": "^[0-9]$"}
    assert body_of(ollama.encode_chat(ask(response_format=form), DEFAULT))["format"] == {"pattern": "^[0-9]$"}
    forced = body_of(ollama.encode_chat(ask(tools=[phone], tool_choice="call"), DEFAULT))
    assert forced["format"]["properties"]["phone"]["pattern"] == "^[0-9]$"


REAL = [
    *(r"^\d{3}$", r"^\D{3}$", r"^\W{3}$", r"^\S{3}$", r"^.{3}$", r"^[^0-9]{3}$", r"^[\s\S]{2}$", r"^[^\D]{2}$"),
    *(
        r"^a\/b$",
        r'^"x"$',
        r"^\\a$",
        r"^[\w\-]{2}@x$",
        r"^[a-z]{2,4}?$",
        "a|b",
        r"^\x41{2}$",
        r"^(?=a)(?!.*d)a[bc]{2}$",
    ),
]


@pytest.mark.parametrize("pattern", REAL)
def test_the_real_server_binds_answers_and_calls_by_it(chat_server: LocalServer, pattern: str) -> None:
    """Without it the server ignores most of these, or answers 500 to what it wrote itself."""
    schema = {"type": "object", "properties": {"said": {"type": "string", "pattern": pattern}}, "required": ["said"]}
    form: ResponseFormat = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    say: Tool = {"type": "function", "function": {"name": "say", "parameters": schema}}
    with Client(base_url=chat_server.base_url) as client:
        answer = client.chat([HELLO], response_format=form, max_tokens=100, seed=1).text
        (call,) = client.chat([HELLO], tools=[say], tool_choice="say", max_tokens=100, seed=1).tool_calls
    for text in (answer, call["function"]["arguments"]):
        assert matches(pattern, json.loads(text)["said"]), text


def plain(text: str) -> bool:
    """Tell whether JSON writes a text as it is."""
    return json.dumps(text, ensure_ascii=False)[1:-1] == text


@example(r"^\D\W\S$", ":¹0")
@example(r"^\D\W\S$", "aé\xa0")
@given(
    st.sampled_from(
        [
            pattern
            for pattern, made in SPELLED
            if made.endswith("$") and not re.search(r"s|\(\?", pattern) and made != pattern
        ]
    ),
    st.text(max_size=6),
)
def test_what_it_matches_the_pattern_matches_too(pattern: str, text: str) -> None:
    if plain(text) and re.fullmatch(spelled(pattern).replace(r'\\"', '"'), text):
        assert matches(pattern, text)
