"""A client that is closed while calls are under way: they end, are not made again, and leave nothing open."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
from vessel_core import AsyncClient, Routing
from vessel_core.address import parse_address
from vessel_core.errors import ServerUnreachable, StreamInterrupted
from vessel_core.transport import async_shell
from vessel_core.transport.async_shell import AsyncTransport
from vessel_core.transport.connection import Connection

from tests.core.hosting import HELLO, until
from tests.core.test_client_stopping import endless, silent
from tests.fake_server import FakeServer, Request, Response


def chats(server: FakeServer) -> list[Request]:
    return server.asked("/v1/chat/completions")


async def whole(client: AsyncClient) -> object:
    return await client.chat(HELLO)


async def counted(client: AsyncClient) -> object:
    return await client.tokenize("Hello")


async def streamed(client: AsyncClient) -> object:
    return await anext(client.stream(HELLO))


async def closed_meanwhile(client: AsyncClient, calls: Sequence[Awaitable[Any]], *servers: FakeServer) -> list[Any]:
    """Close a client once a server has got a call, the only one that it gets; return how the calls ended."""

    def got() -> list[Request]:
        return [call for server in servers for call in chats(server) + server.asked("/tokenize")]

    tasks = [asyncio.ensure_future(call) for call in calls]
    await asyncio.to_thread(until, lambda: bool(got()))
    await client.aclose()
    ended = await ends(tasks)
    (call,) = got()
    assert await asyncio.to_thread(call.disconnected.wait, 5)
    return ended


async def ends(calls: Sequence[Awaitable[Any]]) -> list[Any]:
    """Return how calls end that end soon."""
    try:
        async with asyncio.timeout(5):
            return await asyncio.gather(*calls, return_exceptions=True)
    except TimeoutError:
        pytest.fail("A call stands still though its client is closed.")


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
    monkeypatch.setattr(async_shell, "most_at_once", lambda: 1)
    with silent() as server:
        client = AsyncClient("llamacpp", base_url=server.base_url, model="m")
        ended = await closed_meanwhile(client, [client.chat(HELLO) for _ in range(3)], server)
    assert [type(error) for error in ended] == [ServerUnreachable] * 3


async def test_a_call_that_waits_for_a_host_when_its_client_is_closed_is_not_made() -> None:
    with silent() as one, silent() as other:
        client = AsyncClient(
            "llamacpp", base_url=[one.base_url, other.base_url], model="m", routing=Routing(slots=1, overcommit=1)
        )
        while {host.state for host in client.hosts()} != {"ready"}:
            await client.models()
        calls = [asyncio.create_task(client.chat(HELLO)) for _ in range(4)]
        await asyncio.to_thread(until, lambda: bool(chats(one) and chats(other)))
        await client.aclose()
        assert [type(error) for error in await ends(calls)] == [ServerUnreachable] * 4
        assert (len(chats(one)), len(chats(other))) == (1, 1)


def test_a_close_in_one_loop_ends_nothing_in_another() -> None:
    transport = AsyncTransport(Connection(parse_address("http://localhost:1")))

    async def era() -> object:
        return transport.era

    with asyncio.Runner() as one, asyncio.Runner() as other:
        before = one.run(era()), other.run(era())
        one.run(transport.aclose())
        assert one.run(era()) is not before[0]
        assert other.run(era()) is before[1]


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
