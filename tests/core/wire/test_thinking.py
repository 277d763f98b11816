"""How reasoning is told from the answer, in tags and under four names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vessel_core.errors import ServerError
from vessel_core.wire import Quirks
from vessel_core.wire.ollama import encode_chat
from vessel_core.wire.thinking import ThinkSplitter

from tests.core.wire.play import TIME, ask, body_of, chunk, event, last, line, openai_stream, play, said, told
from tests.fake_server import transcript


def split(*pieces: str, opened: bool = False) -> tuple[str, str]:
    splitter = ThinkSplitter(opened=opened)
    parts = [*map(splitter.feed, pieces), splitter.close()]
    return "".join(reasoning for reasoning, _ in parts), "".join(text for _, text in parts)


def test_text_without_a_tag_is_handed_on_as_it_is() -> None:
    assert split("Hello", " <think>no</think>") == ("", "Hello <think>no</think>")
    assert split("  indented") == ("", "  indented")


def test_a_thought_that_never_ends_is_reasoning() -> None:
    assert split("<think>hm", "m") == ("hmm", "")


def test_half_a_tag_at_the_end_is_text() -> None:
    assert split("<thi") == ("", "<thi")


def test_line_breaks_around_the_thought_are_dropped_and_those_inside_are_kept() -> None:
    assert split("\n<think>\n\na\n\nb\n</think>\n\nHello\n") == ("a\n\nb", "Hello\n")


@pytest.mark.parametrize("tag", ["think", "thinking"])
def test_quirk_71_a_tag_split_over_chunks_is_a_tag(tag: str) -> None:
    text = f"<{tag}>\nhm < </thin\n</{tag}>\n\nHello < </think>"
    for at in range(len(text)):
        assert split(text[:at], text[at:]) == ("hm < </thin", "Hello < </think>"), at
    assert split(*text) == ("hm < </thin", "Hello < </think>")


def test_quirk_71_tags_in_the_text_of_a_stream_become_reasoning() -> None:
    reply = said(chunk({"content": "<th"}), chunk({"content": "ink>hm</think>Hello"}))
    assert (reply.reasoning, reply.text) == ("hm", "Hello")
    reply = told(line({"content": "<th"}), line({"content": "ink>hm</think>Hello"}), last())
    assert (reply.reasoning, reply.text) == ("hm", "Hello")


@pytest.mark.parametrize(
    ("bound", "apart"), [({}, False), ({"tools": [TIME], "tool_choice": "required"}, True), ({"tools": [TIME]}, False)]
)
def test_a_thought_that_was_asked_for_in_the_text_stands_before_no_json_and_no_call(bound: Any, apart: bool) -> None:
    text = "<think>hm</think>{}"
    reply = said(chunk({"content": text}), options={"reasoning_format": "none"}, **bound)
    assert (reply.reasoning, reply.text) == (("hm", "{}") if apart else ("", text))


def test_quirk_71_a_server_known_to_part_reasoning_is_not_searched_for_tags() -> None:
    assert said(chunk({"content": "<think>"}), quirks=Quirks(think_tags=False)).text == "<think>"


def test_quirk_72_text_before_a_closing_tag_alone_is_reasoning_if_the_template_opened_it() -> None:
    assert split("hm</th", "ink>\n\nHello", opened=True) == ("hm", "Hello")
    for repeated in (["<think>\nhm</think>Hello"], ["<th", "ink>", "\nhm</think>Hello"]):
        assert split(*repeated, opened=True) == ("hm", "Hello")
    assert split("hm</think>Hello") == ("", "hm</think>Hello")
    opened = Quirks(think_opened=True)
    assert said(chunk({"content": "hm</think>Hello"}), quirks=opened).text == "Hello"
    assert told(line({"content": "hm</think>Hello"}), last(), quirks=opened).reasoning == "hm"


NAMES = ["reasoning_content", "reasoning", "thinking"]


@pytest.mark.parametrize("name", NAMES)
def test_quirk_70_reasoning_has_four_names(name: str) -> None:
    reply = said(chunk({name: "hm"}), chunk({name: "m", "content": None}), chunk({"content": "Hello"}))
    assert (reply.reasoning, reply.text) == ("hmm", "Hello")


def test_quirk_70_two_names_with_the_same_text_count_once() -> None:
    assert said(chunk({"reasoning_content": "hm", "reasoning": "hm", "content": ""})).reasoning == "hm"


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": {"text": "hm"}},
        {"reasoning_content": {"content": "hm"}},
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"reasoning_content": {"other": 1}, "reasoning": "hm"},
    ],
)
def test_quirk_74_reasoning_may_be_an_object_or_a_list(delta: dict[str, Any]) -> None:
    assert said(chunk(delta)).reasoning == "hm"


def test_quirk_73_thinking_is_left_to_ollama_unless_it_is_asked_for() -> None:
    assert "think" not in body_of(encode_chat(ask(), Quirks()))
    assert body_of(encode_chat(ask(options={"reasoning": False}), Quirks()))["think"] is False


def test_quirk_73_an_answer_used_up_by_thinking_is_empty_and_ends_by_length() -> None:
    reply = told(line({"content": "", "thinking": "hm"}), last(done_reason="length"))
    assert (reply.text, reply.reasoning, reply.finish) == ("", "hm", "length")


def test_quirk_48_what_a_proxy_says_while_it_loads_is_reasoning_and_its_failure_an_error() -> None:
    played = play(openai_stream(), [chunk({"reasoning_content": "llama-swap loading"}), event({"error": "it broke"})])
    assert (played.reply.reasoning, played.reply.text) == ("llama-swap loading", "")
    assert isinstance(played.error, ServerError)
    loaded = play(openai_stream(), [transcript("llamaswap/loading.sse")])
    assert (loaded.error, "llama-swap" in loaded.reply.reasoning, "llama-swap" in loaded.reply.text) == (
        None,
        True,
        False,
    )
    assert loaded.reply.text


words = st.text(alphabet="<>/thinkg \nab", max_size=40)


@given(text=words, opened=st.booleans(), data=st.data())
def test_any_split_of_any_text_gives_the_same(text: str, opened: bool, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert split(*pieces, opened=opened) == split(text, opened=opened)


@given(text=words.filter(lambda text: not text.lstrip().startswith("<")))
def test_an_answer_without_a_tag_at_its_start_loses_nothing(text: str) -> None:
    assert split(*text) == ("", text)
