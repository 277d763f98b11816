"""`VesselRerank`: retrieved documents, put in order by a reranking model."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import Field
from vessel_core.types import Ranked

from langchain_vessel.connection import ServerFields
from langchain_vessel.errors import langchain_errors


class VesselRerank(ServerFields, BaseDocumentCompressor):
    """A reranker on a local server, for `ContextualCompressionRetriever` and by itself.

    Keeps the best `top_n` documents (all, if `None`) that score `min_score` or more. Scores are the model's own: logits for
    some, 0–1 for others.

        VesselRerank(model="bge-reranker-v2-m3", top_n=3).compress_documents(documents, "When do cats sleep?")
    """

    top_n: int | None = Field(default=3, ge=1)
    min_score: float | None = None

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return copies of the best documents, best first, with `relevance_score` in their metadata."""
        if not documents:
            return []
        return self._chosen(documents, self.rerank([document.page_content for document in documents], query))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return the best documents, as `compress_documents`."""
        if not documents:
            return []
        return self._chosen(documents, await self.arerank([document.page_content for document in documents], query))

    def rerank(self, texts: Sequence[str], query: str) -> list[Ranked]:
        """Return the place of each text and its score, best first. Raises `Unsupported` if the server can't rank."""
        with langchain_errors():
            return self._sync.rerank(query, texts, model=self.model, top_n=self.top_n)

    async def arerank(self, texts: Sequence[str], query: str) -> list[Ranked]:
        """Return places and scores, as `rerank`."""
        with langchain_errors():
            return await self._async.rerank(query, texts, model=self.model, top_n=self.top_n)

    def _chosen(self, documents: Sequence[Document], ranking: Sequence[Ranked]) -> list[Document]:
        return [
            documents[place.index].model_copy(
                update={"metadata": {**documents[place.index].metadata, "relevance_score": place.score}}
            )
            for place in ranking
            if self.min_score is None or place.score >= self.min_score
        ]
