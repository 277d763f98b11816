"""Reranking: what is asked, and what is made of the answers there are."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from vessel_core.errors import InvalidRequest, ProtocolError
from vessel_core.types import Ranked
from vessel_core.wire.rerank import decode_rerank, encode_rerank

from tests.core.wire.play import body_of


def decoded(document: Any, count: int = 2, top_n: int | None = None) -> list[Ranked]:
    return decode_rerank(json.dumps(document).encode(), count, top_n)


def test_documents_are_sent_with_the_query() -> None:
    call = encode_rerank("q", ["a", "b"], "m", 5)
    assert (call.path, body_of(call)) == (
        "/v1/rerank",
        {"query": "q", "documents": ["a", "b"], "model": "m", "top_n": 2},
    )
    assert body_of(encode_rerank("q", ["a"], None, None)) == {"query": "q", "documents": ["a"]}


def test_what_can_not_be_ranked_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="query is empty"):
        encode_rerank(" ", ["a"], None, None)
    with pytest.raises(InvalidRequest, match="top_n=0"):
        encode_rerank("q", ["a"], None, 0)
    with pytest.raises(InvalidRequest, match="query is a NoneType, not a text"):
        encode_rerank(cast("Any", None), ["a"], None, None)
    with pytest.raises(InvalidRequest, match=r"documents\[1\] is a bytes, not a text"):
        encode_rerank("q", ["a", cast("Any", b"b")], None, None)


def test_a_ranking_is_read_best_first_in_both_forms() -> None:
    results = [{"index": 0, "relevance_score": -1}, {"index": 1, "relevance_score": 2.5}]
    assert decoded({"results": results}) == [Ranked(1, 2.5), Ranked(0, -1.0)]
    assert decoded({"results": results}, top_n=1) == [Ranked(1, 2.5)]
    assert decoded([{"index": 0, "score": 0.5}], count=1) == [Ranked(0, 0.5)]
    assert decoded([{"index": "0", "score": 0.5}], count=1) == [Ranked(0, 0.5)]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"results": None},
        "no",
        [7],
        [{"index": "first", "score": 1}],
        [{"index": 0, "score": "high"}],
        [{"index": 2, "score": 1}],
        [{"index": -1, "score": 1}],
        [{"index": 0, "score": 1}, {"index": 0, "score": 2}],
    ],
)
def test_what_is_no_ranking_of_the_documents_is_an_error(document: Any) -> None:
    with pytest.raises(ProtocolError):
        decoded(document)


def test_a_ranking_of_fewer_documents_than_were_to_be_ranked_is_an_error() -> None:
    with pytest.raises(ProtocolError, match="holds 1 documents where 3"):
        decoded([{"index": 0, "score": 1}], count=3)
    with pytest.raises(ProtocolError, match="holds 1 documents where 2"):
        decoded([{"index": 0, "score": 1}], count=3, top_n=2)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), 10**400, True])
def test_a_score_that_is_no_number_is_an_error(score: float) -> None:
    with pytest.raises(ProtocolError, match="document 0 the score"):
        decoded([{"index": 0, "score": score}], count=1)
