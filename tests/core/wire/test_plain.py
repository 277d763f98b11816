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
from vessel_core.wire.plain import TRIES, Plain
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


WRITTEN = st.sampled_from(
    [b"a", b" word", b"", b"content", b'"', b"\\", b"\\n", b"\\u00e9", b"\n", b"\xff", b"\xc3\xa9", b"\xe2\x80\xa8"]
)
"""What may stand between the quotes of a text."""

AROUND = st.sampled_from(
    [
        (b'{"choices":[{"index":0,"delta":{"content":"', b'"}}],"created":1}'),
        (b'{"choices": [{"index": 0, "delta": {"content": "', b'"}}], "created": 1}'),
        (b'{"choices":[{"index":0,"delta":{"content":"', b'"}}],"created":2}'),
        (b'{"choices":[{"index":0,"delta":{"role":"assistant","content":"', b'"}}],"content":"a"}'),
        (b'{"choices":[{"index":0,"delta":{"content":"', b'"},"finish_reason":"stop"}]}'),
        (b'{"choices":[{"index":1,"delta":{"content":"', b'"}}],"created":1}'),
    ]
)


@settings(deadline=None)  # a busy machine is no fault
@given(st.lists(st.tuples(AROUND, st.lists(WRITTEN, max_size=2)), max_size=8))
def test_chunks_that_differ_in_their_texts_alone_mean_what_they_would_one_by_one(
    chunks: list[tuple[tuple[bytes, bytes], list[bytes]]],
) -> None:
    written = [before + b"".join(texts) + after for (before, after), texts in chunks]
    payloads = [b"data: " + payload + b"\n\n" for payload in [json.dumps(FIRST_CHUNK).encode(), *written]]
    short, careful = _both_ways(openai, payloads, "openai_text")
    assert short == careful


BEFORE, AFTER = b'{"choices":[{"index":0,"delta":{"content":"', b'"}}],"created":1}'


@pytest.mark.parametrize("text", ["a", " word", "é", "content", "{}", ":"])
def test_a_text_alone_is_looked_at(text: str) -> None:
    plain = Plain()
    plain.learn(BEFORE + b"a" + AFTER, "a")
    assert plain.again(BEFORE + text.encode() + AFTER) == text


@pytest.mark.parametrize(
    "payload",
    [
        BEFORE + b'x","content":"y' + AFTER,
        BEFORE + b"\\n" + AFTER,
        BEFORE + b"\n" + AFTER,
        BEFORE + b"\xff" + AFTER,
        BEFORE + AFTER,
        BEFORE + AFTER[1:],
        BEFORE + b"a" + AFTER.replace(b"1", b"2"),
        BEFORE.replace(b"0", b"1") + b"a" + AFTER,
        b"[DONE]",
    ],
)
def test_what_is_doubtful_in_any_way_is_read_as_json(payload: bytes) -> None:
    plain = Plain()
    plain.learn(BEFORE + b"a" + AFTER, "a")
    assert plain.again(payload) == ""


@pytest.mark.parametrize("more", [b',"content":"a"}', b',"id":"\\u0061"}', b',"id":"content"}'])
def test_nothing_is_learnt_where_content_may_be_another_key(more: bytes) -> None:
    plain = Plain()
    plain.learn(BEFORE + b"a" + AFTER[:-1] + more, "a")
    assert plain.again(BEFORE + b"b" + AFTER[:-1] + more) == ""


def test_chunks_that_differ_in_their_texts_alone_are_not_read_as_json_each(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    loads = openai.loads
    monkeypatch.setattr(openai, "loads", lambda payload: (read.append(payload), loads(payload))[1])  # pyright: ignore
    chunks = [{"choices": [{"index": 0, "delta": {"content": f"{at} "}}], "model": "m"} for at in range(100)]
    (deltas, _) = _said(openai, [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks])
    assert [delta.text for delta in deltas] == [f"{at} " for at in range(100)]
    assert len(read) == 2  # one that says who answers, one to learn from


def test_what_differs_from_chunk_to_chunk_is_soon_learnt_no_more() -> None:
    plain = Plain()
    chunks = [b'{"choices":[{"delta":{"content":"a"}}],"created":%d}' % at for at in range(TRIES + 1)]
    for chunk in chunks:
        plain.learn(chunk, "a")
    assert [plain.again(chunk.replace(b'"a"', b'"b"')) for chunk in chunks[-2:]] == ["b", ""]


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
