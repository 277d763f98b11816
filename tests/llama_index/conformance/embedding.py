"""What any LlamaIndex embedding model must do, on the suite's own server."""

from __future__ import annotations

import asyncio
import pickle
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding

from .dialects import OPENAI, Dialect
from .server import ScriptedServer, texts_of, vector_of

TEXTS = [f"Fact {number} is this." for number in range(7)]


class EmbeddingConformance(ABC):
    """Subclass it as `Test…`, say which dialect the integration speaks, and how the object is made."""

    @property
    @abstractmethod
    def dialect(self) -> Dialect:
        """How the integration speaks: `OPENAI` or `OLLAMA`."""

    @abstractmethod
    def make(self, base_url: str, batch_size: int) -> BaseEmbedding:
        """Return an object for the model "demo" at this address, which has no `/v1`."""

    @contextmanager
    def answering(self, batch_size: int = 3, shuffled: bool = False) -> Generator[tuple[BaseEmbedding, ScriptedServer]]:
        """Yield an object on a server that answers with the vectors of `vector_of`."""
        with self.dialect.server(shuffled=shuffled) as server:
            embedding = self.make(server.base_url, batch_size)
            yield embedding, server
            if callable(close := getattr(embedding, "close", None)):
                close()

    def inputs(self, server: ScriptedServer) -> list[str]:
        """Return all texts that were sent."""
        return [text for request in server.asked(self.dialect.embedding_path) for text in texts_of(request)]

    def test_a_text_is_sent_as_it_is(self) -> None:
        with self.answering() as (embedding, server):
            embedding.get_text_embedding("  two\nlines ")
            assert self.inputs(server) == ["  two\nlines "]

    def test_vectors_come_in_the_order_of_the_texts(self) -> None:
        with self.answering() as (embedding, _):
            assert embedding.get_text_embedding_batch(TEXTS) == [vector_of(text) for text in TEXTS]

    def test_batches_are_no_longer_than_asked(self) -> None:
        with self.answering(batch_size=3) as (embedding, server):
            embedding.get_text_embedding_batch(TEXTS)
            assert sorted(self.inputs(server)) == sorted(TEXTS)
            assert len(server.asked(self.dialect.embedding_path)) == 3

    def test_async_gives_the_same(self) -> None:
        with self.answering() as (embedding, _):

            async def ask() -> tuple[Any, Any, Any]:
                one = await embedding.aget_text_embedding(TEXTS[0])
                query = await embedding.aget_query_embedding(TEXTS[1])
                return one, query, await embedding.aget_text_embedding_batch(TEXTS)

            for _ in range(2):  # one event loop after another
                one, query, batch = asyncio.run(ask())
                assert (one, query) == (vector_of(TEXTS[0]), vector_of(TEXTS[1]))
                assert batch == [vector_of(text) for text in TEXTS]

    def test_it_survives_being_stored(self) -> None:
        with self.answering() as (embedding, _):
            again: Any = pickle.loads(pickle.dumps(embedding))
            assert again.get_text_embedding("a") == vector_of("a")
            if callable(close := getattr(again, "close", None)):
                close()


class OpenAIEmbeddingConformance(EmbeddingConformance):
    """What only `/v1` can show: vectors have an index there, and servers need not keep the order."""

    @property
    def dialect(self) -> Dialect:
        """By `/v1`."""
        return OPENAI

    def test_vectors_come_in_order_though_the_server_shuffles(self) -> None:
        with self.answering(shuffled=True) as (embedding, _):
            assert embedding.get_text_embedding_batch(TEXTS) == [vector_of(text) for text in TEXTS]
