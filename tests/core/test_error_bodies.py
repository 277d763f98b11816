"""What an error's status tells is told, however its text comes: long, cut, stalled or packed. Sync and async."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from vessel_core import AsyncClient, Client
from vessel_core.errors import AuthFailed, BadRequest, ContextOverflow, RateLimited, ServerUnreachable, VesselError
from vessel_core.transport import incoming

from tests.core.driving import Connect
from tests.core.hosting import until
from tests.core.wire.play import HELLO
from tests.fake_server import SSE, FakeServer, Response, llamacpp_server

JSON = {"content-type": "application/json"}
SAID = b'{"error": {"message": "invalid api key", "code": 401}}'


def chat(client: Client) -> object:
    return client.chat([HELLO])


def embed(client: Client) -> object:
    return client.embed(["Hello"])


ASK = pytest.mark.parametrize("ask", [chat, embed])


def refusing(reply: Response) -> FakeServer:
    return llamacpp_server(reply, routes={("POST", "/v1/embeddings"): reply})


def failed(client: Client, ask: Callable[[Client], object]) -> VesselError:
    with pytest.raises(VesselError) as caught:
        ask(client)
    return caught.value


STALLED = {
    "before its text": [threading.Event()],
    "within its text": [SAID[:40], threading.Event()],
}
CUT = {
    "by an end": Response(401, JSON, SAID, cut="fin", cut_after=40),
    "by a reset": Response(401, JSON, SAID, cut="rst", cut_after=40),
    "of a stream": Response(401, {"content-type": SSE}, pieces=[SAID[:40]], cut="fin"),
    "as it was packed": Response(401, {**JSON, "content-encoding": "gzip"}, b"\x1f\x8b\x08broken"),
    "packed in a way nobody asked for": Response(401, {**JSON, "content-encoding": "br"}, b"\x8b\x02\x80"),
}


@ASK
@pytest.mark.parametrize("how", CUT)
def test_an_error_that_is_cut_keeps_its_status_and_is_asked_for_once(
    connect: Connect, ask: Callable[[Client], object], how: str
) -> None:
    with refusing(CUT[how]) as server:
        error = failed(connect(base_url=server.base_url, model="m"), ask)
        assert isinstance(error, AuthFailed)
        assert error.status_code == 401
        assert [request.method for request in server.requests].count("POST") == 1


@ASK
@pytest.mark.parametrize("how", STALLED)
def test_the_text_of_an_error_is_not_waited_for_long(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Client], object], how: str
) -> None:
    monkeypatch.setattr(incoming, "ERROR_SECONDS", 0.1)
    with refusing(Response(401, JSON, pieces=STALLED[how])) as server:
        client = connect(base_url=server.base_url, model="m")
        assert isinstance(error := failed(client, ask), AuthFailed)
        assert error.status_code == 401


def test_nor_over_connections_of_httpxs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "ERROR_SECONDS", 0.1)
    with refusing(Response(401, JSON, pieces=STALLED["within its text"])) as server:
        with Client("llamacpp", base_url=server.base_url, model="m", http_transport=httpx.HTTPTransport()) as client:
            assert isinstance(failed(client, chat), AuthFailed)
            assert isinstance(failed(client, embed), AuthFailed)


async def test_nor_over_connections_of_httpxs_async(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "ERROR_SECONDS", 0.1)
    theirs = httpx.AsyncHTTPTransport()
    with refusing(Response(401, JSON, pieces=STALLED["within its text"])) as server:
        async with AsyncClient("llamacpp", base_url=server.base_url, model="m", http_transport=theirs) as client:
            with pytest.raises(AuthFailed):
                await client.chat([HELLO])
            with pytest.raises(AuthFailed):
                await client.embed(["Hello"])


@ASK
def test_the_text_of_an_error_that_drips_is_not_waited_for_long(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Client], object]
) -> None:
    monkeypatch.setattr(incoming, "ERROR_SECONDS", 0.1)
    over = threading.Event()

    def drops() -> Any:
        while not over.wait(0.02):
            yield b" "

    with refusing(Response(401, JSON, pieces=drops())) as server:
        try:
            assert isinstance(failed(connect(base_url=server.base_url, model="m"), ask), AuthFailed)
        finally:
            over.set()


def test_a_client_that_is_closed_while_an_error_comes_asks_nobody_again() -> None:
    with refusing(Response(503, JSON, pieces=[SAID[:40], threading.Event()])) as server:
        client = Client("llamacpp", base_url=server.base_url, model="m")
        found: list[VesselError] = []
        thread = threading.Thread(target=lambda: found.append(failed(client, embed)))
        thread.start()
        until(lambda: bool(server.requests))
        client.close()
        thread.join(10)
        assert not thread.is_alive()
        assert not isinstance(found[0], ServerUnreachable) or "closed" in str(found[0])
        assert len(server.requests) == 1


OVERFLOW = {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 9000, "n_ctx": 4096}
LONG = {
    "its message stands behind much else": {"error": {"trace": "x " * 100_000, **OVERFLOW, "message": "too long"}},
    "its message is long": {"error": {**OVERFLOW, "message": "too long " * 200_000}},
    "much stands behind its message": {"error": {**OVERFLOW, "message": "too long"}, "rest": ["x"] * 500_000},
    "its message has no spaces": {"error": {**OVERFLOW, "message": "太长" * 500_000}},
}


@pytest.mark.parametrize("how", LONG)
def test_what_a_long_error_means_is_read(connect: Connect, how: str) -> None:
    with refusing(Response(400, JSON, json.dumps(LONG[how], ensure_ascii=False).encode())) as server:
        client = connect(base_url=server.base_url, model="m")
        with pytest.raises(ContextOverflow, match=r"too long|太长太长") as caught:
            client.chat([{"role": "user", "content": "word " * 100_000}])  # which an error may repeat
        assert len(caught.value.message) < 1000
        assert (caught.value.prompt_tokens, caught.value.context_length) == (9000, 4096)


def test_of_what_repeats_the_request_the_words_are_read(connect: Connect) -> None:
    sent = {"model": "m", "input": ["Hello"] * 100}
    detail = [{"type": "missing", "loc": ["body", at], "msg": "Field required", "input": sent} for at in range(500)]
    with refusing(Response.json({"detail": detail}, 422)) as server:
        error = failed(connect(base_url=server.base_url, model="m"), embed)
        assert isinstance(error, BadRequest)
        assert error.message.startswith(
            "The server refused the request: body.0: Field required; body.1: Field required"
        )


@ASK
@pytest.mark.parametrize("timeout", [0.5, 5.0])
def test_who_waits_less_for_an_answer_than_the_server_asks_is_told_at_once(
    connect: Connect, ask: Callable[[Client], object], timeout: float
) -> None:
    with refusing(Response(429, {"retry-after": "30"})) as server:
        client = connect(base_url=server.base_url, model="m", timeout=timeout)
        began = time.monotonic()
        error = failed(client, ask)
        assert isinstance(error, RateLimited)
        assert error.retry_after == 30
        assert time.monotonic() - began < 15
