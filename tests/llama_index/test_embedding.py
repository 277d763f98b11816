"""Embeddings: the texts as they are, the vectors in their order, so many requests at once and no more."""

from __future__ import annotations

import asyncio
import copy
import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.rate_limiter import BaseRateLimiter
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.embeddings.vessel import VesselEmbedding
from vessel_core import AsyncClient, Client, Timeout
from vessel_core.errors import InvalidRequest, ModelNotFound

from tests.fake_server import FakeServer, Request, Response, ollama_server, openai_embeddings, openai_server, vector_of
from tests.llama_index.test_events import kinds, recorded
from tests.metering import Meter

TEXTS = [f"Fact number {number} is about {topic}." for number, topic in enumerate(["boats", "bread", "birds"] * 5)]


async def test_vectors_come_in_the_order_of_the_texts_in_every_form(embedding: VesselEmbedding) -> None:
    one_by_one = [await embedding.aget_text_embedding(text) for text in TEXTS]
    assert await asyncio.to_thread(embedding.get_text_embedding, TEXTS[3]) == one_by_one[3]
    embedding.embed_batch_size = 4
    # llama.cpp's last digits depend on what else is in the batch.
    batched = await asyncio.to_thread(embedding.get_text_embedding_batch, TEXTS)
    np.testing.assert_allclose(batched, one_by_one, atol=1e-5)
    np.testing.assert_allclose(await embedding.aget_text_embedding_batch(TEXTS), one_by_one, atol=1e-5)
    await embedding.aclose()


def test_what_belongs_together_is_near(embedding: VesselEmbedding) -> None:
    query = embedding.get_query_embedding("Which boats are there?")
    boats, bread = embedding.get_text_embedding_batch(["Boats cross the lake.", "Bread is baked at night."])
    assert embedding.similarity(query, boats) > embedding.similarity(query, bread)


@contextmanager
def counted(
    answer: Callable[[Request], Response] = openai_embeddings, **options: Any
) -> Generator[tuple[VesselEmbedding, FakeServer]]:
    """Yield an embedding on a scripted server."""
    with openai_server(routes={("POST", "/v1/embeddings"): answer}) as server:
        embedding = VesselEmbedding(backend="openai", base_url=server.base_url, model_name="nomic", **options)
        yield embedding, server
        embedding.close()


def inputs(server: FakeServer) -> list[list[str]]:
    """Return the texts of each request, in the order of the texts."""
    return sorted(request.json()["input"] for request in server.asked("/v1/embeddings"))


def test_a_text_is_sent_as_it_is() -> None:
    odd = "  two\nlines,\t a tab and  spaces \n"
    with counted() as (embedding, server):
        assert embedding.get_text_embedding(odd) == vector_of(odd)
        assert inputs(server) == [[odd]]


def test_instructions_stand_before_texts_and_queries() -> None:
    options: Any = {"query_instruction": "search_query: ", "text_instruction": "Represent this:"}
    with counted(**options) as (embedding, server):
        embedding.get_query_embedding("boats")
        embedding.get_text_embedding_batch(["bread"])
        assert inputs(server) == [["Represent this: bread"], ["search_query: boats"]]


async def test_the_instructions_are_there_in_async_too() -> None:
    with counted(query_instruction="q: ", text_instruction="t: ") as (embedding, server):
        await embedding.aget_query_embedding("boats")
        await embedding.aget_text_embedding("bread")
        await embedding.aget_text_embedding_batch(["birds"])
        assert inputs(server) == [["q: boats"], ["t: birds"], ["t: bread"]]
        await embedding.aclose()


def test_batches_are_as_long_as_they_should_be() -> None:
    with counted(embed_batch_size=4) as (embedding, server):
        assert embedding.get_text_embedding_batch(TEXTS) == [vector_of(text) for text in TEXTS]
        assert sorted(map(len, inputs(server))) == [3, 4, 4, 4]
        assert {text for batch in inputs(server) for text in batch} == set(TEXTS)


def test_the_order_is_that_of_the_texts_though_the_server_shuffles() -> None:
    def shuffled(request: Request) -> Response:
        document = openai_embeddings(request)
        body: Any = json.loads(document.body)
        return Response.json({**body, "data": body["data"][::-1]})

    with counted(shuffled) as (embedding, _):
        assert embedding.get_text_embedding_batch(TEXTS) == [vector_of(text) for text in TEXTS]


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("name", ["concurrency", "num_workers"])
def test_so_many_requests_are_under_way_at_once_and_no_more(
    concurrency: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter, workers, embed = Meter(concurrency), set[str](), Client.embed

    def counting(client: Client, *texts: Any, **options: Any) -> Any:
        workers.update(thread.name for thread in threading.enumerate() if thread.name.startswith("vessel-embed"))
        return embed(client, *texts, **options)

    monkeypatch.setattr(Client, "embed", counting)
    with counted(meter, embed_batch_size=1, **{name: concurrency}) as (embedding, server):
        assert embedding.get_text_embedding_batch(TEXTS) == [vector_of(text) for text in TEXTS]
        assert len(server.asked("/v1/embeddings")) == len(TEXTS)
    assert meter.most == len(workers) == concurrency


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_so_many_async_requests_are_under_way_at_once_and_no_more(
    concurrency: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, most, embed = 0, 0, AsyncClient.embed

    async def counting(client: AsyncClient, *texts: Any, **options: Any) -> Any:
        nonlocal now, most
        now += 1
        most = max(most, now)  # all tasks have begun before any is answered, so that one more would show
        found = await embed(client, *texts, **options)
        now -= 1
        return found

    monkeypatch.setattr(AsyncClient, "embed", counting)
    with counted(Meter(concurrency), embed_batch_size=1, concurrency=concurrency) as (embedding, server):
        asked = [embedding.aget_text_embedding_batch(TEXTS) for _ in range(2)]
        assert await asyncio.gather(*asked) == [[vector_of(text) for text in TEXTS]] * 2
        assert len(server.asked("/v1/embeddings")) == 2 * len(TEXTS)
        await embedding.aclose()
    assert most == concurrency


async def test_concurrency_set_later_or_on_a_copy_counts_in_the_same_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    now, most, embed = 0, 0, AsyncClient.embed

    async def counting(client: AsyncClient, *texts: Any, **options: Any) -> Any:
        nonlocal now, most
        now += 1
        most = max(most, now)
        found = await embed(client, *texts, **options)
        now -= 1
        return found

    monkeypatch.setattr(AsyncClient, "embed", counting)
    with counted(embed_batch_size=1, concurrency=3) as (embedding, _):
        for concurrency in (3, 1, 2):
            embedding.concurrency, most = concurrency, 0
            await embedding.aget_text_embedding_batch(TEXTS)
            assert most == concurrency
        copies = [embedding, embedding.model_copy(), copy.copy(embedding)]
        most = 0
        await asyncio.gather(*(each.aget_text_embedding_batch(TEXTS) for each in copies))
        assert most == 3 * 2
        for each in copies:
            await each.aclose()


@pytest.mark.parametrize("size", [1, 64])
@pytest.mark.parametrize("cached", [False, True])
async def test_a_call_has_a_timeout_of_its_own(cached: bool, size: int) -> None:
    released, cache = threading.Event(), SimpleKVStore() if cached else None

    def late(request: Request) -> Response:
        return replace(openai_embeddings(request), wait=released)

    with counted(late, timeout=600, max_retries=0, embed_batch_size=size, embeddings_cache=cache) as (embedding, _):
        with pytest.raises(TimeoutError):
            embedding.get_text_embedding_batch(TEXTS, timeout=0.05)
        with pytest.raises(TimeoutError):
            embedding([TextNode(text="boats")], timeout=Timeout(request=0.05))
        with pytest.raises(TimeoutError):
            await embedding.aget_text_embedding_batch(TEXTS, timeout=0.05)
        asked = asyncio.create_task(embedding.aget_text_embedding_batch(TEXTS))
        done, _ = await asyncio.wait([asked], timeout=0.1)
        assert not done  # that was of those calls alone
        released.set()
        assert len(await asked) == len(embedding.get_text_embedding_batch(TEXTS)) == len(TEXTS)
        await embedding.aclose()


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_after_a_batch_that_fails_none_is_begun(asynchronous: bool) -> None:
    missing = Response.json({"error": {"message": "no such model", "code": 404, "type": "not_found_error"}}, 404)
    with counted(lambda _: missing, embed_batch_size=1, concurrency=2) as (embedding, server):
        asked = (
            embedding.aget_text_embedding_batch(TEXTS)
            if asynchronous
            else asyncio.to_thread(embedding.get_text_embedding_batch, TEXTS)
        )
        with pytest.raises(ModelNotFound):
            await asked
        let_in = 2 if asynchronous else 0  # by both that were under way
        assert len(server.asked("/v1/embeddings")) <= 2 + let_in
        await embedding.aclose()


def test_dimensions_are_asked_for() -> None:
    with counted(dimensions=4) as (embedding, server):
        embedding.get_text_embedding("boats")
        assert server.asked("/v1/embeddings")[0].json()["dimensions"] == 4
        assert server.asked("/v1/embeddings")[0].json()["model"] == "nomic"


def test_ollama_is_asked_by_its_own_api() -> None:
    with ollama_server(models=["nomic"]) as server:
        embedding = VesselEmbedding(backend="ollama", base_url=server.base_url, model_name="nomic")
        assert embedding.get_text_embedding_batch(["a", "b"]) == [vector_of("a"), vector_of("b")]
        assert server.asked("/api/embed")[0].json()["input"] == ["a", "b"]
        embedding.close()


async def test_an_empty_page_does_not_end_an_ingestion_but_an_empty_query_is_a_mistake() -> None:
    with counted() as (embedding, server):
        assert len(embedding.get_text_embedding_batch(["a", ""])) == 2
        assert len(await embedding.aget_text_embedding_batch(["a", ""])) == 2
        embedding.get_text_embedding("")
        await embedding.aget_text_embedding("")
        assert inputs(server) == [[" "], [" "], ["a", " "], ["a", " "]]
        for instruction in (None, "search_query: "):
            embedding.query_instruction = instruction
            with pytest.raises(InvalidRequest, match="empty"):
                embedding.get_query_embedding("")
            with pytest.raises(InvalidRequest, match="empty"):
                await embedding.aget_query_embedding("")
        await embedding.aclose()


async def test_nodes_get_their_vectors(embedding: VesselEmbedding) -> None:
    nodes = [TextNode(text=text) for text in TEXTS[:3]]
    assert all(node.embedding for node in await asyncio.to_thread(embedding, nodes))
    assert all(node.embedding for node in await embedding.acall(nodes))
    await embedding.aclose()


def test_a_cache_is_used() -> None:
    with counted(embeddings_cache=SimpleKVStore(), embed_batch_size=2) as (embedding, server):
        first = embedding.get_text_embedding_batch(TEXTS[:5])
        assert embedding.get_text_embedding_batch(TEXTS[:5]) == first
        assert len(server.asked("/v1/embeddings")) == 3


class Limiter(BaseRateLimiter):
    """Counts what it lets through."""

    passed = 0

    def acquire(self, num_tokens: int = 0) -> None:
        self.passed += 1

    async def async_acquire(self, num_tokens: int = 0) -> None:
        self.passed += 1


@pytest.mark.parametrize("kept", ["cache", "limiter"])
async def test_requests_are_under_way_at_once_with_a_cache_and_a_limiter_too(kept: str) -> None:
    together = threading.Barrier(3)
    limiter = Limiter()

    def answer(request: Request) -> Response:
        together.wait(20)
        return openai_embeddings(request)

    def options() -> dict[str, Any]:
        return {"embeddings_cache": SimpleKVStore()} if kept == "cache" else {"rate_limiter": limiter}

    with counted(answer, embed_batch_size=5, concurrency=3, **options()) as (embedding, server):
        vectors = await asyncio.to_thread(embedding.get_text_embedding_batch, TEXTS)
        assert vectors == [vector_of(text) for text in TEXTS]
        if kept == "cache":
            assert await asyncio.to_thread(embedding.get_text_embedding_batch, TEXTS) == vectors
        assert len(server.asked("/v1/embeddings")) == 3
    with counted(answer, embed_batch_size=5, concurrency=3, **options()) as (embedding, _):
        assert await embedding.aget_text_embedding_batch(TEXTS) == vectors
        await embedding.aclose()
    assert limiter.passed == (6 if kept == "limiter" else 0)


def test_what_openais_class_takes_in_additional_kwargs_is_sent() -> None:
    with counted(additional_kwargs={"user": "me", "encoding_format": "float"}) as (embedding, server):
        embedding.get_text_embedding("boats")
        asked = server.asked("/v1/embeddings")[0].json()
        assert (asked["user"], asked["encoding_format"]) == ("me", "float")


def test_each_batch_has_its_events() -> None:
    debugging = LlamaDebugHandler(print_trace_on_end=False)
    with (
        counted(embed_batch_size=5, callback_manager=CallbackManager([debugging])) as (embedding, _),
        recorded() as events,
    ):
        embedding.get_text_embedding_batch(TEXTS)
    assert kinds(events) == ["EmbeddingStartEvent", "EmbeddingEndEvent"] * 3
    assert [chunk for event in events[1::2] for chunk in event.chunks] == TEXTS
    pairs = debugging.get_event_pairs(CBEventType.EMBEDDING)
    assert [len((end.payload or {})["chunks"]) for _, end in pairs] == [5, 5, 5]
    assert events[0].model_dict["model_name"] == "nomic"


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("texts", [[], TEXTS[:1], TEXTS[:5], TEXTS])
async def test_a_batch_has_one_span(spans: SimpleSpanHandler, texts: list[str], asynchronous: bool) -> None:
    with counted(embed_batch_size=5) as (embedding, _):
        name = "aget_text_embedding_batch" if asynchronous else "get_text_embedding_batch"
        asked = getattr(embedding, name)(texts)
        assert (await asked if asynchronous else asked) == [vector_of(text) for text in texts]
        (span,) = spans.completed_spans
        assert span.id_.startswith(f"VesselEmbedding.{name}")
        await embedding.aclose()


def test_one_object_serves_one_event_loop_after_another() -> None:
    with counted(embed_batch_size=1, concurrency=2) as (embedding, _):

        async def ask() -> list[list[float]]:
            return await embedding.aget_text_embedding_batch(TEXTS)

        assert asyncio.run(ask()) == asyncio.run(ask()) == embedding.get_text_embedding_batch(TEXTS)
