"""How calls that a server left in the text are found, if that was switched on (quirk 64)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vessel_core.types import ResponseFormat
from vessel_core.wire import Quirks
from vessel_core.wire.textcalls import TextCalls

from tests.core.wire.play import TIME, WEATHER, chunk, last, line, ollama_stream, play, said, told

ON = Quirks(text_calls=True)
PARIS = {"name": "get_weather", "arguments": {"city": "Paris"}}
CALL = json.dumps(PARIS)
BOTH: list[tuple[str, Any]] = [("get_weather", {"city": "Paris"}), ("get_time", {})]
NOW = '{"name": "get_time", "parameters": {}}'


def found(*pieces: str, bare: bool = True) -> tuple[str, list[tuple[str, Any]]]:
    texts = TextCalls(["get_weather", "get_time"], bare=bare)
    parts = [*(texts.feed(piece) for piece in pieces), texts.close()]
    calls = [call["function"] for _, some in parts for call in some]
    return "".join(text for text, _ in parts), [(call["name"], call["arguments"]) for call in calls]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (f"<tool_call>\n{CALL}\n</tool_call>\n<tool_call>{NOW}</tool_call>", ""),
        (f"I look.\n\n<tool_call>{CALL}</tool_call><tool_call>{NOW}", "I look."),
        (f"[TOOL_REQUEST]{CALL}[END_TOOL_REQUEST]\n[TOOL_REQUEST]{NOW}[END_TOOL_REQUEST]", ""),
        (f"<|python_tag|>[{CALL}, {NOW}]", ""),
        (f"<|python_tag|>{CALL}<|eom_id|><tool_call>{NOW}</tool_call>", ""),
        (f"\n[{CALL}, {NOW}]\n", ""),
    ],
)
def test_quirk_64_calls_in_the_text_are_read_cut_anywhere(text: str, answer: str) -> None:
    assert found(text) == (answer, BOTH)
    assert found(*text) == (answer, BOTH)
    for at in range(len(text)):
        assert found(text[:at], text[at:]) == (answer, BOTH), at


@pytest.mark.parametrize(
    "text",
    [
        "Hello",
        "a < b and a <tool and <tool_call",
        '<tool_call>{"name": "other", "arguments": {}}</tool_call> more',
        '<tool_call>{"name": "get_time", "arguments": 7}</tool_call>',
        '<tool_call>{"name": "get_time", "arg',
        f"[{CALL}, 7]",
        '{"a": 1}',
        '  {"a": 1} and more',
        f"{CALL} and more",
        " [1] is a list",
        "[",
        "",
    ],
)
def test_quirk_64_what_is_no_call_of_a_tool_stays_text_to_the_character(text: str) -> None:
    assert found(text) == (text, [])
    assert found(*text) == (text, [])


def test_quirk_64_bare_json_is_an_answer_where_json_was_asked_for() -> None:
    assert found(CALL, bare=False) == (CALL, [])
    form: ResponseFormat = {"type": "json_object"}
    assert said(chunk({"content": CALL}), tools=[WEATHER], response_format=form, quirks=ON).text == CALL


def test_quirk_64_the_call_is_one_of_the_replys_in_both_dialects_and_text_where_it_is_off() -> None:
    text = f"<think>hm</think>I look. <tool_call>{CALL}</tool_call>"
    for reply in (
        said(chunk({"content": text}), tools=[WEATHER], quirks=ON),
        told(line({"content": text}), last(), tools=[WEATHER], quirks=ON),
    ):
        assert (reply.reasoning, reply.text, reply.finish) == ("hm", "I look.", "tool_calls")
        assert [json.loads(call["function"]["arguments"]) for call in reply.tool_calls] == [{"city": "Paris"}]
        assert reply.tool_calls[0]["id"].startswith("call_")
    off = said(chunk({"content": text}), tools=[WEATHER])
    assert (off.text, off.tool_calls) == (f"I look. <tool_call>{CALL}</tool_call>", [])


def test_quirk_64_bare_calls_are_read_at_the_end_in_both_dialects() -> None:
    many = f"[{CALL}, {NOW}]"
    for reply in (
        said(chunk({"content": many}), tools=[WEATHER, TIME], quirks=ON),
        told(line({"content": many}), last(), tools=[WEATHER, TIME], quirks=ON),
    ):
        assert (reply.text, [call["function"]["name"] for call in reply.tool_calls]) == (
            "",
            ["get_weather", "get_time"],
        )


@pytest.mark.parametrize("fields", [{}, {"tools": [WEATHER], "tool_choice": "none"}])
def test_quirk_64_without_tools_nothing_is_read(fields: dict[str, Any]) -> None:
    assert said(chunk({"content": CALL}), quirks=ON, **fields).text == CALL


def test_quirk_64_a_forced_call_of_ollamas_is_read_as_one_all_the_same() -> None:
    played = play(
        ollama_stream(ON, tools=[WEATHER], tool_choice="get_weather"),
        [line({"content": '{"city": "Oslo"}'}), last()],
    )
    assert [call["function"]["arguments"] for call in played.reply.tool_calls] == ['{"city": "Oslo"}']


@given(st.lists(st.sampled_from(["<tool_call>", "</tool_call>", CALL, NOW, "[TOOL_REQUEST]", " ", "<", "{", "Hi"])))
def test_any_text_cut_anywhere_gives_the_same(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert found(*text) == found(text) == found(*pieces)
