"""R10: the format of event streams, by the cases of the WHATWG's text and the web platform's tests, cut in every way.

Each case is a stream and the data of its events, as a browser hands them on; two differences are meant, for a client
that reads one answer and knows how servers end it: an event that the end of the stream cuts off is handed on too (quirk 10),
and an event without data, which a browser drops, is one with empty data where a `data` field was there.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vessel_core.errors import VesselError
from vessel_core.wire.framing import EventStream, Lines

#: name → stream, data of its events.
CASES: dict[str, tuple[bytes, list[bytes]]] = {
    "one line": (b"data:test\n\n", [b"test"]),
    "one space is dropped": (b"data: test\n\ndata:  test\n\ndata:\ttest\n\n", [b"test", b" test", b"\ttest"]),
    "several lines": (b"data: YHOO\ndata: +2\ndata: 10\n\n", [b"YHOO\n+2\n10"]),
    "a comment, an id, an event without one": (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        [b"first event", b"second event", b" third event"],
    ),
    "empty data": (b"data\n\ndata\ndata\n\ndata:\n\n", [b"", b"\n", b""]),
    "a colon needs no space": (b"data:test\n\ndata: test\n\n", [b"test", b"test"]),
    "a byte order mark": (b"\xef\xbb\xbfdata:1\n\ndata:2\n\n", [b"1", b"2"]),
    "a second byte order mark": (b"data:1\n\n\xef\xbb\xbfdata:2\n\ndata:3\n\n", [b"1", b"3"]),
    "two byte order marks": (b"\xef\xbb\xbf\xef\xbb\xbfdata:1\n\ndata:2\n\n", [b"2"]),
    "comments of all lengths": (b"data:1\n:\0\n:\ndata:2\n:" + b"x" * 2048 + b"\ndata:3\n:data:fail\n\n", [b"1\n2\n3"]),
    "a field without a colon": (b"data:test\n\ndata\ndata:x\n\nevent\n\n", [b"test", b"\nx"]),
    "unknown fields": (b"data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\n\n", [b"test\n"]),
    "names are told apart by case": (b"Data:test\nDATA: test\ndata: yes\n\n", [b"yes"]),
    "leading space is no part of a name": (b" data:no\n\ndata : no\n\ndata:yes\n\n", [b"yes"]),
    "all three line ends": (b"data:a\r\n\rdata:b\n\n\r\ndata:c\r\r", [b"a", b"b", b"c"]),
    "line ends mixed in one event": (b"data:a\rdata:b\ndata:c\r\ndata\n\n", [b"a\nb\nc\n"]),
    "an event's type goes by": (b"event:test\ndata:x\n\ndata:x\nevent: other\n\n", [b"x", b"x"]),
    "id and retry": (b"id: a\0b\nretry: 10x\nretry:3000\ndata:x\n\n", [b"x"]),
    "a NUL is a character": (b"data:\0\n\ndata:a\0b\n\n", [b"\0", b"a\0b"]),
    "UTF-8": ("data:ok\u2026 \u2028\u0085\U0001f600\n\n".encode(), ["ok\u2026 \u2028\u0085\U0001f600".encode()]),
}

#: The twin: lines of JSON, as Ollama sends them.
LINES: dict[str, tuple[bytes, list[bytes]]] = {
    "one line": (b'{"a": 1}\n', [b'{"a": 1}']),
    "two lines": (b"{}\n[]\n", [b"{}", b"[]"]),
    "the last line without its end": (b"{}\n[]", [b"{}", b"[]"]),
    "carriage returns": (b"{}\r\n[]\r1\n", [b"{}", b"[]", b"1"]),
    "blank lines": (b"\n{}\n\n\r\n[]\n", [b"{}", b"[]"]),
    "a byte order mark": (b"\xef\xbb\xbf{}\n", [b"{}"]),
    "characters that split text": (
        '"\u2028\u2029\u0085\x0b\x0c"\n'.encode(),
        ['"\u2028\u2029\u0085\x0b\x0c"'.encode()],
    ),
    "UTF-8": ('"\U0001f600"\n'.encode(), ['"\U0001f600"'.encode()]),
}


def events(*pieces: bytes) -> list[bytes]:
    stream = EventStream()
    return [payload for piece in pieces for payload in stream.feed(piece)] + stream.close()


def lines(*pieces: bytes) -> list[bytes]:
    stream = Lines()
    found = [line for piece in pieces for line in stream.feed(piece)] + [stream.close()]
    return [line for line in found if line.strip()]


def cut(data: bytes, *places: int) -> list[bytes]:
    return [data[start:stop] for start, stop in itertools.pairwise([0, *places, len(data)])]


@pytest.mark.parametrize("name", CASES)
def test_an_event_stream_is_read_by_the_book_however_it_is_cut(name: str) -> None:
    data, due = CASES[name]
    assert events(data) == due
    assert events(*cut(data, *range(1, len(data)))) == due  # byte by byte
    for at in range(len(data) + 1):
        assert events(*cut(data, at)) == due, at
    if len(data) < 120:
        for first, second in itertools.combinations(range(len(data) + 1), 2):
            assert events(*cut(data, first, second)) == due, (first, second)


@pytest.mark.parametrize("name", LINES)
def test_lines_are_read_by_the_book_however_they_are_cut(name: str) -> None:
    data, due = LINES[name]
    assert lines(*cut(data, *range(1, len(data)))) == due
    for first, second in itertools.combinations_with_replacement(range(len(data) + 1), 2):
        assert lines(*cut(data, first, second)) == due, (first, second)


def test_there_are_at_least_eighteen_cases() -> None:
    assert len(CASES) >= 18


FRAGMENTS = st.sampled_from(
    [
        b"data:",
        b"data: ",
        b"data",
        b"event: error",
        b"error:",
        b":",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"{",
        b"}",
        b"[DONE]",
    ]
)


@given(st.lists(FRAGMENTS | st.binary(max_size=6), max_size=24), st.data())
def test_any_bytes_give_the_same_events_however_they_are_cut(fragments: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(fragments)
    places = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    try:
        due = events(whole)
    except VesselError:
        return
    assert events(*cut(whole, *places)) == due
