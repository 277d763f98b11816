"""`VesselRerank`: retrieved documents, put in order by a reranking model."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import Field
from vessel_core import Timeout
from vessel_core.types import Ranked

from langchain_vessel.connection import ServerFields
from langchain_vessel.errors import langchain_errors
from langchain_vessel.options import call_options


class VesselRerank(ServerFields, BaseDocumentCompressor):
    """A reranker on a local server, for `ContextualCompressionRetriever` and by itself.

    Keeps the best `top_n` documents (all, if `None`) that score `min_score` or more. Scores are the model's own: logits for
    some, 0–1 for others.

        VesselRerank(model="bge-reranker-v2-m3", top_n=3).compress_documents(documents, "When do cats sleep?")
    """

    top_n: int | None = Field(default=3, ge=1)
    min_score: float | None = None

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,
        *,
        timeout: Timeout | float | None = None,
    ) -> list[Document]:
        """Return copies of the best documents, best first, with `relevance_score` in their metadata.

        `timeout` is this call's own, as a chat's; the other three take it too.
        """
        if not documents:
            return []
        texts = [document.page_content for document in documents]
        return self._chosen(documents, self.rerank(texts, query, timeout=timeout))

    async def acompress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,
        *,
        timeout: Timeout | float | None = None,
    ) -> list[Document]:
        """Return the best documents, as `compress_documents`."""
        if not documents:
            return []
        texts = [document.page_content for document in documents]
        return self._chosen(documents, await self.arerank(texts, query, timeout=timeout))

    def rerank(self, texts: Sequence[str], query: str, *, timeout: Timeout | float | None = None) -> list[Ranked]:
        """Return the place of each text and its score, best first. Raises `Unsupported` if the server can't rank."""
        with langchain_errors():
            options = call_options({"timeout": timeout})
            return self._sync.rerank(query, texts, model=self.model, top_n=self.top_n, **options)

    async def arerank(
        self, texts: Sequence[str], query: str, *, timeout: Timeout | float | None = None
    ) -> list[Ranked]:
        """Return places and scores, as `rerank`."""
        with langchain_errors():
            options = call_options({"timeout": timeout})
            return await self._async.rerank(query, texts, model=self.model, top_n=self.top_n, **options)

    def _chosen(self, documents: Sequence[Document], ranking: Sequence[Ranked]) -> list[Document]:
        return [
            documents[place.index].model_copy(
                update={"metadata": {**documents[place.index].metadata, "relevance_score": place.score}}
            )
            for place in ranking
            if self.min_score is None or place.score >= self.min_score
        ]
