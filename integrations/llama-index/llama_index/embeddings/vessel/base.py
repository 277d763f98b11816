"""`VesselEmbedding`: texts as vectors, from a local server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding
from llama_index.llms.vessel.connection import CONNECTION_ALIASES, ServerConnection
from pydantic import Field, PrivateAttr


class VesselEmbedding(ServerConnection, BaseEmbedding):
    """An embedding model on a local server. A text is sent as it is; vectors come back in the order of the texts.

    `query_instruction` and `text_instruction` are put before a query and before a text, as models like nomic's or e5
    want it. `dimensions` asks for shorter vectors where the model can. At most `concurrency` requests of
    `embed_batch_size` texts are under way at once.

        embedding = VesselEmbedding(model="nomic-embed-text", query_instruction="search_query: ")
        embedding.get_query_embedding("Where is it?")       # a list of floats
    """

    aliases: ClassVar[Mapping[str, str]] = {**CONNECTION_ALIASES, "model": "model_name"}

    model_name: str = Field(default="unknown", description='The model\'s name; "unknown" means the loaded one.')
    embed_batch_size: int = Field(default=64, gt=0, le=2048, description="How many texts one request holds.")
    concurrency: int = Field(default=4, gt=0, description="How many requests may be under way at once.")
    dimensions: int | None = Field(default=None, gt=0, description="The length of the vectors.")
    query_instruction: str | None = Field(default=None, description="Put before a query.")
    text_instruction: str | None = Field(default=None, description="Put before a text.")

    _gates: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = PrivateAttr(
        default_factory=WeakKeyDictionary["asyncio.AbstractEventLoop", asyncio.Semaphore]
    )

    @classmethod
    def class_name(cls) -> str:
        """Return the name by which LlamaIndex stores it."""
        return "VesselEmbedding"

    def to_payload(self) -> dict[str, Any]:
        """Return what traces show of this object: no key, no header."""
        return {**super().to_payload(), "backend": self.backend, "base_url": self.base_url}

    @property
    def _model(self) -> str | None:
        return None if self.model_name in ("unknown", "") else self.model_name

    def _embed(self, texts: list[str]) -> list[Embedding]:
        return self.client.embed(texts, model=self._model, dimensions=self.dimensions).vectors

    async def _aembed(self, texts: list[str]) -> list[Embedding]:
        gate = self._gates.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self.concurrency))
        async with gate:  # core starts all batches at once
            reply = await self.async_client.embed(texts, model=self._model, dimensions=self.dimensions)
        return reply.vectors

    def _get_query_embedding(self, query: str) -> Embedding:
        return self._embed([_with(self.query_instruction, query)])[0]

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return (await self._aembed([_with(self.query_instruction, query)]))[0]

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return (await self._aget_text_embeddings([text]))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return self._embed([_with(self.text_instruction, text) for text in texts])

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await self._aembed([_with(self.text_instruction, text) for text in texts])


def _with(instruction: str | None, text: str) -> str:
    """Put an instruction before a text, with a space between them unless it ends in one."""
    if not instruction:
        return text
    return f"{instruction}{text}" if instruction[-1].isspace() else f"{instruction} {text}"
