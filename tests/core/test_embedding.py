"""How many texts go in one request, and how many requests at once: what fits the server, where it tells."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from vessel_core import Limits
from vessel_core.errors import InputTooLarge, InvalidRequest, ResponseTooLarge, ServerTimeout
from vessel_core.local import LocalServer

from tests.core.driving import Connect, Tap
from tests.fake_server import (
    FakeServer,
    Request,
    Response,
    Routes,
    llamacpp_server,
    lmstudio_server,
    ollama_server,
    openai_embeddings,
    openai_server,
    vector_of,
)

TEXTS = [f"text {number}" for number in range(150)]
EMBED = ("POST", "/v1/embeddings")


def sizes(server: FakeServer, path: str = "/v1/embeddings") -> list[int]:
    """Return how many texts each request held, the largest first."""
    return sorted((len(request.json()["input"]) for request in server.asked(path)), reverse=True)


def of_slots(slots: int) -> FakeServer:
    """Return a llama.cpp server that says how many slots it has."""
    return llamacpp_server(routes={("GET", "/props"): Response.json({"build_info": "b1-a", "total_slots": slots})})


@pytest.mark.parametrize(("slots", "expected"), [(1, [16] * 9 + [6]), (2, [32] * 4 + [22]), (8, [64, 64, 22])])
@pytest.mark.parametrize("model", ["plain.gguf", None])
def test_a_batch_has_sixteen_texts_for_each_slot_of_llamacpp(
    connect: Connect, slots: int, expected: list[int], model: str | None
) -> None:
    with of_slots(slots) as server:
        client = connect(base_url=server.base_url, model=model)
        client.embed(TEXTS)
        assert sizes(server) == expected
        assert len(server.asked("/props")) == 1
        client.embed(TEXTS)
        assert len(server.asked("/props")) == 1  # what it told is remembered


def test_the_usage_of_several_requests_is_their_sum(connect: Connect) -> None:
    with of_slots(1) as server:
        client = connect(base_url=server.base_url, model="plain.gguf")
        parts = [client.embed(texts).usage for texts in (TEXTS[:16], TEXTS[16:20])]
        whole = client.embed(TEXTS[:20]).usage
    counts = [(usage.prompt_tokens, usage.total_tokens) for usage in (*parts, whole) if usage is not None]
    assert counts[2] == (counts[0][0] + counts[1][0], counts[0][1] + counts[1][1])


def test_the_real_server_tells_its_slots(connect: Connect, embedding_server: LocalServer) -> None:
    with Tap(embedding_server.base_url) as tap:
        client = connect(base_url=tap.base_url, model="demo-embedding")
        vectors = client.embed(TEXTS).vectors
        slots = client.model_info().slots
        assert slots is not None
        assert sizes(tap)[0] == min(64, 16 * slots)
        assert vectors == client.embed(TEXTS, batch_size=len(TEXTS)).vectors


def test_lm_studio_tells_how_many_it_works_on_at_once(connect: Connect) -> None:
    models: dict[str, Any] = {"type": "embedding", "key": "nomic", "loaded_instances": [{"config": {"parallel": 2}}]}
    routes: Routes = {("GET", "/api/v1/models"): Response.json({"models": [models]})}
    with lmstudio_server(routes=routes) as server:
        connect("lmstudio", base_url=server.base_url, model="nomic").embed(TEXTS)
        assert sizes(server) == [32] * 4 + [22]


def test_servers_that_do_not_tell_get_sixty_four_and_are_asked_nothing(connect: Connect) -> None:
    with openai_server() as server:
        connect("openai", base_url=server.base_url, model="m").embed(TEXTS)
        assert sizes(server) == [64, 64, 22]
        assert {request.path for request in server.requests} == {"/v1/embeddings"}
    with ollama_server() as server:
        connect("ollama", base_url=server.base_url, model="m").embed(TEXTS)
        assert sizes(server, "/api/embed") == [64, 64, 22]
        assert {request.path for request in server.requests} == {"/api/embed"}


def test_few_texts_and_chosen_sizes_need_no_question(connect: Connect) -> None:
    with of_slots(1) as server:
        client = connect(base_url=server.base_url, model="m")
        client.embed(TEXTS[:16])
        client.embed(TEXTS[:40], batch_size=20, concurrency=1)
        assert sizes(server) == [20, 20, 16]
        assert {request.path for request in server.requests} == {"/v1/embeddings"}


def test_a_server_that_is_not_as_it_should_be_is_embedded_with_all_the_same(connect: Connect) -> None:
    with llamacpp_server(routes={("GET", "/props"): Response.json({"error": "no"}, 404)}) as server:
        connect(base_url=server.base_url, model="m").embed(TEXTS)
        assert sizes(server) == [64, 64, 22]


@pytest.mark.parametrize(("given", "most"), [(None, 2), (3, 3), (1, 1)])
def test_one_request_is_worked_on_while_another_waits(connect: Connect, given: int | None, most: int) -> None:
    """Of ten batches as many are under way as may be: each waits until that many are there."""
    lock, together, under_way = threading.Lock(), threading.Barrier(most), [0, 0]

    def embed(request: Request) -> Response:
        with lock:
            under_way[0] += 1
            under_way[1] = max(under_way)
        together.wait(30)
        with lock:
            under_way[0] -= 1
        return openai_embeddings(request)

    props = Response.json({"build_info": "b1-a", "total_slots": 1})
    with llamacpp_server(routes={("GET", "/props"): props, EMBED: embed}) as server:
        connect(base_url=server.base_url, model="plain.gguf").embed(TEXTS[:96], concurrency=given)
        assert (under_way[1], len(server.asked("/v1/embeddings"))) == (most, 6)


@pytest.mark.parametrize("name", ["batch_size", "concurrency"])
def test_a_size_below_one_is_refused(connect: Connect, name: str) -> None:
    fields: dict[str, Any] = {name: 0}
    with pytest.raises(InvalidRequest, match=f"{name}=0 is below 1"):
        connect(base_url="http://127.0.0.1:1").embed(TEXTS, **fields)


def test_of_two_texts_that_are_too_long_the_first_is_told_though_the_other_is_found_sooner(connect: Connect) -> None:
    later = threading.Event()

    def embed(request: Request) -> Response:
        (text,) = request.json()["input"]
        if text == "long and slow":
            later.wait(30)
        later.set()
        return Response.json({"error": {"code": 500, "message": "input is too large to process"}}, 500)

    with llamacpp_server(routes={EMBED: embed}) as server:
        client = connect(base_url=server.base_url, model="m")
        with pytest.raises(InputTooLarge) as caught:
            client.embed(["long and slow", "long", "fine"], batch_size=1, concurrency=2)
        assert caught.value.index == 0
        assert sorted(request.json()["input"] for request in server.asked("/v1/embeddings")) == [
            ["long"],
            ["long and slow"],
        ]


def test_after_a_batch_that_failed_no_other_is_begun(connect: Connect) -> None:
    with llamacpp_server(routes={EMBED: Response(wait=threading.Event())}) as server:
        client = connect(base_url=server.base_url, model="m", timeout=0.2)
        with pytest.raises(ServerTimeout):
            client.embed(TEXTS, batch_size=10, concurrency=4)
        assert len(server.asked("/v1/embeddings")) <= 4


@pytest.mark.parametrize("name", ["batch_size", "concurrency"])
@pytest.mark.parametrize("value", ["2", 1.5])
def test_a_size_that_is_no_whole_number_is_refused(connect: Connect, name: str, value: Any) -> None:
    fields: dict[str, Any] = {name: value}
    with pytest.raises(InvalidRequest, match=f"{name}={value!r} is no whole number"):
        connect(base_url="http://127.0.0.1:1").embed(TEXTS, **fields)


def test_a_text_that_is_too_long_is_told_by_its_place_among_all_and_costs_no_other_its_vector(connect: Connect) -> None:
    def embed(request: Request) -> Response:
        if any(len(text) > 20 for text in request.json()["input"]):
            said = (
                "input (600 tokens) is too large to process. increase the physical batch size (current batch size: 512)"
            )
            return Response.json({"error": {"code": 500, "message": said, "type": "server_error"}}, 500)
        return openai_embeddings(request)

    texts = [*TEXTS[:5], "long " * 9, *TEXTS[6:8]]
    with llamacpp_server(routes={EMBED: embed}) as server:
        with pytest.raises(InputTooLarge, match=r"^texts\[5\]: ") as caught:
            connect(base_url=server.base_url, model="m").embed(texts, batch_size=4, concurrency=1)
        assert caught.value.index == 5
        assert caught.value.vectors == [vector_of(texts[4]), None, vector_of(texts[6]), vector_of(texts[7])]
        assert sizes(server) == [4, 4, 2, 2, 1, 1]


def test_texts_and_documents_may_come_from_a_generator(connect: Connect) -> None:
    ranking = Response.json({"results": [{"index": 1, "relevance_score": 2.0}, {"index": 0, "relevance_score": 1.0}]})
    with llamacpp_server(routes={("POST", "/v1/rerank"): ranking}) as server:
        client = connect(base_url=server.base_url, model="m")
        assert client.embed(text for text in TEXTS[:20]).vectors == client.embed(TEXTS[:20]).vectors
        assert client.embed(iter(())).vectors == []
        assert [one.index for one in client.rerank("q", (text for text in "ab"))] == [1, 0]
        assert server.asked("/v1/rerank")[0].json()["documents"] == ["a", "b"]
        with pytest.raises(InvalidRequest, match="one string"):
            client.rerank("q", "ab")


@pytest.mark.parametrize("server", ["chat", "embedding"])
def test_a_chat_model_that_must_embed_is_named_once(
    server: str, request: pytest.FixtureRequest, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    running: LocalServer = request.getfixturevalue(f"{server}_server")
    client = connect("llamacpp", base_url=running.base_url)
    for _ in range(2):
        client.embed(["a fox"])
    said = [one for one in caplog.messages if "is a chat model" in one]
    assert len(said) == (server == "chat")
    assert all("'demo-chat'" in one for one in said)


def test_vectors_may_be_longer_than_other_documents(connect: Connect) -> None:
    limits = Limits(document=500)
    models = Response.json({"data": [{"id": "x" * 1000}]})
    with openai_server() as server:
        client = connect("openai", base_url=server.base_url, model="m", limits=limits)
        assert len(client.embed(["text"] * 50, batch_size=50).vectors) == 50
        server.routes["GET", "/v1/models"] = models
        with pytest.raises(ResponseTooLarge, match="500 bytes"):
            client.models()


REPEATING: dict[str, tuple[list[str], dict[str, str]]] = {
    "Chinese": (["向量" * 5_000] * 64, {}),
    "ASCII": (["ab " * 27_000] * 64, {}),
    "many": (["a"] * 60_000, {"pad": "x" * 10}),
}


@pytest.mark.parametrize("what", REPEATING)
def test_a_reply_may_repeat_what_was_sent_beside_its_vectors(connect: Connect, what: str) -> None:
    texts, more = REPEATING[what]

    def embed(request: Request) -> Response:
        data = [
            {"index": at, "embedding": [at, 1.0], "text": text, **more}
            for at, text in enumerate(request.json()["input"])
        ]
        return Response(
            200, {"content-type": "application/json"}, json.dumps({"data": data}, ensure_ascii=False).encode()
        )

    def rank(request: Request) -> Response:
        documents = request.json()["documents"]
        found = [{"index": at, "relevance_score": -at, "document": {"text": text}} for at, text in enumerate(documents)]
        return Response(200, {"content-type": "application/json"}, json.dumps({"results": found}).encode())

    with openai_server(routes={("POST", "/v1/embeddings"): embed, ("POST", "/v1/rerank"): rank}) as server:
        client = connect("openai", base_url=server.base_url, model="m")
        assert client.embed(texts, batch_size=len(texts)).vectors[-1] == [len(texts) - 1, 1.0]
        assert client.rerank("q", texts)[-1].index == len(texts) - 1
