"""Which hosts are used: those that answer as the first one does."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from vessel_core import Client, LocalServer
from vessel_core.errors import ModelNotFound, ProtocolError, VesselError
from vessel_core.types import ModelInfo
from vessel_core.vetting import alike

from tests.core.driving import Connect
from tests.core.hosting import BUSY, HELLO, asked, named, until, until_met
from tests.fake_server import (
    Request,
    Response,
    llamacpp_server,
    ollama_server,
    openai_embeddings,
    openai_server,
    transcript,
    vector_of,
)


def test_a_host_with_another_model_is_not_used_and_says_why(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    with llamacpp_server() as one, llamacpp_server(routes=named("small.gguf", n_embd=16)) as other:
        client = connect(base_url=[one.base_url, other.base_url])
        client.embed(["first"])
        until(lambda: bool(client.models()) and {"ready", "aside"} == {host.state for host in client.hosts()})
        client.embed([f"text {number}" for number in range(6)], batch_size=1)
        (aside,) = [host for host in client.hosts() if host.state == "aside"]
        assert "does not fit the other hosts: it has" in str(aside.error)
        assert caplog.text.count("is not used") == 1
        assert min(asked(one), asked(other)) == 0


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let hosts that are gone be given up and asked again soon."""
    monkeypatch.setattr("vessel_core.pool.GRACE", 0.3)
    monkeypatch.setattr("vessel_core.hosts.PAUSES", (0.05,))


def failing(client: Client) -> str:
    """Return what an embedding fails with."""
    with pytest.raises(VesselError) as caught:
        client.embed(["text"])
    return caught.value.message


@pytest.mark.usefixtures("short")
def test_a_host_that_was_not_taken_in_stays_out_when_the_first_is_gone(connect: Connect) -> None:
    met = threading.Event()
    small = named("small.gguf", n_embd=16)["GET", "/v1/models"]
    with llamacpp_server(routes={("GET", "/v1/models"): replace(small, wait=met)}) as other:
        with llamacpp_server() as first:
            client = connect(base_url=[first.base_url, other.base_url], max_retries=0)
            client.embed(["text"])
            met.set()
            until(lambda: bool(client.models()) and client.hosts()[1].state == "aside")
        until(lambda: "answered with 'plain.gguf' before" in failing(client))
        failing(client)
        assert asked(other) == 0


@pytest.mark.usefixtures("short")
def test_hosts_that_come_back_with_another_model_are_not_used(connect: Connect) -> None:
    with llamacpp_server() as first, llamacpp_server() as other:
        client = connect(base_url=[first.base_url, other.base_url], max_retries=0)
        client.embed(["text"])
        until_met(client)
        for server in (first, other):
            server.routes.update({**named("new.gguf", n_embd=16), ("POST", "/v1/embeddings"): BUSY})
        until(lambda: "has 'new.gguf'" in failing(client))
        for server in (first, other):
            server.requests.clear()
            server.routes["POST", "/v1/embeddings"] = openai_embeddings
        failing(client)
        assert asked(first) + asked(other) == 0


def test_one_model_may_have_two_names_if_both_embed_a_text_alike(connect: Connect) -> None:
    with llamacpp_server(model="a.gguf") as one, llamacpp_server(model="copy-of-a.gguf") as other:
        client = connect(base_url=[one.base_url, other.base_url])
        client.embed(["first"])
        until_met(client)
        texts = [f"text {number}" for number in range(8)]
        assert client.embed(texts, batch_size=1).vectors == [vector_of(text) for text in texts]
        assert {host.state for host in client.hosts()} == {"ready"}
        assert min(asked(one), asked(other)) >= 2


def test_real_servers_of_one_file_by_two_names_are_both_used() -> None:
    with (
        LocalServer.demo("embedding", parallel=2) as one,
        LocalServer.demo("embedding", parallel=2, alias="copy") as other,
    ):
        client = Client("llamacpp", base_url=[one.base_url, other.base_url])
        until_met(client)
        client.embed([f"text {number}" for number in range(24)], batch_size=1)
        assert {host.state for host in client.hosts()} == {"ready"}
        assert min(host.answered for host in client.hosts()) > 2


def test_real_servers_that_rank_are_both_used() -> None:
    """What they embed is the score, and then whatever the memory held: nothing to compare them by."""
    with LocalServer.demo("rerank", parallel=2) as one, LocalServer.demo("rerank", parallel=2, alias="copy") as other:
        client = Client("llamacpp", base_url=[one.base_url, other.base_url])
        until_met(client)
        for _ in range(8):
            assert [found.index for found in client.rerank("a boat", ["Rain fell.", "A boat."])] == [1, 0]
        assert {host.state for host in client.hosts()} == {"ready"}
        assert min(host.answered for host in client.hosts()) > 2


def test_hosts_that_rank_are_not_compared_by_what_they_embed(connect: Connect) -> None:
    scores = Response.json({"results": [{"index": at, "relevance_score": -at} for at in range(4)]})
    garbage = Response.json({"data": [{"index": 0, "embedding": [0.7, None]}]})
    routes: dict[tuple[str, str], Any] = {("POST", "/v1/rerank"): scores, ("POST", "/v1/embeddings"): garbage}
    with llamacpp_server(routes=routes) as one, llamacpp_server(routes=routes) as other:
        client = connect(base_url=[one.base_url, other.base_url])
        until_met(client)
        assert {host.state for host in client.hosts()} == {"ready"}


def test_models_that_rank_differently_are_told_apart(connect: Connect) -> None:
    scores: list[list[float]] = [[0.9, 0.7, -0.8, -0.9], [-0.1, 0.2, -0.9, 0.8]]
    ranked = [[{"index": at, "relevance_score": each} for at, each in enumerate(given)] for given in scores]
    first, second = [{("POST", "/v1/rerank"): Response.json({"results": each})} for each in ranked]
    with llamacpp_server(routes=first) as one, llamacpp_server(routes=second) as other:
        client = connect(base_url=[one.base_url, other.base_url])
        until_met(client)
        (aside,) = [host for host in client.hosts() if host.state == "aside"]
        assert "ranks texts otherwise" in str(aside.error)


@pytest.mark.parametrize("status", [200, 403, 500], ids=str)
def test_a_proxy_that_lets_nobody_rank_is_no_reason_to_leave_a_host_out(connect: Connect, status: int) -> None:
    refused = Response(status, {"content-type": "text/html"}, b"<html>No</html>")
    routes: dict[tuple[str, str], Any] = {("POST", "/v1/rerank"): refused}
    with llamacpp_server(routes=routes) as one, llamacpp_server(routes=routes) as other:
        client = connect(base_url=[one.base_url, other.base_url])
        until_met(client)
        assert {host.state for host in client.hosts()} == {"ready"}


def test_what_the_only_host_that_fits_lacks_is_said_with_the_hosts_that_were_not_asked(connect: Connect) -> None:
    with llamacpp_server() as one, llamacpp_server(routes=named("ranking.gguf", n_embd=16)) as other:
        client = connect(base_url=[one.base_url, other.base_url])
        until_met(client)
        (aside,) = [host for host in client.hosts() if host.state == "aside"]
        with pytest.raises(VesselError) as caught:
            client.rerank("a boat", ["A boat.", "Rain fell."])
        assert caught.value.hint is not None
        assert f"Not asked: {aside.base_url}. It does not fit the other hosts: it has" in caught.value.hint


@pytest.mark.parametrize("name", ["a-tuned.gguf", "a.gguf"])
def test_models_that_differ_in_nothing_they_say_are_told_apart_by_what_they_embed(connect: Connect, name: str) -> None:
    routes: dict[tuple[str, str], Any] = {("POST", "/v1/embeddings"): otherwise}
    quantised = {} if name != "a.gguf" else {"ftype": "Q4_0", "size": 1000}
    with (
        llamacpp_server(routes=named("a.gguf")) as one,
        llamacpp_server(routes={**named(name, **quantised), **routes}) as other,
    ):
        client = connect(base_url=[one.base_url, other.base_url])
        client.embed(["first"])
        until_met(client)
        found = client.embed([f"text {number}" for number in range(8)], batch_size=1).vectors
        (aside,) = [host for host in client.hosts() if host.state == "aside"]
        assert "embeds or ranks texts otherwise" in str(aside.error)
        assert len({len(vector) == 4 and vector[2] for vector in found}) == 1  # of one model, whichever was first


def otherwise(request: Request) -> Response:
    count = len(request.json()["input"])
    return Response.json({"data": [{"index": at, "embedding": [0.5, 3.0, -9.0, 1.0]} for at in range(count)]})


def test_a_name_alone_is_not_believed(connect: Connect) -> None:
    routes: dict[tuple[str, str], Any] = {("POST", "/v1/embeddings"): otherwise}
    with openai_server(models=("m",)) as one, openai_server(models=("m",), routes=routes) as other:
        client = connect("openai", base_url=[one.base_url, other.base_url], model="m")
        client.embed(["first"])
        until_met(client)
        assert len({len(vector) for vector in client.embed(["text"] * 8, batch_size=1).vectors}) == 1
        (aside,) = [host for host in client.hosts() if host.state == "aside"]
        assert "embeds or ranks texts otherwise" in str(aside.error)


@pytest.mark.parametrize("which", [0, 1])
def test_a_host_that_has_another_model_after_a_rest_is_not_used(
    connect: Connect, which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with llamacpp_server() as one, llamacpp_server() as other:
        client = connect(base_url=[one.base_url, other.base_url])
        until_met(client)
        texts = [f"text {number}" for number in range(6)]
        before = client.embed(texts, batch_size=1).vectors
        monkeypatch.setattr("vessel_core.hosts.REST", -1.0)
        (one, other)[which].routes["POST", "/v1/embeddings"] = otherwise
        assert client.embed(texts, batch_size=1).vectors == before
        until(lambda: bool(client.models()) and client.hosts()[which].state == "aside")
        assert "embeds or ranks texts otherwise" in str(client.hosts()[which].error)


def test_vectors_of_two_widths_are_not_handed_out_as_one_result(connect: Connect) -> None:
    def wider(request: Request) -> Response:
        (text,) = request.json()["input"]
        return Response.json({"data": [{"index": 0, "embedding": [1.0] * (2 + (text == "b"))}]})

    with llamacpp_server(routes={("POST", "/v1/embeddings"): wider}) as server:
        with pytest.raises(ProtocolError, match="2 and 3 numbers"):
            connect("llamacpp", base_url=server.base_url).embed(["a", "b"], batch_size=1)


def test_where_nothing_tells_whether_it_is_one_model_that_is_said(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    none = Response.json({"error": {"message": "no embeddings", "type": "not_supported_error", "code": 501}}, 501)
    routes: dict[tuple[str, str], Any] = {("POST", "/v1/embeddings"): none}
    text = transcript("llamacpp/text.sse")
    with (
        llamacpp_server(text, model="a.gguf", routes=routes) as one,
        llamacpp_server(text, model="b.gguf", routes=routes) as other,
    ):
        client = connect(base_url=[one.base_url, other.base_url])
        assert client.chat(HELLO).text
        until_met(client)
        assert {host.state for host in client.hosts()} == {"ready"}
        assert caplog.text.count("nothing tells whether that is the same model") == 1


MODEL = ModelInfo("m", embedding_length=384, vocabulary=329, parameters="1.0B", size=10, quantization="F32")


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (MODEL, True),
        (replace(MODEL, id="M:latest"), True),
        (replace(MODEL, id="copy"), None),
        (replace(MODEL, quantization="Q4_0", size=3), None),
        (replace(MODEL, id="copy", quantization="Q4_0", size=3), False),
        (replace(MODEL, embedding_length=16), False),
        (replace(MODEL, vocabulary=330), False),
        (replace(MODEL, parameters="2.0B"), False),
        (ModelInfo("m"), True),
        (ModelInfo("other"), False),
    ],
    ids=str,
)
def test_what_hosts_say_of_a_model_tells_whether_it_is_the_same(other: ModelInfo, same: bool | None) -> None:
    assert alike(MODEL, other) is same
    assert alike(other, MODEL) is same


def test_ollamas_digest_stands_for_the_model() -> None:
    one, other = replace(MODEL, digest="sha256:aa"), replace(MODEL, digest="sha256:bb")
    assert alike(one, replace(one, id="a-copy")) is True
    assert alike(one, other) is None


def test_hosts_of_two_kinds_are_not_mixed(connect: Connect) -> None:
    with llamacpp_server() as one, ollama_server() as other:
        client = connect("llamacpp", base_url=[one.base_url, other.base_url])
        client.embed(["text"])
        until(lambda: bool(client.models()) and client.hosts()[1].state == "aside")
        assert "it is Ollama, and not llama.cpp" in str(client.hosts()[1].error)


def test_a_host_without_the_model_is_left_out_and_named(caplog: pytest.LogCaptureFixture) -> None:
    with ollama_server(models=["qwen3:8b", "nomic"]) as one, ollama_server(models=["qwen3:8b"]) as other:
        client = Client("ollama", base_url=[one.base_url, other.base_url], model="nomic")
        client.embed([f"text {number}" for number in range(4)], batch_size=1)
        until(lambda: bool(client.models()) and client.hosts()[1].state == "aside")
        assert asked(other, "/api/embed") == 0
        assert "no model 'nomic'" in str(client.hosts()[1].error)
        assert caplog.text.count(f"{other.base_url} is not used. It has no model 'nomic'") == 1
        with pytest.raises(ModelNotFound):
            Client("ollama", base_url=[one.base_url, other.base_url], model="none").embed(["text"])
