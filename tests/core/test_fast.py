"""Connections by aiohttp, where it is installed: what is different from our own, and that nothing else is."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
import threading
import warnings
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from aiohttp.client_proto import ResponseHandler
from vessel_core import AsyncClient, Message, Timeout
from vessel_core.errors import (
    BadRequest,
    ConnectTimeout,
    ProtocolError,
    ServerTimeout,
    StreamInterrupted,
    StreamStalled,
)
from vessel_core.transport.fast import FastTransport
from vessel_core.transport.plain_async import AsyncPlainTransport

from tests.core.hosting import until
from tests.fake_server import FakeServer, Response, llamacpp_server, transcript
from tests.faults.catalogue import endless
from tests.faults.fault_server import FaultServer

HELLO: list[Message] = [{"role": "user", "content": "Hello"}]


def text(*words: str) -> list[bytes]:
    return [b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % word.encode() for word in words]


END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def client_of(server: FakeServer, **options: Any) -> AsyncClient:
    return AsyncClient("llamacpp", base_url=server.base_url, model="m", **options)


async def connections_of(server: FakeServer) -> object:
    async with client_of(server) as client:
        await client.chat(HELLO)
        session: Any = vars(client)["_session"]
        transport: Any = session._transport
        return transport._pools[asyncio.get_running_loop()].pool


async def test_aiohttp_is_used_where_it_is_installed_and_not_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        assert isinstance(await connections_of(server), FastTransport)
        monkeypatch.setenv("VESSEL_FAST", "0")
        assert isinstance(await connections_of(server), AsyncPlainTransport)
        monkeypatch.delenv("VESSEL_FAST")
        monkeypatch.setitem(sys.modules, "aiohttp", None)
        assert isinstance(await connections_of(server), AsyncPlainTransport)


@pytest.mark.parametrize("together", [True, False])
async def test_what_one_read_brings_is_one_delta_unless_it_was_not_to_be(together: bool) -> None:
    whole = Response(headers={"content-type": "text/event-stream"}, body=b"".join(text("a", "b", "c")) + END)
    with llamacpp_server(whole) as server:
        async with client_of(server, together=together) as client:
            texts = [delta.text async for delta in client.stream(HELLO) if delta.text]
    assert texts == (["a", "bc"] if together else ["a", "b", "c"])  # the first tells what it is


async def test_a_stream_may_wait_long_for_its_first_token_and_not_between_two() -> None:
    with llamacpp_server(Response.stream(*text("Hel"), keep_open=True)) as server:
        async with client_of(server, timeout=Timeout(first_token=60, between_tokens=0.2)) as client:
            with pytest.raises(StreamStalled) as caught:
                await client.chat(HELLO)
    assert caught.value.partial is not None
    assert caught.value.partial.text == "Hel"


async def test_a_server_hears_of_a_stop_before_the_loop_turns_again() -> None:
    with FaultServer(endless) as server:
        async with AsyncClient("llamacpp", base_url=server.url, model="m") as client:
            stream = client.stream(HELLO)
            await anext(stream)
            await stream.aclose()
            assert server.deserted()  # nothing is awaited meanwhile


async def test_a_document_is_not_waited_for_longer_than_a_read_may_take() -> None:
    hanging = {("GET", "/v1/models"): Response.stream(threading.Event(), content_type="application/json")}
    with llamacpp_server(b"", routes=hanging) as server:
        async with client_of(server, timeout=Timeout(request=0.2), max_retries=0) as client:
            with pytest.raises(ServerTimeout):
                await client.models()


async def test_what_came_before_a_connection_broke_is_handed_on() -> None:
    with llamacpp_server(Response.stream(*text("Hel", "lo"), cut="fin")) as server:
        async with client_of(server) as client:
            with pytest.raises(StreamInterrupted) as caught:
                await client.chat(HELLO)
    assert caught.value.partial is not None
    assert caught.value.partial.text == "Hello"


async def test_what_came_and_was_not_read_before_a_connection_broke_is_handed_on() -> None:
    wait = dict.fromkeys(("connect", "read"), 5.0)
    with llamacpp_server(Response.stream(b"Hello", cut="fin")) as server:
        async with FastTransport(ssl.create_default_context(), httpx.Limits(), None) as transport:
            asked = httpx.Request("POST", f"{server.base_url}/v1/chat/completions", extensions={"timeout": wait})
            body: Any = (await transport.handle_async_request(asked)).stream
            async with aclosing(body):
                await asyncio.to_thread(until, lambda: body._response.content.exception() is not None)
                assert await anext(body) == b"Hello"
                with pytest.raises(httpx.RemoteProtocolError):
                    await anext(body)


async def test_a_flood_of_interim_replies_is_given_up_by_their_number() -> None:
    flood = Response(raw=b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1_000_000)
    with llamacpp_server(flood) as server:
        async with client_of(server) as client:
            with pytest.raises(ProtocolError, match="interim replies"):
                await client.chat(HELLO)


CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("endless", [b"0" * 2**22, b"5;" + b"a" * 2**22], ids=["size", "extension"])
@pytest.mark.parametrize("begun", [b"", *text("Hello")])
async def test_a_body_that_never_gets_to_its_content_is_given_up(begun: bytes, endless: bytes) -> None:
    first = b"%x\r\n%s\r\n" % (len(begun), begun) if begun else b""
    with llamacpp_server(Response(raw=CHUNKED + first + endless)) as server:
        async with client_of(server) as client:
            with pytest.raises(StreamInterrupted, match="chunks of next to nothing") as caught:
                await client.chat(HELLO)
    assert (caught.value.partial.text if caught.value.partial else "") == ("Hello" if begun else "")


async def test_large_chunks_and_many_small_ones_have_no_end_of_their_own() -> None:
    many = b"5\r\n: aaa\r\n" + b"5\r\naaaaa\r\n" * 300_000 + b"5\r\naaa\n\n\r\n"
    large = b": " + b"a" * 2**20 + b"\n\n"
    last = b"".join(text("Hi")) + END
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in (large, last))
    with llamacpp_server(Response(raw=CHUNKED + many + chunks + b"0\r\n\r\n")) as server:
        async with client_of(server) as client:
            assert (await client.chat(HELLO)).text == "Hi"


async def test_what_frames_a_body_is_counted_anew_for_the_next_reply_on_its_connection() -> None:
    half = b"a" * 2**20
    connections = FastTransport(ssl.create_default_context(), httpx.Limits(), None)
    with llamacpp_server([half, half]) as server:
        async with httpx.AsyncClient(transport=connections, base_url=server.base_url) as client:
            for _ in range(2):
                assert (await client.post("/v1/chat/completions")).content == half * 2
        assert server.connections == 1


async def test_of_chunks_that_came_together_none_has_what_came_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    data_received = ResponseHandler.data_received

    def noted(connection: ResponseHandler, data: bytes) -> None:
        given.append(len(data))
        data_received(connection, data)

    monkeypatch.setattr(ResponseHandler, "data_received", noted)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in [*text("a") * 100, END])
    with llamacpp_server(Response(raw=CHUNKED + chunks + b"0\r\n\r\n")) as server:
        async with client_of(server) as client:
            assert (await client.chat(HELLO)).text == "a" * 100
    assert 0 < len(given) < 20


@pytest.mark.parametrize("written", ["utf-8", "latin-1"])
async def test_a_header_that_comes_twice_has_both_values_in_whatever_way_they_are_written(written: str) -> None:
    head = "HTTP/1.1 400 No\r\nX-Twice: café\r\nx-twice: b\r\nContent-Length: 2\r\n\r\n"
    with llamacpp_server(Response(raw=head.encode(written) + b"{}")) as server:
        async with client_of(server) as client:
            with pytest.raises(BadRequest) as caught:
                await client.chat(HELLO)
    assert caught.value.response is not None
    assert caught.value.response.headers["x-twice"] == "café, b"


async def test_a_head_may_be_as_large_as_with_httpx() -> None:
    long = {"X-Long": "x" * 20_000} | {f"X-{number}": "x" for number in range(200)}
    answer = Response(200, {"content-type": "text/event-stream", **long}, pieces=[*text("Hi"), END])
    with llamacpp_server(answer) as server:
        async with client_of(server) as client:
            assert (await client.chat(HELLO)).text == "Hi"


async def test_looking_a_name_up_counts_as_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_for_ever(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_for_ever)
    async with AsyncClient("llamacpp", base_url="http://slow.local", model="m", timeout=Timeout(connect=0.1)) as client:
        with pytest.raises(ConnectTimeout):
            await client.chat(HELLO)


async def test_a_large_body_is_sent_without_a_warning() -> None:
    with llamacpp_server(transcript("llamacpp/text.sse")) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        async with client_of(server) as client:
            assert (await client.chat([{"role": "user", "content": "x" * 2_000_000}])).text == "Hello"
        assert len(server.requests[-1].body) > 2_000_000


@pytest.mark.parametrize("fast", ["0", "1"])
@pytest.mark.parametrize("kept", ["", "kept"])
def test_a_loop_that_is_dropped_with_open_connections_leaves_no_word(
    kept: str, fast: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VESSEL_FAST", fast)
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        arguments = [sys.executable, "-c", DROPPED + (KEPT if kept else ""), server.base_url]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("Hello\n", "")


DROPPED = """
import asyncio, sys
from vessel_core import AsyncClient
client = AsyncClient("llamacpp", base_url=sys.argv[1], model="m")
loop = asyncio.new_event_loop()
print(loop.run_until_complete(client.chat([{"role": "user", "content": "Hello"}])).text)
"""

KEPT = """
import os
from vessel_core.transport import fast
loop.close()
os.client, sys.kept = client, (os, fast)  # it goes when its own module is empty already
"""
