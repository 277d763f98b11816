"""The short way of plain text says exactly what the careful way says, whatever comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vessel_core.errors import VesselError
from vessel_core.types import ChatRequest, Delta
from vessel_core.wire import ollama, openai
from vessel_core.wire.quirks import Quirks

ODD = st.sampled_from([None, 0, 1, True, False, "", "x", " text", [], [1], {}, {"a": 1}, 0.0])
TEXT = st.sampled_from(["", "a", " word", "<think>", "\u2028", None, 5, ["parts"]])


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


DELTA = _some(content=TEXT, role=ODD, reasoning_content=TEXT, refusal=TEXT, tool_calls=ODD)
CHOICE = _some(delta=DELTA | ODD, index=ODD, finish_reason=st.sampled_from([None, "", "stop"]), logprobs=ODD)
CHUNK = _some(choices=st.lists(CHOICE | ODD, max_size=2) | ODD, usage=ODD, timings=ODD, prompt_progress=ODD, error=ODD)
LINE = _some(
    message=_some(content=TEXT, role=ODD, thinking=TEXT, tool_calls=ODD) | ODD,
    done=st.sampled_from([False, False, False, None, 0]),
    error=ODD,
    logprobs=ODD,
)
FIRST_CHUNK = {"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}], "model": "m"}
FIRST_LINE = {"model": "m", "message": {"role": "assistant", "content": "Hello"}, "done": False}


def _said(dialect: ModuleType, payloads: list[bytes]) -> tuple[list[Delta], str]:
    """Return the deltas of a stream, and the error it ended with."""
    stream = dialect.ChatStream(ChatRequest(messages=[]), Quirks())
    deltas: list[Delta] = []
    try:
        for payload in payloads:
            deltas += stream.feed(payload)
        deltas += stream.close()
    except VesselError as error:
        return deltas, f"{type(error).__name__}: {error.message}"
    return deltas, ""


def _both_ways(dialect: ModuleType, payloads: list[bytes], name: str) -> Iterator[tuple[list[Delta], str]]:
    yield _said(dialect, payloads)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dialect, name, lambda _: "")  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
        yield _said(dialect, payloads)


@settings(deadline=None)  # a busy machine is no fault
@given(st.lists(CHUNK, max_size=6))
def test_any_chunks_of_the_openai_dialect_mean_the_same(chunks: list[dict[str, Any]]) -> None:
    payloads = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in [FIRST_CHUNK, *chunks]]
    short, careful = _both_ways(openai, payloads, "openai_text")
    assert short == careful


@settings(deadline=None)  # a busy machine is no fault
@given(st.lists(LINE, max_size=6))
def test_any_lines_of_ollama_mean_the_same(lines: list[dict[str, Any]]) -> None:
    payloads = [json.dumps(line).encode() + b"\n" for line in [FIRST_LINE, *lines]]
    short, careful = _both_ways(ollama, payloads, "ollama_text")
    assert short == careful


def test_texts_of_one_read_are_one_delta_if_asked_for() -> None:
    stream = openai.ChatStream(ChatRequest(messages=[]), Quirks(), together=True)
    chunks = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in ("a", "b", "c", "d")]
    data = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]
    assert [delta.text for delta in stream.feed(data[0])] == ["a"]
    assert [delta.text for delta in stream.feed(b"".join(data[1:]))] == ["bcd"]


def test_what_is_not_plain_text_parts_the_texts_of_one_read() -> None:
    stream = openai.ChatStream(ChatRequest(messages=[]), Quirks(), together=True)
    token = {"content": [{"token": "b", "logprob": -1.0}]}
    choices: list[dict[str, Any]] = [
        {"index": 0, "delta": {"content": "first"}},
        {"index": 0, "delta": {"content": "a"}},
        {"index": 0, "delta": {"content": "b"}, "logprobs": token},
        {"index": 0, "delta": {"content": "c"}},
        {"index": 0, "delta": {"content": "d"}, "finish_reason": "stop"},
    ]
    data = b"".join(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n" for choice in choices)
    assert [(delta.text, bool(delta.logprobs), delta.finish) for delta in stream.feed(data)] == [
        ("first", False, None),
        ("a", False, None),
        ("b", True, None),
        ("c", False, None),
        ("d", False, None),
        ("", False, "stop"),
    ]
