"""What was asked for is taken in, however much it is, and a limit that is met is named."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from vessel_core import Client, Limits, Timeout
from vessel_core.backends.base import items
from vessel_core.errors import ResponseTooLarge
from vessel_core.transport import incoming
from vessel_core.transport.incoming import Body, Incoming
from vessel_core.types import Progress
from vessel_core.watching import Follow, ProgressLines, read_status
from vessel_core.wire import Call

from tests.fake_server import SSE, FakeServer, Request, Response, llamacpp_server, openai_server

SMALL = Limits(document=100_000)
HELLO: Any = [{"role": "user", "content": "Hello"}]


def ranked(request: Request) -> Response:
    found = [
        {"index": at, "relevance_score": 0.5, "document": {"text": text}}
        for at, text in enumerate(request.json()["documents"])
    ]
    return Response.json({"results": found})


def test_a_ranking_may_repeat_the_documents() -> None:
    with openai_server(routes={("POST", "/v1/rerank"): ranked}) as server:
        with Client("openai", base_url=server.base_url, model="m", limits=SMALL) as client:
            assert len(client.rerank("q", ["a" * 1000] * 500)) == 500


def test_many_documents_may_be_ranked() -> None:
    with openai_server(routes={("POST", "/v1/rerank"): ranked}) as server:
        with Client("openai", base_url=server.base_url, model="m") as client:
            assert len(client.rerank("q", ["a"] * 50_000)) == 50_000


def test_a_long_text_has_many_tokens() -> None:
    text = "word " * 800_000
    with llamacpp_server(routes={("POST", "/tokenize"): Response.json({"tokens": [123_456] * 800_000})}) as server:
        with Client("llamacpp", base_url=server.base_url, model="m") as client:
            assert len(client.tokenize(text)) == 800_000
            with pytest.raises(ResponseTooLarge, match=r"Limits\(body=…, document=…"):
                client.tokenize("word")


def test_who_takes_larger_documents_takes_more_values() -> None:
    body = json.dumps({"data": [{"id": "a", "b": {str(at): 1 for at in range(20)}}] * 6_000}).encode()
    answer = Response(200, {"content-type": "application/json"}, body)
    with FakeServer(otherwise=answer) as server:
        with Client("openai", base_url=server.base_url) as client:
            with pytest.raises(ResponseTooLarge, match=r"`limits=Limits\(document=…\)` takes more in"):
                client.models()
        with Client("openai", base_url=server.base_url, limits=Limits(document=16_000_000)) as client:
            assert len(client.models()) == 6_000


def test_log_probabilities_that_are_asked_for_are_taken_in() -> None:
    tops = [{"token": "a", "bytes": [97], "logprob": -1.0}] * 20
    logprobs = {"content": [{"token": "a", "bytes": [97], "logprob": -1.0, "top_logprobs": tops}]}
    choice = {"index": 0, "delta": {"content": "a"}, "logprobs": logprobs}
    token = b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
    end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    answer = Response(200, {"content-type": SSE}, token * 500 + end)
    with openai_server(answer) as server:
        with Client("openai", base_url=server.base_url, model="m", limits=Limits(answer=500_000)) as client:
            assert len(client.chat(HELLO, logprobs=True, top_logprobs=20).logprobs or ()) == 500
            with pytest.raises(ResponseTooLarge, match=r"log probabilities .* more than 1,500,000 bytes"):
                client.chat(HELLO)


@pytest.mark.parametrize(
    ("vectors", "to_do"), [(1, r"Limits\(body=…, document=…"), (2, "batch_size"), (64, "batch_size")]
)
def test_each_vector_that_is_asked_for_may_take_128_kib(vectors: int, to_do: str) -> None:
    call, more = Call("POST", "/v1/embeddings", {}, vectors=vectors), vectors * 128 * 1024
    body = Incoming(incoming.Response(200, (), ()), Timeout(), 0, Limits(document=1000), call).body
    assert body.plain(bytes(1000 + more))
    with pytest.raises(ResponseTooLarge, match=f"longer than {1000 + more:,} bytes(?s:.*){to_do}"):
        body.plain(b" ")


def test_a_packed_reply_unpacks_to_200_times_its_size_at_most() -> None:
    body = Body({"content-encoding": "gzip"}, 256 * 1024 * 1024)
    with pytest.raises(ResponseTooLarge, match="unpacks to more than 200 times its size"):
        body.plain(gzip.compress(bytes(4 * 1024 * 1024)))


def test_20_000_models_may_be_listed_and_no_more() -> None:
    listed: list[Any] = [{}] * 20_000
    assert len(items({"data": listed}, "data")) == 20_000
    with pytest.raises(ResponseTooLarge, match="lists 20,001 of its data; no more than 20,000"):
        items({"data": [*listed, {}]}, "data")


@pytest.mark.parametrize(
    ("nothing_new", "times"),
    [(b"\n" * 1000, 129), (b'{"status": "pulling", "x": "%s"}\n' % (b"x" * 1024 * 1024), 7)],
    ids=["blank lines", "the same each time"],
)
def test_progress_that_says_nothing_new_is_bounded_and_news_begins_anew(nothing_new: bytes, times: int) -> None:
    lines = ProgressLines(Follow(Call("POST", "/api/pull"), read_status, "success"))
    for status in ("pulling", "resting", "pulling"):
        assert lines.feed(b'{"status": "%s"}\n' % status.encode()) == [Progress(status)]
        for _ in range(times if status == "pulling" else 0):
            lines.feed(nothing_new)
    with pytest.raises(ResponseTooLarge, match="8,388,608 bytes and more came that say nothing new"):
        lines.feed(nothing_new)
