"""The numbered quirks that only show through a whole client: on the real server where it has them, else scripted.

The others are in `tests/core/wire`. `docs/quirks.md` is made from the names of all of them.
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator

import pytest
from vessel_core.errors import InvalidRequest, ServerError, StreamInterrupted, StreamStalled
from vessel_core.local import LocalServer
from vessel_core.types import Timeout

from tests.core.driving import Connect
from tests.core.wire.play import HELLO
from tests.fake_server import (
    SSE,
    FakeServer,
    Response,
    Routes,
    llamacpp_server,
    lmstudio_server,
    ollama_server,
    transcript,
)

TEXT = transcript("llamacpp/text.sse")


LULL = 0.2
"""Seconds between two pieces of a stream whose tokens may be three and a half times as far apart."""


def slow(between: bytes) -> Response:
    """A stream with a second of silence between two tokens, or of comments now and then."""
    first, end, rest = TEXT.partition(b"\n\n")
    passing = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield first + end + rest[: rest.index(b"\n\n") + 2]
        for _ in range(5):
            passing.wait(LULL)
            yield between
        yield rest[rest.index(b"\n\n") + 2 :]

    return Response(headers={"content-type": SSE}, pieces=pieces())


@pytest.mark.parametrize(
    "comment", [b":\n\n", b": keep-alive\n\n", b": keepalive 12/512\n\n", b": ping - 2026\r\n\r\n"]
)
def test_quirk_06_comments_are_no_silence(connect: Connect, comment: bytes) -> None:
    """Between two tokens more time passes than may; a comment now and then shows that the server is still at work."""
    with llamacpp_server(lambda _: slow(comment)) as server:
        client = connect(base_url=server.base_url, model="x", timeout=Timeout(between_tokens=3.5 * LULL))
        assert client.chat([HELLO]).text == "Hello"


def test_silence_between_two_tokens_is_a_stall(connect: Connect) -> None:
    with llamacpp_server(lambda _: slow(b"")) as server:
        client = connect(base_url=server.base_url, model="x", timeout=Timeout(between_tokens=3.5 * LULL))
        with pytest.raises(StreamStalled):
            client.chat([HELLO])


def test_quirk_13_a_body_without_length_ends_with_the_connection(connect: Connect) -> None:
    """HTTP/1.0, as mlx-lm answers: no length, no chunks, no `[DONE]`."""
    head = b"HTTP/1.0 200 OK\r\nServer: BaseHTTP/0.6 Python/3.12\r\nContent-Type: text/event-stream\r\n\r\n"
    answer = transcript("mlx/keepalive.sse")
    with llamacpp_server(Response(raw=head + answer)) as server:
        reply = connect("mlx", base_url=server.base_url, model="x").chat([HELLO])
    assert (reply.text, reply.reasoning, reply.finish) == ("Hi", "Hm", "stop")
    for cut in (answer[: answer.rindex(b"data:")], answer[: -len(answer) // 9]):
        with llamacpp_server(Response(raw=head + cut)) as server:
            with pytest.raises(StreamInterrupted) as caught:
                connect("mlx", base_url=server.base_url, model="x").chat([HELLO])
            assert caught.value.partial is not None
            assert caught.value.partial.text == "Hi"


def test_quirk_21_no_compression_is_asked_for_and_one_that_comes_is_undone(connect: Connect) -> None:
    chat = Response(headers={"content-type": SSE, "content-encoding": "gzip"}, body=gzip.compress(TEXT))
    with llamacpp_server(chat) as server:
        assert connect(base_url=server.base_url, model="x").chat([HELLO]).text == "Hello"
        (request,) = server.asked("/v1/chat/completions")
        assert request.headers["accept-encoding"] == "identity"


def test_quirk_25_an_error_behind_tokens_of_the_same_bytes_is_raised_with_them(connect: Connect) -> None:
    for server in (llamacpp_server(transcript("llamacpp/error.sse")), ollama_server(transcript("ollama/error.ndjson"))):
        with server:
            client = connect("auto", base_url=server.base_url)
            with pytest.raises(ServerError) as caught:
                client.chat([HELLO])
            assert caught.value.partial is not None
            assert caught.value.partial.text in ("I will", ".")


def test_quirk_28_a_model_that_loads_is_waited_for(connect: Connect) -> None:
    loading = Response.json({"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}, 503)
    routes: Routes = {("POST", "/v1/chat/completions"): [loading, Response.stream(TEXT)]}
    with llamacpp_server(routes=routes) as server:
        assert connect(base_url=server.base_url, model="x").chat([HELLO]).text == "Hello"
        assert len(server.asked("/v1/chat/completions")) == 2


def test_quirk_79_an_empty_text_is_refused_or_becomes_a_space(connect: Connect, chat_server: LocalServer) -> None:
    client = connect(base_url=chat_server.base_url)
    with pytest.raises(InvalidRequest, match=r"texts\[1\] is empty"):
        client.embed(["a", ""])
    vectors = client.embed(["a", ""], blank="space").vectors
    assert vectors[1] == client.embed([" "]).vectors[0]


def test_quirk_84_a_list_of_models_that_is_null_is_empty(connect: Connect) -> None:
    nothing = Response.json({"object": "list", "data": None, "models": None})
    for backend, path in (("openai", "/v1/models"), ("ollama", "/api/tags"), ("llamacpp", "/v1/models")):
        with FakeServer({("GET", path): nothing, ("GET", "/api/ps"): nothing}) as server:
            assert connect(backend, base_url=server.base_url).models() == []


def test_quirk_85_lm_studios_embedding_models_are_not_asked_to_chat(connect: Connect) -> None:
    with lmstudio_server(TEXT, models=["qwen3"], embedding_models=["a-embedder"]) as server:
        client = connect("lmstudio", base_url=server.base_url)
        assert [(model.id, model.kind) for model in client.models()] == [("qwen3", "chat"), ("a-embedder", "embedding")]
        client.chat([HELLO])
        client.embed(["a"])
        assert server.asked("/v1/chat/completions")[0].json()["model"] == "qwen3"
        assert server.asked("/v1/embeddings")[0].json()["model"] == "a-embedder"


def test_quirk_86_a_name_is_quoted_in_a_url_and_sent_as_it_is_elsewhere(connect: Connect) -> None:
    name = "hf.co/some one/Llama:Q4@x.gguf"
    job = {"job_id": "job/1 a", "status": "downloading"}
    done = Response.json({"job_id": "job/1 a", "status": "completed"})
    routes: Routes = {
        ("POST", "/api/v1/models/download"): Response.json(job),
        ("GET", "/api/v1/models/download/status/job%2F1%20a"): done,
    }
    with lmstudio_server(routes=routes) as server:
        assert [step.status for step in connect("lmstudio", base_url=server.base_url).pull(name)][-1] == "completed"
        assert server.asked("/api/v1/models/download")[0].json() == {"model": name}


def test_quirk_87_a_connection_that_the_server_closed_while_idle_is_no_error(connect: Connect) -> None:
    hang_up = threading.Event()
    first = Response.stream(TEXT, hang_up, cut="fin")
    routes: Routes = {("POST", "/v1/chat/completions"): [first, Response.stream(TEXT)]}
    with llamacpp_server(routes=routes) as server:
        client = connect(base_url=server.base_url, model="x")
        assert client.chat([HELLO]).text == "Hello"
        hang_up.set()
        assert client.chat([HELLO]).text == "Hello"
