"""The fuzzers' targets over their corpus and over whatever hypothesis makes: what `make fuzz` does, in small.

The claims are the targets' own: nothing is raised but our errors, and cut anywhere the bytes give the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import QUIRKS, STATUSES, TARGETS

HERE = Path(__file__).parent
SEEDS = [
    path for top in (HERE / "corpus", HERE.parent / "transcripts") for path in sorted(top.rglob("*")) if path.is_file()
]
WORDS = st.sampled_from(
    [
        *(b"data: ", b"\n\n", b"\n", b"\r\n", b": ping\n\n", b"event: error\n", b"[DONE]", b"\xef\xbb\xbf", b"\xff"),
        *(
            b'{"choices":[{"index":0,"delta":{',
            b'"content":"a"',
            b"}}]}",
            b'"finish_reason":"stop"',
            b'"tool_calls":[{',
        ),
        *(
            b'{"message":{"content":"a"},"done":false}',
            b'{"done":true}',
            b'{"error":"it broke"}',
            b"null",
            b"NaN",
            b"1e999",
        ),
        *(
            b'"\\ud800"',
            b"[" * 200,
            b"{" * 200,
            b'"',
            b"'",
            b"<think>",
            b"</think>",
            b"<tool_call>",
            b"data:image/png;base64,",
        ),
        *(b"http://", b"@", b"[::1]", b":99999", b"0x7f.1", b"%00"),
    ]
)


CHOICES = math.lcm(len(QUIRKS), len(STATUSES))
"""How many lengths in a row try all that a target may choose."""


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_every_seed(name: str) -> None:
    assert len(SEEDS) > 40
    for seed in (b"", b"a", *(path.read_bytes() for path in SEEDS)):
        for more in range(CHOICES):
            TARGETS[name](seed + b"\n" * more)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS | st.binary(max_size=8), max_size=20).map(b"".join))
def test_a_target_takes_any_bytes(name: str, data: bytes) -> None:
    """A target asserts what must hold, and raises where it doesn't."""
    TARGETS[name](data)


ODD: list[Any] = [
    *(None, True, 0, -1, 1.5, 10**400, -(10**400), 1e308, math.nan, math.inf, "", "a", "\ud800", "9" * 400),
    *([], [None], [[]], [{}], [10**400], {}, {"a": 1}, {"error": "x"}),
]
DOCUMENTS = [path for path in SEEDS if path.name.startswith("document-") and path.read_bytes().startswith(b"{")]


def altered(value: Any) -> Iterator[Any]:
    """Yield a JSON value with something odd in each of its places in turn."""
    yield from ODD
    if isinstance(value, dict | list):
        inner = cast("Any", value)
        for place in list(inner if isinstance(value, dict) else range(len(inner))):
            for other in altered(inner[place]):
                copy = inner.copy()
                copy[place] = other
                yield copy


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_may_hold_anything_anywhere(path: Path) -> None:
    """A target raises whatever comes that is none of our errors."""
    for number, document in enumerate(altered(json.loads(path.read_bytes()))):
        data = json.dumps(document).encode() + b"\n" * (number % CHOICES)
        TARGETS["documents"](data)
        TARGETS["listings"](data)
        TARGETS["ollama_chat"](data)
        TARGETS["openai_chat"](b"data: " + data + b"\n\n")
