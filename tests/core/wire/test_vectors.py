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
from vessel_core import Embeddings
from vessel_core.errors import ProtocolError, ResponseTooLarge
from vessel_core.wire import ollama, openai
from vessel_core.wire.jsontext import MAX_COST, NUMBER, loads
from vessel_core.wire.vectors import VECTOR, check_vectors, decode_vector, room

NUMBERS = [0.5, -1.0, 2.0]


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def test_base64_is_kept_small_until_lists_are_asked_for() -> None:
    made = Embeddings([decode_vector(packed(*NUMBERS))])
    assert not isinstance(made.rows[0], list)
    assert made.vectors == [NUMBERS]
    assert made.vectors is made.vectors


@pytest.mark.parametrize("sent", [packed(*NUMBERS), NUMBERS])
def test_a_matrix_is_float32_in_the_order_of_the_inputs(sent: object) -> None:
    matrix = Embeddings([decode_vector(sent), decode_vector(packed(0, 0, 1))]).array()
    assert (matrix.dtype, matrix.shape) == (np.float32, (2, 3))
    assert matrix.tolist() == [NUMBERS, [0.0, 0.0, 1.0]]


def test_every_sign_of_base64_is_read() -> None:
    numbers = [number / 8 for number in range(-4096, 4096)]
    sent = packed(*numbers)
    assert {"+", "/", "A", "z", "0"} < set(sent)
    assert list(decode_vector(sent)) == numbers


@pytest.mark.parametrize("sent", ["AAAA AAA", "AAAAAA==\n", "AAAAA", "AA==AAAA", "ÄAAAAA==", "AAAA", "AAAAAAA=A"])
def test_what_is_no_base64_of_floats_is_named(sent: str) -> None:
    with pytest.raises(ProtocolError, match="no base64 of floats") as caught:
        decode_vector(sent)
    assert repr(sent) in str(caught.value)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
def test_an_array_that_holds_no_number_is_an_error(odd: float) -> None:
    with pytest.raises(ProtocolError, match="NaN"):
        check_vectors([decode_vector(packed(1.0, odd))], 1, None)


@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_no_vector_behind_the_first_may_hold_what_is_no_number(odd: float) -> None:
    with pytest.raises(ProtocolError, match="NaN"):
        check_vectors([decode_vector(packed(*numbers)) for numbers in ((1.0, 2.0), (1.0, odd))], 2, None)


@pytest.mark.parametrize("vector", [[math.inf, -math.inf], [10**4000, -(10**4000)]])
def test_numbers_without_end_that_add_up_to_nothing_are_no_numbers(vector: list[float]) -> None:
    sent = decode_vector(packed(*vector)) if math.inf in vector else vector
    with pytest.raises(ProtocolError, match="NaN"):
        check_vectors([sent], 1, None)


def test_the_largest_numbers_are_numbers() -> None:
    check_vectors([decode_vector(packed(3e38, 3e38))], 1, 2)


def test_vectors_are_checked_without_numpy_too() -> None:
    code = (
        "import sys; from vessel_core.wire.vectors import VECTOR, check_vectors, decode_vector\n"
        f"check_vectors([decode_vector({packed(*NUMBERS)!r})], 1, 3)\n"
        "assert 'numpy' not in sys.modules"
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


def test_base64_holds_no_more_numbers_than_json_may() -> None:
    most = (MAX_COST + room(2, VECTOR)) // NUMBER // 2
    check_vectors([array("f", bytes(4 * most))] * 2, 2, None)
    with pytest.raises(ResponseTooLarge, match="more numbers than any model makes"):
        check_vectors([array("f", bytes(4 * (most + 1)))] * 2, 2, None)


def test_a_batch_of_the_most_dimensions_that_are_known_is_taken() -> None:
    check_vectors([array("f", bytes(4 * 12_288))] * 256, 256, 12_288)


def test_numbers_are_no_wide_text_whatever_the_model_is_called() -> None:
    numbers = b"0." + b"5" * 998 + b","
    vectors = b'{"model":"\xe6\xa8\xa1\xe5\x9e\x8b","data":[' + numbers * (MAX_COST // 4 // 1000 + 1) + b"1]}"
    assert len(vectors) > MAX_COST // 4
    assert loads(vectors)["model"] == "\N{CJK UNIFIED IDEOGRAPH-6A21}\N{CJK UNIFIED IDEOGRAPH-578B}"


def test_what_stands_between_texts_is_counted_whatever_quotes_are_escaped() -> None:
    hidden = b'{"a":"' + b"x" * 600 + b'\\"","b":[' + b"{}," * 1_300_000 + b'{}],"c":"\\""}'
    with pytest.raises(ResponseTooLarge, match="so many values"):
        loads(hidden)


def test_a_text_of_wide_characters_counts_four_times() -> None:
    text = '"\N{SMILING FACE WITH OPEN MOUTH}'.encode() + b"a" * (MAX_COST // 4) + b'"'
    with pytest.raises(ResponseTooLarge, match="so long a text"):
        loads(text)
    assert len(loads(text, more=100)) == len(loads(text.replace(b"\xf0\x9f\x98\x83", b"bbbb"))) - 3
