"""Embedding vectors as they travel, and the checks they pass before anybody stores them. Shared by the dialects."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from pydantic_core import SchemaValidator, core_schema

from vessel_core.errors import ProtocolError, ResponseTooLarge
from vessel_core.wire.jsontext import MAX_COST, NUMBER

VECTOR = 16_384 * NUMBER
"""Bytes of memory a vector may take, of more dimensions than models have: 12,288 are known."""

BATCH = 64
"""Texts a request, where the server does not say how many it works on at once."""

SHARE = 5
"""The part of it that each vector of a batch may take: together they are little more than what any reply may."""

_bytes_of = cast(
    "Callable[[str], bytes]",
    SchemaValidator(core_schema.bytes_schema(), {"val_json_bytes": "base64"}).validate_strings,
)
"""Decodes base64 in a fourth of `binascii`'s time. The alphabet for URLs and a text without padding are taken as well."""


def room(texts: int, vector: int) -> int:
    """Return how much more a reply may take that holds the vectors of so many texts, if one may take `vector`."""
    return vector * max(0, texts - BATCH) + vector // SHARE * min(texts, BATCH)


def decode_vector(embedding: Any) -> Sequence[float]:
    """Read one vector: floats, base64 of little-endian float32, or one row nested in a list (quirks 77, 78)."""
    if isinstance(embedding, str):
        return _from_base64(embedding)
    if isinstance(embedding, list):
        rows = cast("list[Any]", embedding)
        if not rows or not isinstance(rows[0], list):
            return cast("list[float]", rows)
        if len(rows) == 1:
            return cast("list[float]", rows[0])
        raise ProtocolError(
            f"The server sent {len(rows)} vectors for one text: one for each token.",
            hint="Start it with a pooling type (llama-server `--pooling mean`).",
        )
    raise ProtocolError(f"An embedding is neither a list of numbers nor base64 but {type(embedding).__name__}.")


def _from_base64(text: str) -> array[float]:
    """Return the numbers as they came: lists of them, six times the size, are made for who asks."""
    numbers = array("f")
    try:
        numbers.frombytes(_bytes_of(text))
    except ValueError as error:
        raise ProtocolError(f"An embedding is a text that is no base64 of floats: {text[:40]!r}.") from error
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def check_count(vectors: Sequence[object], texts: int) -> None:
    """Raise `ProtocolError` unless each text has a vector: before they are read, since there may be very many."""
    if len(vectors) != texts:
        raise ProtocolError(f"The server sent {len(vectors)} vectors for {texts} texts.")


def check_vectors(vectors: Sequence[Sequence[float]], texts: int, dimensions: int | None) -> None:
    """Raise `ProtocolError` unless each text has a vector of numbers, all of one length, `dimensions` if given.

    `ResponseTooLarge` is raised for more numbers than JSON may hold of them: base64 is a sixth of the lists made of it.
    """
    check_count(vectors, texts)
    if NUMBER * sum(map(len, vectors)) > MAX_COST + room(texts, VECTOR):
        raise ResponseTooLarge("The vectors have more numbers than any model makes.", hint="See the server's log.")
    lengths = {len(vector) for vector in vectors}
    if len(lengths) > 1 or 0 in lengths:
        raise ProtocolError(f"The vectors have different lengths or none: {sorted(lengths)}.")
    if dimensions is not None and lengths and dimensions not in lengths:
        raise ProtocolError(
            f"{dimensions} dimensions were asked for and {lengths.pop()} came: the server ignores `dimensions`.",
            hint="Leave `dimensions` out, or use a server that shortens vectors.",
        )
    try:
        if all(map(math.isfinite, _sums(vectors))):
            return
    except (TypeError, OverflowError):
        pass
    raise ProtocolError(
        "A vector holds NaN or something that is no number: the model could not embed one of the texts."
    )


def _sums(vectors: Sequence[Sequence[float]]) -> Iterable[float]:
    """Return sums that all numbers are in: they show NaN, infinity and what is no number at once, in a fiftieth of the time
    of looking at each. Arrays are added up by numpy, if the program has loaded it."""
    numpy = sys.modules.get("numpy")
    arrays = [vector for vector in vectors if isinstance(vector, array)]
    if numpy is None or not arrays or len(arrays) < len(vectors):
        # from a float on: whole numbers that are no floats might add up to one
        return (sum(vector, 0.0) for vector in vectors)
    with numpy.errstate(invalid="ignore"):
        return [float(numpy.frombuffer(b"".join(arrays), "f").sum(dtype="d"))]
