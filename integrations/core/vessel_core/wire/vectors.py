"""Embedding vectors as they travel, and the checks they pass before anybody stores them. Shared by the dialects."""

from __future__ import annotations

import math
import os
import re
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from pydantic_core import SchemaValidator, core_schema, from_json, to_json

from vessel_core.errors import ProtocolError, ResponseTooLarge
from vessel_core.matrix import Matrix
from vessel_core.wire import Reply
from vessel_core.wire.failure_shapes import failure_in
from vessel_core.wire.failures import json_body, not_json
from vessel_core.wire.jsontext import MAX_TEXT_COST, TEXT, WIDE, loads

BATCH = 64
"""Texts a request, where the server does not say how many it works on at once."""

MOST_NUMBERS = 16_384
"""Numbers a vector may have, more than models have dimensions: 12,288 are known."""

MOST_LISTS = 16_384
"""Lists that are looked at, beside two for each text: without pooling a server sends one for each token."""

SHORT = 64
"""Bytes up to which a list stays where it is: it may be no vector, but an error's or nothing."""

MOST_BESIDE = 4 * 1024 * 1024
"""Bytes a reply may have beside its vectors, and what it may repeat of their texts."""

BESIDE = 256
"""Bytes it may have more for each vector: its number, its names."""

COST_BESIDE = 2048
"""Bytes of memory that what stands beside each vector may take, its number and its names, in a long reply."""

_MARK = os.urandom(8).hex()
"""What begins the text, in a list by itself, that stands in for a vector; no server knows it."""

_UP_TO_A_VECTOR = re.compile(
    rb'(?:[^"\[]++|"(?!embedding"\s*+:\s*+")(?:[^"\\]++|\\.)*+")*+(?:"embedding"\s*+:\s*+"|\[)', re.DOTALL
)
_QUOTE = ord('"')

_bytes_of = cast(
    "Callable[[bytes], bytes]",
    SchemaValidator(
        core_schema.bytes_schema(), {"val_json_bytes": "base64", "hide_input_in_errors": True}
    ).validate_json,
)
"""Reads a JSON text of base64 in a fourth of `binascii`'s time. It takes the alphabet for URLs and a text without padding."""


class Vectors:
    """The vectors of a reply, and apart from them its `document`, in which a mark stands for each.

    So they are read one by one into arrays: a reply takes its body and eight bytes a number, where Python's numbers in lists
    take four times as many. It may take `more` memory, in bytes, than is usual. Raises as `json_body` does, and
    `ResponseTooLarge` if there is too much beside the vectors.
    """

    def __init__(self, body: bytes, texts: int, more: int = 0) -> None:
        self._body = body
        self._spans = list(_spans(body, MOST_LISTS + 2 * texts))
        beside = len(body) - sum(end - start for start, end in self._spans)
        if beside > MOST_BESIDE + BESIDE * texts + more // WIDE:
            raise ResponseTooLarge(
                f"The reply to {texts} texts has {beside:,} bytes beside their vectors.",
                hint="This is no LLM server's answer, or one without pooling (llama-server `--pooling mean`). "
                "If it is right, `limits=Limits(document=…)` takes more in.",
            )
        try:
            document = loads(self._beside(), most=MAX_TEXT_COST + COST_BESIDE * texts + more)
        except ValueError as error:
            raise not_json(body) from error
        said = document if failure_in(document) is None else None  # an error is read as it came, without marks
        self.document: Any = json_body(Reply(200, body=body, document=said, more=more))

    def _beside(self) -> bytes:
        """Return the reply with marks where its vectors stood."""
        if not self._spans:
            return self._body
        parts, at = list[bytes](), 0
        for number, (start, end) in enumerate(self._spans):
            parts += (self._body[at:start], f'["{_MARK}{number}"]'.encode())
            at = end
        return b"".join([*parts, self._body[at:]])

    def rows(self, values: Sequence[Any], dimensions: int | None) -> Matrix:
        """Return the vectors that a list of the document stands for.

        Raise `ProtocolError` unless all are of finite numbers and of one length, `dimensions` if given, and `ResponseTooLarge`
        for more numbers than models make.
        """
        matrix, widths = Matrix(array("f"), 0), set[int]()
        for value in values:
            row = self._row(value)
            widths.add(len(row))
            matrix.extend(Matrix(row, len(row)))
        check_widths(widths, dimensions)
        if not _are_finite(matrix.numbers):
            raise _no_numbers()
        return matrix

    def _row(self, value: Any) -> array[float]:
        """Read one vector: floats, base64 of little-endian float32, or one row nested in a list (quirks 77, 78)."""
        if isinstance(value, list):
            row = cast("list[Any]", value)
            if row and _is_mark(row[0]):
                return self._taken_out(int(row[0].removeprefix(_MARK)))
            if not row or not isinstance(row[0], list):
                return _of_list(row)
            if len(row) == 1:
                return self._row(row[0])
            raise ProtocolError(
                f"The server sent {len(row)} vectors for one text: one for each token.",
                hint="Start it with a pooling type (llama-server `--pooling mean`).",
            )
        if not isinstance(value, str) or _is_mark(value):
            kind = "number" if isinstance(value, str) else type(value).__name__
            raise ProtocolError(f"An embedding is neither a list of numbers nor base64 but {kind}.")
        return _of_base64(to_json(value))

    def _taken_out(self, number: int) -> array[float]:
        start, end = self._spans[number]
        packed = self._body[start] == _QUOTE
        if ((end - start) * 3 // 16 if packed else self._body.count(b",", start, end)) > MOST_NUMBERS:
            raise ResponseTooLarge(f"A vector has more numbers than {MOST_NUMBERS:,}.", hint="See the server's log.")
        part = self._body[start:end]
        return _of_base64(part) if packed else _of_json(part)


def _spans(body: bytes, most: int) -> Iterator[tuple[int, int]]:
    """Yield where vectors begin and end: lists of some length in which no text, list or object is, and texts that
    are called `embedding`."""
    at = 0
    for _ in range(most):
        found = _UP_TO_A_VECTOR.match(body, at)
        if found is None:
            return
        start = found.end() - 1
        if body[start] == _QUOTE:
            at = body.find(b'"', start + 1) + 1 or len(body)
            if body.find(b"\\", start, at) >= 0:
                at = cast("re.Match[bytes]", TEXT.match(body, start)).end()
            yield start, at
        else:
            at = start + 1
            inner = body.find(b"[", at)
            end = body.find(b"]", at, inner if inner >= 0 else len(body)) + 1
            if end > start + SHORT and body.find(b'"', at, end) < 0 and body.find(b"{", at, end) < 0:
                yield start, end
                at = end


def _is_mark(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(_MARK)


def _of_base64(text: bytes) -> array[float]:
    """Return the numbers of a JSON text as they came: lists of them, six times the size, are made for who asks."""
    numbers = array("f")
    try:
        numbers.frombytes(_bytes_of(text))
    except ValueError:
        raise ProtocolError(f"An embedding is a text that is no base64 of floats: {_beginning(text)!r}.") from None
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _of_json(part: bytes) -> array[float]:
    """Return the numbers of a list as doubles, in which they are what they were in JSON."""
    if b"l" in part or b"r" in part:  # null, false, true
        raise _no_numbers()
    try:
        numbers = from_json(part)
    except ValueError as error:
        raise ProtocolError(f"An embedding is a list that is no JSON: {_beginning(part)!r}.") from error
    return _doubles(numbers)


def _of_list(numbers: list[Any]) -> array[float]:
    if bool in map(type, numbers):
        raise _no_numbers()
    return _doubles(numbers)


def _doubles(numbers: list[Any]) -> array[float]:
    try:
        return array("d", numbers)
    except (TypeError, OverflowError):
        raise _no_numbers() from None


def _beginning(part: bytes) -> str:
    return part[1:41].rstrip(b'"]').decode(errors="replace")


def _no_numbers() -> ProtocolError:
    return ProtocolError(
        "A vector holds NaN or something that is no number: the model could not embed one of the texts."
    )


def check_count(vectors: Sequence[object], texts: int) -> None:
    """Raise `ProtocolError` unless each text has a vector: before they are read, since there may be very many."""
    if len(vectors) != texts:
        raise ProtocolError(f"The server sent {len(vectors)} vectors for {texts} texts.")


def check_widths(widths: set[int], dimensions: int | None) -> None:
    """Raise `ProtocolError` unless all vectors are of one length, `dimensions` if given."""
    if len(widths) > 1 or 0 in widths:
        raise ProtocolError(f"The vectors have different lengths or none: {sorted(widths)}.")
    if dimensions is not None and widths and dimensions not in widths:
        raise ProtocolError(
            f"{dimensions} dimensions were asked for and {widths.pop()} came: the server ignores `dimensions`.",
            hint="Leave `dimensions` out, or use a server that shortens vectors.",
        )


def _are_finite(numbers: array[float]) -> bool:
    """Tell by their sum, which shows NaN and infinity in a fiftieth of the time of looking at each. numpy adds them up, if the
    program has loaded it. Each is looked at if the sum is none: that of large ones may be infinite."""
    return math.isfinite(_sum(numbers)) or all(map(math.isfinite, numbers))


def _sum(numbers: array[float]) -> float:
    if "numpy" not in sys.modules:
        return sum(numbers)
    import numpy  # which waits for a thread that is still loading it

    with numpy.errstate(invalid="ignore", over="ignore"):
        return float(numpy.frombuffer(numbers, numbers.typecode).sum(dtype="d"))
