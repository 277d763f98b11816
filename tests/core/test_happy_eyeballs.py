"""A host that has several addresses is reached by the first that answers."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from vessel_core import AsyncClient, Timeout
from vessel_core.errors import ConnectTimeout, ServerUnreachable
from vessel_core.hiding import chain
from vessel_core.transport import happy_eyeballs
from vessel_core.transport.happy_eyeballs import connect

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
STREAM = socket.SOCK_STREAM


@asynccontextmanager
async def listening() -> AsyncGenerator[int]:
    async with await asyncio.start_server(lambda _, writer: writer.transport.abort(), "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


class Network:
    """A network in which a host has these addresses, and some of them take connections, refuse them, or say nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *addresses: str, silent: tuple[str, ...] = ()) -> None:
        self._loop = asyncio.get_running_loop()
        self._addresses = addresses
        self._silent = silent
        self._connect, self._look_up = self._loop.sock_connect, self._loop.getaddrinfo
        self.tried: list[str] = []
        self.opened: list[socket.socket] = []
        monkeypatch.setattr(self._loop, "getaddrinfo", self._getaddrinfo)
        monkeypatch.setattr(self._loop, "sock_connect", self._sock_connect)

    async def _getaddrinfo(self, host: str, port: int, **options: Any) -> list[tuple[Any, ...]]:
        if host != "several.local":  # uvloop looks addresses up once more
            return list(await self._look_up(host, port, **options))
        return [
            (socket.AF_INET6, STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, STREAM, 6, "", (address, port))
            for address in self._addresses
        ]

    async def _sock_connect(self, sock: socket.socket, address: Any) -> None:
        self.tried.append(address[0])
        self.opened.append(sock)
        if address[0] in self._silent:
            await asyncio.Event().wait()
        await self._connect(sock, address)


async def test_an_address_that_says_nothing_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(happy_eyeballs, "AFTER", 0.01)
    network = Network(monkeypatch, "::1", "127.0.0.1", silent=("::1",))
    async with listening() as port:
        with await connect("several.local", port) as connected:
            assert connected.getpeername() == ("127.0.0.1", port)
            await asyncio.sleep(0)  # the other one ends in a turn of its own
            assert [sock.fileno() for sock in network.opened] == [-1, connected.fileno()]


async def test_an_address_that_refuses_is_followed_by_the_next_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(happy_eyeballs, "AFTER", 60.0)
    network = Network(monkeypatch, "127.0.0.2", "127.0.0.1", silent=())
    async with listening() as port:
        with await connect("several.local", port) as connected:
            assert connected.getpeername() == ("127.0.0.1", port)
    assert network.tried == ["127.0.0.2", "127.0.0.1"]


async def test_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(happy_eyeballs, "AFTER", 0.01)
    addresses = ("fd00::1", "fd00::2", "fd00::3", "127.0.0.2", "127.0.0.1")
    network = Network(monkeypatch, *addresses, silent=(*addresses[:3], "127.0.0.2"))
    async with listening() as port:
        (await connect("several.local", port)).close()
    assert network.tried == ["fd00::1", "127.0.0.2", "fd00::2", "127.0.0.1"]


async def test_of_addresses_that_all_fail_each_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(monkeypatch, "127.0.0.2", "127.0.0.3")
    async with listening() as port:
        with pytest.raises(OSError, match="no address answers") as caught:
            await connect("several.local", port)
    refused = [error for error in chain(caught.value) if isinstance(error, ConnectionRefusedError)]
    assert [error.errno for error in refused] == [errno.ECONNREFUSED] * 2
    assert [sock.fileno() for sock in network.opened] == [-1, -1]


async def test_a_host_all_of_whose_addresses_refuse_is_said_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    Network(monkeypatch, "127.0.0.2", "127.0.0.3")
    async with listening() as port:
        base_url = f"http://several.local:{port}"
        async with AsyncClient("llamacpp", base_url=base_url, model="m", max_retries=0) as client:
            with pytest.raises(ServerUnreachable, match="refused"):
                await client.chat([{"role": "user", "content": "Hello"}])


@pytest.mark.parametrize("addresses", [("::1",), ("::1", "127.0.0.1", "127.0.0.2")])
async def test_addresses_that_say_nothing_are_given_up_in_time(
    addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(happy_eyeballs, "AFTER", 0.01)
    network = Network(monkeypatch, *addresses, silent=addresses)
    options: dict[str, Any] = {"timeout": Timeout(connect=0.1), "max_retries": 0}
    async with AsyncClient("llamacpp", base_url="http://several.local:9", model="m", **options) as client:
        with pytest.raises(ConnectTimeout):
            await client.chat([{"role": "user", "content": "Hello"}])
    await asyncio.sleep(0)
    assert [sock.fileno() for sock in network.opened] == [-1] * len(addresses)


async def test_looking_a_name_up_counts_as_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_for_ever(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_for_ever)
    options: dict[str, Any] = {"timeout": Timeout(connect=0.1), "max_retries": 0}
    async with AsyncClient("llamacpp", base_url="http://slow.local", model="m", **options) as client:
        with pytest.raises(ConnectTimeout):
            await client.chat([{"role": "user", "content": "Hello"}])


async def test_whoever_is_cancelled_at_any_turn_of_the_loop_leaves_no_socket_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(happy_eyeballs, "AFTER", 0.0)
    network = Network(monkeypatch, "127.0.0.1", "127.0.0.1", "127.0.0.2")
    async with listening() as port:
        for turns in range(30):
            connecting = asyncio.create_task(connect("several.local", port))
            for _ in range(turns):
                await asyncio.sleep(0)
            connecting.cancel()
            for done in await asyncio.gather(connecting, return_exceptions=True):
                if isinstance(done, socket.socket):
                    done.close()
            while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - the loop tells nobody
                await asyncio.sleep(0)
    assert len(network.opened) > 30
    assert {sock.fileno() for sock in network.opened} == {-1}
