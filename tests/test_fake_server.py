"""The server that plays exact bytes does what its docstring says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.fake_server import (
    FakeServer,
    Request,
    Response,
    llamacpp_server,
    lmstudio_server,
    ollama_server,
    openai_server,
    transcript,
    vector_of,
)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=10) as opened:
        yield opened


def test_requests_are_answered_on_one_connection_and_remembered(client: httpx.Client) -> None:
    def echo(request: Request) -> Response:
        return Response.json({"query": request.query, "body": request.json()}, 201, x_ours="1")

    with FakeServer({("POST", "/echo"): echo}) as server:
        replies = [client.post(f"{server.base_url}/echo?a=b", json={"n": n}, headers={"X-Key": "k"}) for n in (1, 2)]
        assert [reply.json() for reply in replies] == [{"query": "a=b", "body": {"n": n}} for n in (1, 2)]
        assert client.get(f"{server.base_url}/other").status_code == 404
        assert [(request.method, request.path) for request in server.requests] == [("POST", "/echo")] * 2 + [
            ("GET", "/other")
        ]
        assert server.requests[0].headers["x-key"] == "k"
        assert server.connections == 1


def test_answers_in_a_list_are_played_in_order_and_the_last_again(client: httpx.Client) -> None:
    with FakeServer({("GET", "/"): [Response.text("a"), lambda _: Response.text("b")]}) as server:
        assert [client.get(server.base_url).text for _ in range(3)] == ["a", "b", "b"]
        assert len(server.asked("/")) == 3


def test_a_gate_decides_when_a_stream_goes_on(client: httpx.Client) -> None:
    gate = threading.Event()
    with (
        FakeServer({("GET", "/"): Response.stream(b"one", gate, b"two")}) as server,
        client.stream("GET", server.base_url) as reply,
    ):
        pieces = reply.iter_raw()
        assert next(pieces) == b"one"
        gate.set()
        assert list(pieces) == [b"two"]


@pytest.mark.parametrize("cut", ["fin", "rst"])
def test_a_connection_breaks_where_it_should(client: httpx.Client, cut: Any) -> None:
    with FakeServer({("GET", "/"): Response.stream(b"abc", b"def", cut=cut, cut_after=4)}) as server:
        came: list[bytes] = []
        with pytest.raises(httpx.TransportError), client.stream("GET", server.base_url) as reply:
            came.extend(reply.iter_raw())
        assert b"abcd".startswith(b"".join(came))


def test_a_request_may_get_no_answer_at_all(client: httpx.Client) -> None:
    with FakeServer({("GET", "/"): Response.hang_up()}) as server, pytest.raises(httpx.RemoteProtocolError):
        client.get(server.base_url)


def test_a_body_may_end_with_its_connection(client: httpx.Client) -> None:
    with FakeServer({("GET", "/"): Response(body=b"Hello", framing="close")}) as server:
        assert client.get(server.base_url).text == "Hello"
        assert client.get(server.base_url).text == "Hello"
        assert server.connections == 2


@pytest.mark.parametrize("pieces", [[b"one", threading.Event()], [b"one"]])
def test_a_client_that_hangs_up_is_noticed(client: httpx.Client, pieces: list[bytes | threading.Event]) -> None:
    with FakeServer({("GET", "/"): Response(pieces=pieces, keep_open=True)}) as server:
        with client.stream("GET", server.base_url) as reply:
            read = reply.iter_raw()  # an iterator that nobody holds hangs up
            assert next(read) == b"one"
            assert not server.disconnected.is_set()
        assert server.requests[0].disconnected.wait(10)
        assert server.disconnected.is_set()


SERVERS: list[tuple[Callable[..., FakeServer], str, str]] = [
    (openai_server, "/v1/models", "demo"),
    (llamacpp_server, "/props", "chat_template_caps"),
    (ollama_server, "/api/tags", "qwen3:8b"),
    (lmstudio_server, "/api/v1/models", "loaded_instances"),
]


@pytest.mark.parametrize(("make", "path", "words"), SERVERS)
def test_a_whole_server_lists_its_models_and_plays_a_chat(
    client: httpx.Client, make: Callable[..., FakeServer], path: str, words: str
) -> None:
    native = make is ollama_server
    data = transcript("ollama/text.ndjson" if native else "llamacpp/text.sse")
    with make(data) as server:
        assert words in client.get(server.base_url + path).text
        reply = client.post(server.base_url + ("/api/chat" if native else "/v1/chat/completions"), json={})
        assert reply.content == data
        assert reply.headers["content-type"] == ("application/x-ndjson" if native else "text/event-stream")
        asked = {"model": "m", "input": ["ab", "c"]}
        vectors = client.post(server.base_url + ("/api/embed" if native else "/v1/embeddings"), json=asked).json()
        found = vectors["embeddings"] if native else [item["embedding"] for item in vectors["data"]]
        assert found == [vector_of("ab"), vector_of("c")]


def test_whole_servers_say_no_as_the_real_ones_do(client: httpx.Client) -> None:
    with llamacpp_server() as server:
        reply = client.get(f"{server.base_url}/none")
        assert (reply.status_code, reply.headers["server"], "File Not Found" in reply.text) == (404, "llama.cpp", True)
    with ollama_server() as server:
        assert client.get(f"{server.base_url}/none").text == "404 page not found"
        assert client.post(f"{server.base_url}/api/show", json={"model": "x"}).status_code == 404
    with lmstudio_server() as server:
        reply = client.get(f"{server.base_url}/none")
        assert (reply.status_code, reply.json()["error"]) == (200, "Unexpected endpoint or method. (GET /none)")
