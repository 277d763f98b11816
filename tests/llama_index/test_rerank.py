"""Reranking: the best first, the nodes as they were, the events that LlamaIndex has for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.postprocessor.vessel import VesselRerank
from vessel_core.errors import InvalidRequest, Unsupported
from vessel_core.local import LocalServer

from tests.fake_server import Request, Response, llamacpp_server, lmstudio_server
from tests.llama_index.test_events import kinds, recorded

NODES = [
    NodeWithScore(node=TextNode(text=text, metadata={"source": "facts"}), score=score)
    for text, score in (("Bread is baked.", 0.9), ("Boats float on water.", 0.8), ("Birds fly.", 0.7))
]


@pytest.fixture
def rerank(rerank_server: LocalServer) -> Iterator[VesselRerank]:
    rerank = VesselRerank(backend="llamacpp", base_url=rerank_server.base_url, top_n=3)
    yield rerank
    rerank.close()


async def test_a_real_server_ranks_in_both_forms(rerank: VesselRerank) -> None:
    best = await asyncio.to_thread(rerank.postprocess_nodes, NODES, query_str="Which boats float on water?")
    assert {found.node.node_id for found in best} == {found.node.node_id for found in NODES}
    scores = [found.score or 0.0 for found in best]
    assert scores == sorted(scores, reverse=True)
    again = await rerank.apostprocess_nodes(NODES, query_bundle=QueryBundle("Which boats float on water?"))
    assert [found.node.node_id for found in again] == [found.node.node_id for found in best]
    rerank.top_n = 1
    assert [found.node.node_id for found in await rerank.apostprocess_nodes(NODES, query_str="Which boats?")]
    await rerank.aclose()


def ranking(request: Request) -> Response:
    """Rank the documents in the reverse of their order."""
    count = len(request.json()["documents"])
    results = [{"index": at, "relevance_score": at - 1.5} for at in reversed(range(count))]
    return Response.json(
        {"model": "r", "object": "list", "usage": {}, "results": results[: request.json().get("top_n")]}
    )


async def test_the_best_come_first_and_what_went_in_is_left_alone() -> None:
    with llamacpp_server(routes={("POST", "/v1/rerank"): ranking}) as server:
        rerank = VesselRerank(
            backend="llamacpp", base_url=server.base_url, model="r", top_n=2, keep_retrieval_score=True
        )
        best = rerank.postprocess_nodes(NODES, query_str="boats")
        assert await rerank.apostprocess_nodes(NODES, query_str="boats") == best
        rerank.close()
        await rerank.aclose()
        asked, again = server.asked("/v1/rerank")
    assert [found.node.get_content() for found in best] == ["Birds fly.", "Boats float on water."]
    assert [found.score for found in best] == [0.5, -0.5]
    assert [found.node.metadata["retrieval_score"] for found in best] == [0.7, 0.8]
    assert [found.score for found in NODES] == [0.9, 0.8, 0.7]
    assert all("retrieval_score" not in found.node.metadata for found in NODES)
    body = asked.json()
    assert again.json() == body
    assert (body["query"], body["model"], body["top_n"]) == ("boats", "r", 2)
    assert body["documents"][0] == "source: facts\n\nBread is baked."


def test_the_events_and_callbacks_are_told() -> None:
    debugging = LlamaDebugHandler(print_trace_on_end=False)
    with llamacpp_server(routes={("POST", "/v1/rerank"): ranking}) as server:
        rerank = VesselRerank(
            backend="llamacpp", base_url=server.base_url, model="r", callback_manager=CallbackManager([debugging])
        )
        with recorded() as events:
            best = rerank.postprocess_nodes(NODES, query_str="boats")
        rerank.close()
    assert kinds(events) == ["ReRankStartEvent", "ReRankEndEvent"]
    start: Any = events[0]
    assert (start.top_n, start.model_name, start.query.query_str, len(start.nodes)) == (2, "r", "boats", 3)
    assert events[1].nodes == best
    ((_, end),) = debugging.get_event_pairs(CBEventType.RERANKING)
    assert end.payload is not None
    assert end.payload["nodes"] == best


def test_nothing_to_rank_asks_nobody() -> None:
    rerank = VesselRerank(backend="llamacpp", base_url="http://127.0.0.1:9")
    assert rerank.postprocess_nodes([], query_str="boats") == []


def test_a_reranker_needs_a_query() -> None:
    rerank = VesselRerank(backend="llamacpp", base_url="http://127.0.0.1:9")
    with pytest.raises(InvalidRequest, match="query"):
        rerank.postprocess_nodes(NODES)


def test_a_server_that_cant_rank_says_so() -> None:
    with lmstudio_server() as server:
        rerank = VesselRerank(backend="lmstudio", base_url=server.base_url)
        with pytest.raises(Unsupported, match="LM Studio"):
            rerank.postprocess_nodes(NODES, query_str="boats")
        rerank.close()
