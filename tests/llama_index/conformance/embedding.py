"""What any LlamaIndex embedding model must do, on the suite's own server."""

from __future__ import annotations

import asyncio
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding

from .dialects import OPENAI, Dialect
from .looking import events, with_key, written
from .played import Gate
from .server import Reply, Request, ScriptedServer, texts_of, vector_of

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

    def test_texts_are_sent_as_they_are_in_every_form(self) -> None:
        odd = "  two\nlines "
        with self.answering() as (embedding, server):

            async def ask() -> None:
                await embedding.aget_text_embedding(odd)
                await embedding.aget_query_embedding(odd)
                await embedding.aget_text_embedding_batch([odd])

            embedding.get_query_embedding(odd)
            embedding.get_text_embedding_batch([odd])
            asyncio.run(ask())
            assert self.inputs(server) == [odd] * 5

    def test_async_holds_no_event_loop_up(self) -> None:
        forms = {"aget_text_embedding": "a", "aget_query_embedding": "a", "aget_text_embedding_batch": ["a"]}
        for form, asked in forms.items():
            gate = Gate()
            with self.answering() as (embedding, server):
                server.answers["POST", self.dialect.embedding_path] = self.behind(gate, server)
                asyncio.run(gate.beside(getattr(embedding, form)(asked)))
            assert gate.held, form
            assert not any(gate.held), f"{form}: nothing else ran in its event loop"

    def behind(self, gate: Gate, server: ScriptedServer) -> Callable[[Request], Reply]:
        """Return what answers with vectors once a gate is open."""
        embed: Any = server.answers["POST", self.dialect.embedding_path]

        def answer(request: Request) -> Reply:
            gate.wait()
            return embed(request)

        return answer

    def test_handlers_are_told_of_the_texts_and_their_vectors(self) -> None:
        with self.answering() as (embedding, _), events() as told:
            embedding.get_text_embedding_batch(TEXTS)
            asyncio.run(embedding.aget_text_embedding_batch(TEXTS))
            embedding.get_query_embedding(TEXTS[0])
        ends = [event for event in told if event.class_name() == "EmbeddingEndEvent"]
        assert len(ends) == len(told) - len(ends) == 7
        assert [text for event in ends for text in event.chunks] == [*TEXTS, *TEXTS, TEXTS[0]]
        assert all(event.embeddings == [vector_of(text) for text in event.chunks] for event in ends)

    def test_a_key_that_was_given_is_not_stored(self) -> None:
        with self.answering() as (embedding, _):
            with_key(embedding, "sk-of-mine")
            assert "sk-of-mine" not in written(embedding)

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
