"""What becomes of calls whose host begins a good reply that turns out to be none: sync and async, on scripted servers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from vessel_core import Client
from vessel_core.errors import ProtocolError, ServerError, VesselError

from tests.core.driving import Connect
from tests.core.hosting import HELLO, asked, until, until_met
from tests.fake_server import FakeServer, Request, Response, llamacpp_server, ollama_server, transcript, vector_of

TEXT = transcript("llamacpp/text.sse")
CHAT = "/v1/chat/completions"


def event(document: Any) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def broken(code: int, message: str) -> bytes:
    return event({"error": {"message": message, "code": code, "type": "server_error"}})


TOKEN = event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": "o"}, "finish_reason": None}]})

VECTORS = {
    "NaN": Response.json({"data": [{"index": 0, "embedding": [None, 1.0]}]}),
    "none": Response.json({"object": "list", "data": []}),
    "half a document": Response(200, {"content-type": "application/json"}, b'{"data":[{"ind'),
    "an error": Response.json({"error": {"message": "CUDA out of memory", "code": 500}}),
}

FIRST = {
    "500": Response.stream(broken(500, "CUDA error")),
    "503": Response.stream(broken(503, "Loading model")),
    "nothing": Response(200, {"content-type": "text/event-stream"}, b""),
    "the end alone": Response.stream(b"data: [DONE]\n\n"),
    "no JSON": Response.stream(b"data: {not json\n\n"),
    "a document": Response.json({"error": {"message": "CUDA error", "code": 500}}),
}


def turn_bad(reply: Response, *servers: FakeServer) -> None:
    """Let hosts that were met answer so from now on."""
    for server in servers:
        server.requests.clear()
        server.routes["POST", "/v1/embeddings"] = reply


@pytest.mark.parametrize("what", VECTORS)
def test_a_host_whose_vectors_are_none_is_left_and_named(
    connect: Connect, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    with llamacpp_server() as bad, llamacpp_server() as well:
        client = connect(base_url=[bad.base_url, well.base_url])
        until_met(client)
        turn_bad(VECTORS[what], bad)
        texts = [f"text {number}" for number in range(6)]
        assert client.embed(texts, batch_size=1, concurrency=1).vectors == [vector_of(text) for text in texts]
        assert asked(bad) >= 1
        assert client.hosts()[0].failed == asked(bad)
        assert caplog.text.count(f"{bad.base_url} is not used") == 1


@pytest.mark.parametrize("what", VECTORS)
def test_vectors_that_are_none_everywhere_are_the_calls_fault(
    connect: Connect, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    with llamacpp_server() as one, llamacpp_server() as other:
        client = connect(base_url=[one.base_url, other.base_url])
        until_met(client)
        turn_bad(VECTORS[what], one, other)
        with pytest.raises((ProtocolError, ServerError)) as caught:
            client.embed(["poison"])
        assert caught.value.url in (one.base_url, other.base_url)
        assert (asked(one), asked(other)) == (1, 1)
        assert {host.state for host in client.hosts()} == {"ready"}
        assert "is not used" not in caplog.text


def test_a_host_whose_ranking_is_none_is_left(connect: Connect) -> None:
    ranking = Response.json({"results": [{"index": 0, "relevance_score": 1.0}]})
    bad, well = ({("POST", "/v1/rerank"): reply} for reply in (Response.json({"results": "none"}), ranking))
    with llamacpp_server(routes=bad) as one, llamacpp_server(routes=well) as other:
        client = connect(base_url=[one.base_url, other.base_url])
        until_met(client)
        assert [client.rerank("query", ["text"])[0].index for _ in range(4)] == [0] * 4
        assert asked(one, "/v1/rerank") >= 1


def whole(client: Client) -> str:
    return client.chat(HELLO).text


def streamed(client: Client) -> str:
    return "".join(delta.text for delta in client.stream(HELLO))


@pytest.mark.parametrize("ask", [whole, streamed])
@pytest.mark.parametrize("what", FIRST)
def test_an_answer_that_begins_with_an_error_comes_from_another_host(
    connect: Connect, caplog: pytest.LogCaptureFixture, ask: Callable[[Client], str], what: str
) -> None:
    with llamacpp_server(FIRST[what]) as bad, llamacpp_server(TEXT) as well:
        client = connect(base_url=[bad.base_url, well.base_url])
        until_met(client)
        assert all(ask(client) for _ in range(4))
        assert asked(bad, CHAT) >= 1
        assert client.hosts()[0].failed == asked(bad, CHAT)
        assert caplog.text.count(f"{bad.base_url} is not used") == 1


@pytest.mark.parametrize("ask", [whole, streamed])
@pytest.mark.parametrize("what", FIRST)
def test_an_answer_that_begins_with_an_error_everywhere_is_the_calls_fault(
    connect: Connect, ask: Callable[[Client], str], what: str
) -> None:
    with llamacpp_server(FIRST[what]) as one, llamacpp_server(FIRST[what]) as other:
        client = connect(base_url=[one.base_url, other.base_url])
        until_met(client)
        with pytest.raises(VesselError) as caught:
            ask(client)
        assert caught.value.url in (one.base_url, other.base_url)
        assert (asked(one, CHAT), asked(other, CHAT)) == (1, 1)
        assert {host.state for host in client.hosts()} == {"ready"}


def test_a_whole_answer_is_begun_anew_after_an_error_in_the_middle(connect: Connect) -> None:
    with llamacpp_server(Response.stream(TOKEN, broken(500, "boom"))) as bad, llamacpp_server(TEXT) as well:
        client = connect(base_url=[bad.base_url, well.base_url])
        until_met(client)
        expected = whole(connect(base_url=well.base_url))
        assert [whole(client) for _ in range(4)] == [expected] * 4
        assert asked(bad, CHAT) >= 1


def test_an_answer_of_which_something_was_handed_on_ends_with_the_error(connect: Connect) -> None:
    fails = Response.stream(TOKEN, broken(500, "boom"))
    with llamacpp_server(fails) as one, llamacpp_server(fails) as other:
        client = connect(base_url=[one.base_url, other.base_url])
        until_met(client)
        with pytest.raises(ServerError, match="boom") as caught:
            streamed(client)
        assert caught.value.partial is not None
        assert caught.value.partial.text == "o"
        assert asked(one, CHAT) + asked(other, CHAT) == 1


def test_an_answer_that_ollama_breaks_off_is_begun_anew(connect: Connect) -> None:
    first = {"model": "qwen3:8b", "message": {"role": "assistant", "content": "o"}, "done": False}
    good = [first, {"model": "qwen3:8b", "message": {"role": "assistant", "content": "k"}, "done": True}]
    bad = [first, {"error": "an error was encountered while running the model: CUDA error"}]
    lines = [b"".join(json.dumps(line).encode() + b"\n" for line in played) for played in (bad, good)]
    with ollama_server(lines[0]) as one, ollama_server(lines[1]) as other:
        client = connect("ollama", base_url=[one.base_url, other.base_url])
        until_met(client)
        assert [whole(client) for _ in range(4)] == ["ok"] * 4
        assert asked(one, "/api/chat") >= 1


@pytest.mark.parametrize("bad_first", [True, False])
def test_an_error_names_the_host_that_sent_what_is_wrong(connect: Connect, bad_first: bool) -> None:
    bad = Response.text("no JSON")

    def good(_: Request) -> Response:
        return Response.json({"prompt": "text"})

    with (
        llamacpp_server(routes={("POST", "/apply-template"): bad}) as one,
        llamacpp_server(routes={("POST", "/apply-template"): good}) as other,
    ):
        servers = [one, other] if bad_first else [other, one]
        client = connect(base_url=[server.base_url for server in servers])
        until_met(client)
        named: set[str | None] = set()

        def asked_bad() -> bool:
            try:
                client.apply_template(HELLO)
            except ProtocolError as error:
                named.add(error.url)
            return bool(named)

        until(asked_bad)
        assert named == {one.base_url}
