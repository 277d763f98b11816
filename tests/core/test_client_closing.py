"""A client that is closed while calls are under way: they end, are not made again, and leave nothing open."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
from vessel_core import AsyncClient
from vessel_core.errors import ServerUnreachable, StreamInterrupted
from vessel_core.transport import async_shell

from tests.core.hosting import HELLO, until
from tests.core.test_client_stopping import endless, silent
from tests.fake_server import FakeServer, Request, Response


async def whole(client: AsyncClient) -> object:
    return await client.chat(HELLO)


async def counted(client: AsyncClient) -> object:
    return await client.tokenize("Hello")


async def streamed(client: AsyncClient) -> object:
    return await anext(client.stream(HELLO))


async def closed_meanwhile(client: AsyncClient, calls: Sequence[Awaitable[Any]], *servers: FakeServer) -> list[Any]:
    """Close a client once a server has got a call, the only one that it gets; return how the calls ended."""

    def got() -> list[Request]:
        paths = ("/v1/chat/completions", "/tokenize")
        return [call for server in servers for path in paths for call in server.asked(path)]

    tasks = [asyncio.ensure_future(call) for call in calls]
    await asyncio.to_thread(until, lambda: bool(got()))
    await client.aclose()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    (call,) = got()
    assert await asyncio.to_thread(call.disconnected.wait, 5)
    return ended


@pytest.mark.parametrize("ask", [whole, streamed, counted])
async def test_a_call_whose_client_is_closed_is_not_made_again(ask: Callable[[AsyncClient], Awaitable[Any]]) -> None:
    with silent() as server:
        server.routes["POST", "/tokenize"] = Response(wait=threading.Event())
        client = AsyncClient("llamacpp", base_url=server.base_url, model="m")
        (error,) = await closed_meanwhile(client, [ask(client)], server)
    assert isinstance(error, ServerUnreachable)
    assert error.message == "The client was closed before the server answered."


@pytest.mark.parametrize("chat", [silent, endless])
async def test_a_call_whose_client_is_closed_is_made_on_no_other_host(chat: Callable[[], FakeServer]) -> None:
    with chat() as one, chat() as other:
        client = AsyncClient("llamacpp", base_url=[one.base_url, other.base_url], model="m")
        while {host.state for host in client.hosts()} != {"ready"}:
            await client.models()
        (error,) = await closed_meanwhile(client, [client.chat(HELLO)], one, other)
        assert isinstance(error, ServerUnreachable | StreamInterrupted)


async def test_a_call_that_waits_for_its_turn_when_its_client_is_closed_is_not_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(async_shell, "MOST_AT_ONCE", 1)
    with silent() as server:
        client = AsyncClient("llamacpp", base_url=server.base_url, model="m")
        ended = await closed_meanwhile(client, [client.chat(HELLO) for _ in range(3)], server)
    assert [type(error) for error in ended] == [ServerUnreachable] * 3


async def test_a_reply_that_comes_when_its_client_is_closed_is_closed_too() -> None:
    connecting, connected = asyncio.Event(), asyncio.Event()
    body = Mock(httpx.AsyncByteStream)

    class Connecting(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            connecting.set()
            await connected.wait()
            return httpx.Response(200, stream=body)

    client = AsyncClient("llamacpp", base_url="http://localhost:1", model="m", http_transport=Connecting())
    call = asyncio.create_task(client.chat(HELLO))
    await connecting.wait()
    await client.aclose()
    connected.set()
    with pytest.raises(ServerUnreachable, match="The client was closed"):
        await call
    body.aclose.assert_awaited_once()
