"""Reranking: `/v1/rerank`, as llama.cpp, vLLM, LocalAI and others have it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from vessel_core.errors import InvalidRequest, ProtocolError
from vessel_core.types import Ranked
from vessel_core.wire import Call, Reply
from vessel_core.wire.failures import json_body
from vessel_core.wire.reading import mapping, number, place

RANKED = 1000
"""Bytes of memory that JSON about one document may take, beside the document itself."""


def encode_rerank(query: str, documents: Sequence[str], model: str | None, top_n: int | None) -> Call:
    """Write `POST /v1/rerank`; raise `InvalidRequest` for an empty query, or what is no text."""
    for name, text in (("query", query), *((f"documents[{at}]", text) for at, text in enumerate(documents))):
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types exist
            raise InvalidRequest(f"{name} is a {type(text).__name__}, not a text.")
    if not query.strip():
        raise InvalidRequest("The query is empty.")
    if top_n is not None and top_n < 1:
        raise InvalidRequest(f"top_n={top_n} is below 1.")
    body: dict[str, Any] = {"query": query, "documents": list(documents)}
    if model is not None:
        body["model"] = model
    if top_n is not None:
        body["top_n"] = min(top_n, len(documents))
    return Call("POST", "/v1/rerank", body)


def decode_rerank(body: bytes, count: int, top_n: int | None, more: int = 0) -> list[Ranked]:
    """Read the ranking, best first: each index once and inside the list, or `ProtocolError`. It may take `more` bytes of
    memory than is usual."""
    document = json_body(Reply(200, body=body, more=count * RANKED + more))
    found = cast("dict[str, Any]", document).get("results") if isinstance(document, dict) else document
    if not isinstance(found, list):
        raise ProtocolError("The reply holds no ranking.", hint="Is it a reranking model? Start it with `--reranking`.")
    ranked: list[Ranked] = []
    for item in cast("list[Any]", found):
        fields = mapping(item)
        index, given = place(fields.get("index")), fields.get("relevance_score", fields.get("score"))
        if index is None or not isinstance(given, int | float) or not 0 <= index < count:
            raise ProtocolError(f"The ranking holds {str(item)[:100]!r}, which ranks none of the {count} documents.")
        if (score := number(given)) is None:
            said = str(given)[:20]
            raise ProtocolError(f"The ranking gives document {index} the score {said}.", hint="See the server's log.")
        ranked.append(Ranked(index, float(score)))
    if len({one.index for one in ranked}) != len(ranked):
        raise ProtocolError("The ranking holds a document twice.")
    if len(ranked) < (wanted := min(count, top_n or count)):
        raise ProtocolError(f"The ranking holds {len(ranked)} documents where {wanted} were to be ranked.")
    return sorted(ranked, key=lambda one: one.score, reverse=True)[:top_n]
