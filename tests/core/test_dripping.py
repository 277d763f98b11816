"""A server that sends a little now and then, and never ends, holds nobody longer than the time that was given."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from vessel_core import AsyncClient, Client, Timeout, discover
from vessel_core.backends import LMSTUDIO
from vessel_core.errors import ModelLoading, ServerTimeout

from tests.core.driving import Connect
from tests.core.test_discovery import at
from tests.core.wire.play import HELLO
from tests.fake_server import Response, llamacpp_server

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(params=[b"text/event-stream", b"application/json"])
def dripping(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a server that answers everything with one more byte every 20 ms."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65536)
                connection.sendall(HEAD % request.param)
                while not over.wait(0.02):
                    connection.sendall(b"1\r\n \r\n")
            except OSError:
                return  # the client hung up, as it should

    def accept() -> None:
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    over.set()
    listener.close()


@pytest.mark.parametrize("kind", ["application/json", "text/html"])
def test_a_document_in_the_place_of_a_stream_names_the_time_that_bounds_it(connect: Connect, kind: str) -> None:
    answer = Response(headers={"content-type": kind}, pieces=[b"{", threading.Event()])
    with llamacpp_server(answer) as server:
        client = connect(base_url=server.base_url, model="m", timeout=Timeout(first_token=0.2), max_retries=0)
        with pytest.raises(ServerTimeout) as caught:
            client.chat([HELLO])
    assert caught.value.hint == "Raise `Timeout(first_token=…)`."


def test_discovery_ends_in_time_and_leaves_no_thread(dripping: str) -> None:
    before = set(threading.enumerate())
    (found,) = discover(0.3, [at(LMSTUDIO, dripping, "LMSTUDIO_URL")])
    assert not found.connected
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("vessel-discovery"):
            thread.join(10)
            assert not thread.is_alive()


def test_info_and_health_end_in_time(dripping: str) -> None:
    with Client("lmstudio", base_url=dripping, timeout=Timeout(request=0.2)) as client:
        began = time.monotonic()
        assert client.info().connected is False
        assert client.health() is False
        assert time.monotonic() - began < 10


def test_info_and_health_end_in_time_async(dripping: str) -> None:
    async def ask() -> tuple[bool, bool]:
        async with AsyncClient("lmstudio", base_url=dripping, timeout=Timeout(request=0.2)) as client:
            return (await client.info()).connected, await client.health()

    assert asyncio.run(asyncio.wait_for(ask(), 10)) == (False, False)


def test_a_document_that_stops_in_the_middle_is_given_up(connect: Connect) -> None:
    silent = {("GET", "/v1/models"): Response.stream(b"[", threading.Event(), content_type="application/json")}
    with llamacpp_server(routes=silent) as server:
        client = connect(base_url=server.base_url, timeout=Timeout(request=0.2), max_retries=0)
        with pytest.raises(ServerTimeout):
            client.models()


def chat(client: Client) -> object:
    return client.chat([HELLO])


def embed(client: Client) -> object:
    return client.embed(["Hello"])


@pytest.mark.parametrize("ask", [chat, embed])
def test_a_server_that_loads_and_is_silent_of_its_health_is_given_up(
    connect: Connect, ask: Callable[[Client], object]
) -> None:
    loading = Response.json({"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}, 503)
    routes = {("POST", "/v1/embeddings"): loading, ("GET", "/health"): Response(wait=threading.Event())}
    with llamacpp_server(loading, routes=routes) as server:
        client = connect(base_url=server.base_url, model="m", timeout=Timeout(load=0.3, request=30))
        began = time.monotonic()
        with pytest.raises(ModelLoading):
            ask(client)
        assert time.monotonic() - began < 10
