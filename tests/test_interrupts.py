"""Ctrl-C, or a notebook's stop, while several calls are under way in threads: all of them end, and the server stops."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from itertools import count

import pytest
from langchain_vessel import ChatVessel, VesselEmbeddings
from llama_index.embeddings.vessel import VesselEmbedding
from vessel_core import Client

from tests.fake_server import FakeServer, Request, Response, llamacpp_server

CHAT, EMBED = "/v1/chat/completions", "/v1/embeddings"
TEXTS = [f"text {number}" for number in range(6)]
WORD = b'data: {"choices": [{"index": 0, "delta": {"content": "la "}, "finish_reason": null}]}\n\n'


def interrupting(path: str, at: int, answer: Response) -> FakeServer:
    """Return a server that presses Ctrl-C when it is asked for the `at`th time, and never ends an answer."""
    asked = count(1)

    def pressing(_: Request) -> Response:
        if next(asked) == at:
            os.kill(os.getpid(), signal.SIGINT)
        return answer

    return llamacpp_server(routes={("POST", path): pressing})


def batch(url: str) -> object:
    return ChatVessel(backend="llamacpp", base_url=url).batch([*TEXTS], {"max_concurrency": 3})


def batch_with_errors_as_values(url: str) -> object:
    return ChatVessel(backend="llamacpp", base_url=url).batch([*TEXTS[:3]], return_exceptions=True)


def batch_on_several_hosts(url: str) -> object:
    return ChatVessel(backend="llamacpp", base_url=[url, url.replace("127.0.0.1", "localhost")]).batch([*TEXTS[:3]])


def embed(url: str) -> object:
    return Client("llamacpp", base_url=url).embed(TEXTS, batch_size=1, concurrency=3)


def embed_documents(url: str) -> object:
    return VesselEmbeddings(backend="llamacpp", base_url=url, batch_size=1, concurrency=3).embed_documents(TEXTS)


def get_text_embedding_batch(url: str) -> object:
    embedding = VesselEmbedding(backend="llamacpp", base_url=url, embed_batch_size=1, concurrency=3)
    return embedding.get_text_embedding_batch(TEXTS)


WAYS = [
    *((way, CHAT) for way in (batch, batch_with_errors_as_values, batch_on_several_hosts)),
    *((way, EMBED) for way in (embed, embed_documents, get_text_embedding_batch)),
]


@pytest.mark.parametrize("begun", [True, False], ids=["in the middle of answers", "before any"])
@pytest.mark.parametrize(("way", "path"), WAYS, ids=[way.__name__ for way, _ in WAYS])
def test_who_interrupts_several_calls_waits_for_none_and_the_server_stops(
    way: Callable[[str], object], path: str, begun: bool
) -> None:
    before = set(threading.enumerate())
    answer = Response.stream(WORD, keep_open=True) if begun else Response(wait=threading.Event())
    with interrupting(path, 3, answer) as server:
        with pytest.raises(KeyboardInterrupt):
            way(server.base_url)
        asked = server.asked(path)
        assert all(request.disconnected.wait(5) for request in asked)
        for thread in set(threading.enumerate()) - before:
            if thread.name.rpartition("_")[0] in ("vessel", "vessel-embed"):
                thread.join(5)
                assert not thread.is_alive()
        assert server.asked(path)[len(asked) :] == []  # nothing more was begun


def test_a_client_that_was_hung_up_on_is_used_again() -> None:
    with interrupting(CHAT, 2, Response.stream(WORD, keep_open=True)) as server:
        chat = ChatVessel(backend="llamacpp", base_url=server.base_url)
        with pytest.raises(KeyboardInterrupt):
            chat.batch([*TEXTS[:2]])
        stream = chat.stream("Hello")
        assert next(stream).text == "la "
