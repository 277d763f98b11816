"""Vectors as they come and as they are asked for: lists of floats, or one float32 matrix."""

from __future__ import annotations

import base64
import json
import math
import struct
import subprocess
import sys
from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vessel_core import Embeddings
from vessel_core.errors import ProtocolError, ResponseTooLarge, ServerError
from vessel_core.wire import ollama, openai
from vessel_core.wire.jsontext import MAX_COST, loads
from vessel_core.wire.vectors import MOST_LISTS, MOST_NUMBERS

NUMBERS = [0.5, -1.0, 2.0]


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def read(*vectors: object) -> Embeddings:
    """Return what a reply with these vectors is read as."""
    data = [{"index": at, "embedding": vector} for at, vector in enumerate(vectors)]
    return openai.decode_embed(json.dumps({"data": data}).encode(), len(vectors), None)


def written(vector: bytes) -> bytes:
    return b'{"data":[{"embedding":' + vector + b"}]}"


@pytest.mark.parametrize(("sent", "kind"), [(packed(*NUMBERS), "f"), (NUMBERS, "d")])
def test_vectors_are_kept_small_until_lists_are_asked_for(sent: object, kind: str) -> None:
    made = read(sent)
    assert made.rows[0] == array(kind, NUMBERS)
    assert made.vectors == [NUMBERS]
    assert made.vectors is made.vectors


@pytest.mark.parametrize("sent", [packed(*NUMBERS), NUMBERS])
def test_a_matrix_is_float32_in_the_order_of_the_inputs(sent: object) -> None:
    matrix = read(sent, packed(0, 0, 1)).array()
    assert (matrix.dtype, matrix.shape) == (np.float32, (2, 3))
    assert matrix.tolist() == [NUMBERS, [0.0, 0.0, 1.0]]


def test_every_digit_of_a_number_is_kept() -> None:
    numbers = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, 9007199254740993.0]
    assert read(numbers).vectors == [numbers]


def test_every_sign_of_base64_is_read() -> None:
    numbers = [number / 8 for number in range(-4096, 4096)]
    sent = packed(*numbers)
    assert {"+", "/", "A", "z", "0"} < set(sent)
    assert read(sent).vectors == [numbers]
    escaped = written(b'"' + sent.replace("/", "\\/").encode() + b'"')
    assert openai.decode_embed(escaped, 1, None).vectors == [numbers]


@pytest.mark.parametrize(
    "sent", ["AAAA AAA", "AAAAAA==\n", "AAAAA", "AA==AAAA", "ÄAAAAA==", "AAAA", "AAAAAAA=A", 'A"A', ""]
)
def test_what_is_no_base64_of_floats_is_named(sent: str) -> None:
    with pytest.raises(ProtocolError, match="no base64 of floats" if sent else "lengths or none") as caught:
        openai.decode_embed(written(json.dumps(sent, ensure_ascii=False).encode()), 1, None)
    assert json.dumps(sent, ensure_ascii=False)[1:-1].replace("\\", "\\\\") in str(caught.value)


@pytest.mark.parametrize(
    "odd", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"null", b"true", b"false", b'"1"', b"{}", b"9" * 400]
)
@pytest.mark.parametrize("row", [b"[%b]", b"[1.0, %b]", b"[%b, 1.0]", b"[1.0, %b, 2.0]", b"[%b" + b", 1.0" * 30 + b"]"])
def test_what_is_no_number_is_an_error(row: bytes, odd: bytes) -> None:
    with pytest.raises(ProtocolError, match="holds NaN or something that is no number"):
        openai.decode_embed(written(row % odd), 1, None)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("in_base64", [True, False])
def test_no_vector_may_hold_what_is_no_number(odd: float, in_base64: bool) -> None:
    vectors = [[1.0, 2.0], [1.0, odd]]
    with pytest.raises(ProtocolError, match="NaN"):
        read(*([packed(*vector) for vector in vectors] if in_base64 else vectors))


@pytest.mark.parametrize("vector", [[math.inf, -math.inf], [10**4000, -(10**4000)]])
def test_numbers_without_end_that_add_up_to_nothing_are_no_numbers(vector: list[float]) -> None:
    for sent in (vector, packed(*vector)) if math.inf in vector else (vector,):
        with pytest.raises(ProtocolError, match="NaN"):
            read(sent)


def test_the_largest_numbers_are_numbers() -> None:
    assert read(packed(3e38, 3e38)).array().max() > 2e38


@pytest.mark.parametrize("sent", [packed(*NUMBERS), NUMBERS])
def test_vectors_are_checked_without_numpy_too(sent: object) -> None:
    odd = json.dumps({"data": [{"embedding": packed(1.0, math.inf) if isinstance(sent, str) else [1.0, math.inf]}]})
    code = (
        "import sys; from vessel_core.errors import ProtocolError; from vessel_core.wire.openai import decode_embed\n"
        f"assert decode_embed({json.dumps({'data': [{'embedding': sent}]}).encode()!r}, 1, 3).vectors == [{NUMBERS}]\n"
        f"try: decode_embed({odd.encode()!r}, 1, 2)\n"
        "except ProtocolError: assert 'numpy' not in sys.modules\n"
        "else: raise AssertionError"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("decode", "sent"),
    [
        (openai.decode_embed, {"data": [{"index": 0, "embedding": "?"}] * 3}),
        (ollama.decode_embed, {"embeddings": ["?"] * 3}),
    ],
)
def test_vectors_that_nobody_asked_for_are_not_read(decode: Any, sent: object) -> None:
    with pytest.raises(ProtocolError, match="sent 3 vectors for 2 texts"):
        decode(json.dumps(sent).encode(), 2, None)


@pytest.mark.parametrize("kind", ["base64", "list", "nested list"])
def test_a_vector_holds_no_more_numbers_than_models_make(kind: str) -> None:
    def made(size: int) -> object:
        zeros = [0.0] * size
        return packed(*zeros) if kind == "base64" else zeros if kind == "list" else [zeros]

    assert len(read(made(MOST_NUMBERS)).rows[0]) == MOST_NUMBERS
    with pytest.raises(ResponseTooLarge, match="more numbers than 16,384"):
        read(made(MOST_NUMBERS + 3))


def test_a_batch_of_the_most_dimensions_that_are_known_is_taken() -> None:
    assert len(read(*[packed(*[0.0] * 12_288)] * 256).rows) == 256


def test_a_list_of_vectors_that_is_cut_off_is_no_json() -> None:
    whole = json.dumps({"data": [{"embedding": [0.5, 1.5], "index": 0}, {"embedding": packed(0.5, 1.5), "index": 1}]})
    for end in range(len(whole)):
        with pytest.raises(ProtocolError, match=r"is not JSON|is empty") as caught:
            openai.decode_embed(whole[:end].encode(), 2, None)
        assert repr(whole[:end][:20].strip())[1:-1] in str(caught.value)  # as it came


@pytest.mark.parametrize("vector", [b"[1 2]", b"[1,]", b"[,]", b"[+1]", b"[.5]", b"[1e]", b"[0x1]", b"[1]]", b"[01]"])
def test_a_vector_that_is_no_json_is_an_error(vector: bytes) -> None:
    with pytest.raises(ProtocolError, match="JSON"):
        openai.decode_embed(written(vector), 1, None)


VECTOR = st.lists(st.floats(-1e30, 1e30) | st.integers(-9, 9), min_size=1, max_size=3)
BESIDE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('[]{}",:\\ae1', max_size=9) | VECTOR,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["embedding", "a", "[", '"', "\\"]), inner)
    ),
    max_leaves=6,
)


@given(VECTOR, BESIDE, BESIDE, st.booleans(), st.sampled_from([None, 1]), st.booleans())
def test_vectors_are_what_json_says_whatever_stands_beside_them(
    vector: list[float], before: Any, after: Any, ascii_only: bool, indent: int | None, nested: bool
) -> None:
    item = {"before": before, "embedding": [vector] if nested else vector, "after": after}
    sent = {"first": before, "model": '["embedding":"[1]', "data": [item, item], "last": after}
    made = openai.decode_embed(json.dumps(sent, indent=indent, ensure_ascii=ascii_only).encode(), 2, None)
    assert (made.vectors, made.model) == ([vector, vector], sent["model"])


@pytest.mark.parametrize("beside", [[], [507], list(range(500))])
def test_a_list_that_is_no_vector_is_what_it_is(beside: list[int]) -> None:
    good = {"model": beside, "error": [], "data": [{"embedding": NUMBERS}], "usage": beside}
    made = openai.decode_embed(json.dumps(good).encode(), 1, None)
    assert (made.vectors, made.model, made.usage) == ([NUMBERS], None, None)


def test_an_error_that_is_a_list_is_shown() -> None:
    with pytest.raises(ServerError, match="507"):
        openai.decode_embed(b'{"error":[507]}', 1, None)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], "sent 0 vectors for 1 texts"),
        ([0.5] * 3, "sent 3 vectors"),
        ([0.5] * 99, "neither a list of numbers nor base64 but number"),
        (7, "no list"),
    ],
)
def test_what_is_no_list_of_vectors_is_named(found: object, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        ollama.decode_embed(json.dumps({"embeddings": found}).encode(), 1, None)


def test_more_lists_than_are_looked_at_hide_no_vector() -> None:
    sent = {"numbers": [[1]] * (MOST_LISTS + 10), "data": [{"embedding": NUMBERS}]}
    assert openai.decode_embed(json.dumps(sent).encode(), 1, None).vectors == [NUMBERS]


@pytest.mark.parametrize("tokens", [2, MOST_LISTS - 10])
def test_one_vector_for_each_token_is_told(tokens: int) -> None:
    with pytest.raises(ProtocolError, match=f"sent {tokens} vectors for one text: one for each token"):
        read([[0.5] * 30] * tokens)


def test_a_vector_for_each_of_very_many_tokens_has_a_hint_too() -> None:
    with pytest.raises(ResponseTooLarge, match="bytes beside their vectors") as caught:
        read([[0.5] * 1000] * (MOST_LISTS + 2000))
    assert "--pooling mean" in str(caught.value)


def test_numbers_are_no_wide_text_whatever_the_model_is_called() -> None:
    numbers = b"0." + b"5" * 998 + b","
    vectors = b'{"model":"\xe6\xa8\xa1\xe5\x9e\x8b","data":[' + numbers * (MAX_COST // 4 // 1000 + 1) + b"1]}"
    assert len(vectors) > MAX_COST // 4
    assert loads(vectors)["model"] == "\N{CJK UNIFIED IDEOGRAPH-6A21}\N{CJK UNIFIED IDEOGRAPH-578B}"


def test_what_stands_between_texts_is_counted_whatever_quotes_are_escaped() -> None:
    hidden = b'{"a":"' + b"x" * 600 + b'\\"","b":[' + b"{}," * 1_300_000 + b'{}],"c":"\\""}'
    with pytest.raises(ResponseTooLarge, match="so many values"):
        loads(hidden)


@pytest.mark.parametrize("wide", ["\N{SMILING FACE WITH OPEN MOUTH}", r"\ud83d\ude00"])
def test_a_text_of_wide_characters_counts_four_times(wide: str) -> None:
    text = f'"{wide}'.encode() + b"a" * (MAX_COST // 4) + b'"'
    with pytest.raises(ResponseTooLarge, match="so long a text"):
        loads(text)
    assert len(loads(text, most=MAX_COST + 100)) == 1 + MAX_COST // 4


@pytest.mark.parametrize("numbers", [[1e308, 1e308], [-1e308, -1e308, 0.5]])
def test_numbers_whose_sum_is_infinite_are_numbers(numbers: list[float]) -> None:
    assert read(numbers, numbers).vectors == [numbers, numbers]


@pytest.mark.parametrize("said", [{"embedding": "no model " * 20}, {"message": "no model", "trace": [0.5] * 100}])
def test_an_error_among_vectors_is_told_as_it_came(said: dict[str, Any]) -> None:
    with pytest.raises(ServerError) as caught:
        openai.decode_embed(json.dumps({"error": said}).encode(), 1, None)
    assert "no model" in str(caught.value)
