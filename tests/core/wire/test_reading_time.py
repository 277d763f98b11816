"""The time of reading grows with the length of what a server sends, whatever it sends: within a second, as the issue has it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from vessel_core.errors import VesselError
from vessel_core.types import ChatRequest
from vessel_core.wire import Quirks, ollama
from vessel_core.wire.arguments import mended_arguments
from vessel_core.wire.thinking import ThinkSplitter

MANY = 60_000


def read_document(body: bytes) -> None:
    request = ChatRequest(messages=[{"role": "user", "content": "Hello"}], model="m")
    try:
        ollama.ChatStream(request, Quirks()).whole(body)
    except VesselError:
        return


def think(thought: str) -> None:
    splitter = ThinkSplitter()
    splitter.feed(thought)
    said = "".join(splitter.feed("\n")[0] for _ in range(MANY))
    reasoning, answer = splitter.feed("b</think>c")
    assert (said, answer) == ("", "c")
    assert reasoning.endswith("\n" * MANY + "b" if thought.endswith("a") else "b")


HOSTILE: dict[str, Callable[[], object]] = {
    "blank lines after a document": lambda: read_document(b'{"error":"x","a":{"b":1}}' + b"\n" * MANY),
    "blank lines after each of many": lambda: read_document(b"}\n\n\n" * MANY),
    "escaped quotes in a string that is cut off": lambda: mended_arguments('{"a": "' + '\\"' * MANY),
    "escaped quotes in a string of single quotes that is cut off": lambda: mended_arguments("{'a': '" + "\\'" * MANY),
    "a backslash at the end of it": lambda: mended_arguments('{"a": "' + '\\"' * MANY + "\\"),
    "line breaks at the start of a thought": lambda: think("<think>"),
    "line breaks within a thought": lambda: think("<think>a"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_long_takes_no_time_that_grows_with_its_square(what: str) -> None:
    before = time.thread_time()
    HOSTILE[what]()
    assert time.thread_time() - before < 1.0


def test_line_breaks_at_the_end_of_a_thought_that_never_ends_are_its_own() -> None:
    splitter = ThinkSplitter()
    assert [splitter.feed(text) for text in ("<think>a\n", "\n", "</th")] == [("a", ""), ("", ""), ("", "")]
    assert splitter.close() == ("\n\n</th", "")
