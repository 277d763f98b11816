"""`VesselEmbeddings` on a real server, and what it asks of a scripted one."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_vessel import VesselEmbeddings
from vessel_core import Timeout
from vessel_core.local import LocalServer

from tests.fake_server import (
    FakeServer,
    Request,
    Response,
    llamacpp_server,
    ollama_server,
    openai_embeddings,
    vector_of,
)
from tests.metering import Meter


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))


def test_texts_that_share_words_are_nearer(embedding_server: LocalServer) -> None:
    embeddings = VesselEmbeddings(base_url=embedding_server.base_url)
    cats, trains = embeddings.embed_documents(["Cats sleep all day", "The train leaves at noon"])
    query = embeddings.embed_query("When do cats sleep?")
    assert cosine(query, cats) > cosine(query, trains)


async def test_async_vectors_are_the_sync_ones(embedding_server: LocalServer) -> None:
    embeddings = VesselEmbeddings(base_url=embedding_server.base_url)
    assert await embeddings.aembed_query("a cat") == pytest.approx(embeddings.embed_query("a cat"))
    texts = ["a cat", "a train"]
    for mine, theirs in zip(await embeddings.aembed_documents(texts), embeddings.embed_documents(texts), strict=True):
        assert mine == pytest.approx(theirs)


@pytest.mark.parametrize("timeout", [0.05, Timeout(request=0.05), (0.05, 0.05)])
async def test_a_call_has_a_timeout_of_its_own(timeout: Any) -> None:
    with FakeServer(otherwise=Response(wait=threading.Event())) as server:
        embeddings = VesselEmbeddings(backend="llamacpp", base_url=server.base_url, model="m", timeout=600)
        with pytest.raises(TimeoutError):
            embeddings.embed_documents(["x"], timeout=timeout)
        with pytest.raises(TimeoutError):
            embeddings.embed_query("x", timeout=timeout)
        with pytest.raises(TimeoutError):
            await embeddings.aembed_documents(["x"], timeout=timeout)
        with pytest.raises(TimeoutError):
            await embeddings.aembed_query("x", timeout=timeout)


def test_no_texts_are_no_request() -> None:
    with llamacpp_server() as server:
        assert VesselEmbeddings(base_url=server.base_url, backend="llamacpp").embed_documents([]) == []
        assert server.requests == []


def test_texts_go_as_texts_in_batches_and_vectors_come_in_order() -> None:
    texts = [f"text {number}" for number in range(7)]
    with llamacpp_server() as server:
        embeddings = VesselEmbeddings(base_url=server.base_url, backend="llamacpp", model="m", batch_size=3)
        assert embeddings.embed_documents(texts) == [vector_of(text) for text in texts]
        sent = sorted(request.json()["input"] for request in server.asked("/v1/embeddings"))
    assert sent == [texts[:3], texts[3:6], texts[6:]]


async def test_async_batches_come_in_order_too() -> None:
    texts = [f"text {number}" for number in range(7)]
    with llamacpp_server() as server:
        embeddings = VesselEmbeddings(base_url=server.base_url, backend="llamacpp", model="m", batch_size=3)
        assert await embeddings.aembed_documents(texts) == [vector_of(text) for text in texts]
        assert len(server.asked("/v1/embeddings")) == 3


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_so_many_requests_are_under_way_at_once_and_no_more(concurrency: int) -> None:
    texts = ["the first", *(f"text {number}" for number in range(3 * concurrency))]
    for asynchronous in (False, True):
        meter = Meter(concurrency)

        def answered(request: Request, meter: Meter = meter) -> Response:
            """Let the first one through: the async client asks it alone, to learn the model."""
            return openai_embeddings(request) if request.json()["input"] == ["the first"] else meter(request)

        with llamacpp_server(routes={("POST", "/v1/embeddings"): answered}) as server:
            embeddings = VesselEmbeddings(base_url=server.base_url, model="m", batch_size=1, concurrency=concurrency)
            if asynchronous:
                vectors = await embeddings.aembed_documents(texts)
            else:
                vectors = await asyncio.to_thread(embeddings.embed_documents, texts)
            assert vectors == [vector_of(text) for text in texts]
        assert meter.most == concurrency


async def test_prefixes_stand_before_queries_and_documents() -> None:
    with llamacpp_server() as server:
        embeddings = VesselEmbeddings(
            base_url=server.base_url,
            backend="llamacpp",
            query_prefix="search_query: ",
            document_prefix="search_document: ",
        )
        embeddings.embed_query("cats")
        embeddings.embed_documents(["dogs"])
        await embeddings.aembed_query("cats")
        await embeddings.aembed_documents(["dogs"])
        sent = [request.json()["input"] for request in server.asked("/v1/embeddings")]
    assert sent == [["search_query: cats"], ["search_document: dogs"]] * 2


def test_one_text_in_place_of_a_list_is_refused_and_so_is_what_is_no_text() -> None:
    embeddings = VesselEmbeddings(base_url="http://127.0.0.1:9")
    wrong: list[tuple[Any, str]] = [("cats", "one string"), (["cats", 5], r"texts\[1\] is a int")]
    for texts, said in wrong:
        with pytest.raises(ModelInvalidRequestError, match=said):
            embeddings.embed_documents(texts)


@pytest.mark.parametrize("prefix", ["", "search_document: "])
def test_an_empty_text_is_refused_or_becomes_a_space(prefix: str) -> None:
    with llamacpp_server() as server:
        embeddings = VesselEmbeddings(base_url=server.base_url, backend="llamacpp", document_prefix=prefix)
        with pytest.raises(ModelInvalidRequestError, match=r"texts\[1\] is empty"):
            embeddings.embed_documents(["a", ""])
        assert server.asked("/v1/embeddings") == []
        embeddings.blank = "space"
        embeddings.embed_documents(["a", ""])
        assert server.asked("/v1/embeddings")[0].json()["input"] == [f"{prefix}a", " "]


def test_options_of_the_runner_reach_ollama() -> None:
    with ollama_server(models=("nomic-embed-text",)) as server:
        embeddings = VesselEmbeddings(
            base_url=server.base_url, model="nomic-embed-text", num_ctx=2048, keep_alive="10m", truncate=True
        )
        embeddings.embed_query("cats")
        body = server.asked("/api/embed")[-1].json()
    assert (body["options"], body["keep_alive"], body["truncate"]) == ({"num_ctx": 2048}, "10m", True)


def test_dimensions_are_asked_for() -> None:
    with llamacpp_server() as server, ollama_server(models=("demo",)) as other:
        VesselEmbeddings(base_url=server.base_url, dimensions=4).embed_query("cats")
        VesselEmbeddings(base_url=other.base_url, model="demo", dimensions=4).embed_query("cats")
        asked = [server.asked("/v1/embeddings")[-1].json(), other.asked("/api/embed")[-1].json()]
    assert [each["dimensions"] for each in asked] == [4, 4]


def test_what_is_no_option_goes_into_the_body() -> None:
    with llamacpp_server() as server:
        VesselEmbeddings(base_url=server.base_url, extra_body={"embd_normalize": -1}).embed_query("cats")
        assert server.asked("/v1/embeddings")[-1].json()["embd_normalize"] == -1
