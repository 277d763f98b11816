"""What any LlamaIndex embedding model must do, on the suite's own server."""

from __future__ import annotations

import asyncio
import json
import pickle
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

from llama_index.core.base.embeddings.base import BaseEmbedding

from tests.fake_server import FakeServer, Request, Response, ollama_server, openai_embeddings, openai_server, vector_of
from tests.llama_index.conformance.dialects import OPENAI, Dialect, OpenAI

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
    def answering(self, batch_size: int = 3, shuffled: bool = False) -> Generator[tuple[BaseEmbedding, FakeServer]]:
        """Yield an object on a server that answers with the vectors of `vector_of`."""

        def answer(request: Request) -> Response:
            document = openai_embeddings(request)
            if not shuffled:
                return document
            body: Any = json.loads(document.body)
            return Response.json({**body, "data": body["data"][::-1]})

        if isinstance(self.dialect, OpenAI):
            server = openai_server(routes={("POST", "/v1/embeddings"): answer})
        else:
            server = ollama_server(models=("demo",))
        with server:
            embedding = self.make(server.base_url, batch_size)
            yield embedding, server
            if callable(close := getattr(embedding, "close", None)):
                close()

    def inputs(self, server: FakeServer) -> list[str]:
        """Return all texts that were sent."""
        path = "/v1/embeddings" if isinstance(self.dialect, OpenAI) else "/api/embed"
        given = [request.json()["input"] for request in server.asked(path)]
        return [text for batch in given for text in ([batch] if isinstance(batch, str) else cast("list[str]", batch))]

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
            path = "/v1/embeddings" if isinstance(self.dialect, OpenAI) else "/api/embed"
            assert len(server.asked(path)) == 3

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
