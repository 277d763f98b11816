"""`VesselRerank`: puts what a retriever found into a better order, by a model on a local server."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from llama_index.llms.vessel.connection import CONNECTION_ALIASES, ServerConnection
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.dispatcher import Dispatcher
from pydantic import Field
from vessel_core import Ranked
from vessel_core.errors import InvalidRequest

dispatcher: Dispatcher = get_dispatcher(__name__)


class VesselRerank(ServerConnection, BaseNodePostprocessor):
    """A reranking model on a local server (`llama-server --reranking`, vLLM, TEI, Infinity).

    The best `top_n` nodes come back, best first, with the server's scores, which differ between models and may be negative.
    The nodes that went in are left as they were; with `keep_retrieval_score` a node's earlier score is put into its
    metadata as `retrieval_score`.

        rerank = VesselRerank(base_url="http://localhost:8080", top_n=3)
        best = rerank.postprocess_nodes(nodes, query_str="Where is it?")
    """

    aliases: ClassVar[Mapping[str, str]] = {**CONNECTION_ALIASES, "model_name": "model"}

    model: str | None = Field(default=None, description="The model's name; the loaded one if it is left out.")
    top_n: int = Field(default=2, gt=0, description="How many nodes to return.")
    keep_retrieval_score: bool = Field(default=False, description="Put the earlier score into the metadata.")

    @classmethod
    def class_name(cls) -> str:
        """Return the name by which LlamaIndex stores it."""
        return "VesselRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query(query_bundle)
        with self._told(query_bundle, nodes) as best:
            if nodes:
                ranking = self.client.rerank(query, _texts(nodes), model=self.model, top_n=self.top_n)
                best += self._chosen(nodes, ranking)
        return best

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query(query_bundle)
        with self._told(query_bundle, nodes) as best:
            if nodes:
                ranking = await self.async_client.rerank(query, _texts(nodes), model=self.model, top_n=self.top_n)
                best += self._chosen(nodes, ranking)
        return best

    def _chosen(self, nodes: Sequence[NodeWithScore], ranking: Sequence[Ranked]) -> list[NodeWithScore]:
        chosen: list[NodeWithScore] = []
        for ranked in ranking:
            found = nodes[ranked.index]
            node = found.node
            if self.keep_retrieval_score:
                node = node.model_copy(update={"metadata": {**node.metadata, "retrieval_score": found.score}})
            chosen.append(NodeWithScore(node=node, score=ranked.score))
        return chosen

    @contextmanager
    def _told(self, query: QueryBundle | None, nodes: list[NodeWithScore]) -> Generator[list[NodeWithScore]]:
        """Tell callbacks and instrumentation; the list is filled with what is returned."""
        best: list[NodeWithScore] = []
        name = self.model or "unknown"
        dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=self.top_n, model_name=name))
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: name,
            EventPayload.QUERY_STR: query.query_str if query else "",
            EventPayload.TOP_K: self.top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            yield best
            event.on_end(payload={EventPayload.NODES: best})
        dispatcher.event(ReRankEndEvent(nodes=best))


def _query(query: QueryBundle | None) -> str:
    if query is None or not query.query_str.strip():
        raise InvalidRequest("A reranker needs the query.", hint='Pass query_str="…" or query_bundle=….')
    return query.query_str


def _texts(nodes: Sequence[NodeWithScore]) -> list[str]:
    return [found.node.get_content(metadata_mode=MetadataMode.EMBED) for found in nodes]
