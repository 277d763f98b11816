"""A host that has several addresses is reached by the first that answers."""

from __future__ import annotations

import asyncio
import errno
import socket
import warnings
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack, asynccontextmanager, suppress
from selectors import SelectSelector
from typing import Any
from unittest.mock import Mock

import pytest
import uvloop
from vessel_core import AsyncClient, Client, Message, Timeout
from vessel_core.errors import ConnectTimeout, ServerUnreachable
from vessel_core.hiding import chain
from vessel_core.transport import happy_eyeballs
from vessel_core.transport.happy_eyeballs import connect, connect_blocking

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


# --------------------------------------------------------------------------------------------------------- for a thread


@pytest.fixture
def several(monkeypatch: pytest.MonkeyPatch) -> Generator[Callable[..., int]]:
    """Make a host of these addresses, at a port that some of them listen at, and where some say nothing."""
    look_up = socket.getaddrinfo

    def make(*addresses: str, listening: tuple[str, ...] = (), silent: tuple[str, ...] = ()) -> int:
        port = 0
        for address in (*listening, *silent, "127.0.0.9"):  # which has the port taken if nobody else does
            listener = opened.enter_context(socket.socket())
            listener.bind((address, port))
            port = listener.getsockname()[1]
            if address in listening:
                listener.listen()
            elif address in silent:
                listener.listen(0)
                for _ in range(3):  # so that nobody else is let in
                    waiting = opened.enter_context(socket.socket())
                    waiting.setblocking(False)
                    with suppress(BlockingIOError):
                        waiting.connect((address, port))

        def found(host: str, asked: int, *rest: Any, **options: Any) -> list[tuple[Any, ...]]:
            if host != "several.local":
                return list(look_up(host, asked, *rest, **options))
            return [(socket.AF_INET, STREAM, 6, "", (address, asked)) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", found)
        return port

    with ExitStack() as opened, warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        yield make


def test_an_address_that_says_nothing_holds_up_no_other_thread(
    several: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(happy_eyeballs, "AFTER", 0.01)
    port = several("127.0.0.2", "127.0.0.1", listening=("127.0.0.1",), silent=("127.0.0.2",))
    with pytest.raises(TimeoutError):
        connect_blocking("127.0.0.2", port, 0.01)
    for seconds in (30.0, None):
        with connect_blocking("several.local", port, seconds) as connected:
            assert (connected.getpeername(), connected.gettimeout()) == (("127.0.0.1", port), seconds)


def test_an_address_that_refuses_a_thread_is_followed_by_the_next_at_once(
    several: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(happy_eyeballs, "AFTER", 60.0)
    port = several("127.0.0.2", "127.0.0.1", listening=("127.0.0.1",))
    with connect_blocking("several.local", port, 30.0) as connected:
        assert (connected.getpeername(), connected.gettimeout()) == (("127.0.0.1", port), 30.0)


def test_an_address_that_cannot_be_tried_is_followed_by_the_next_at_once(
    several: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(happy_eyeballs, "AFTER", 60.0)
    port = several("255.255.255.255", "127.0.0.1", listening=("127.0.0.1",))
    with connect_blocking("several.local", port, 30.0) as connected:
        assert connected.getpeername() == ("127.0.0.1", port)
    port = several("255.255.255.255", "127.0.0.2")
    with pytest.raises(OSError, match="no address answers") as caught:
        connect_blocking("several.local", port, 30.0)
    causes = list(chain(caught.value))
    assert any(isinstance(error, ConnectionRefusedError) for error in causes)
    assert any(isinstance(error, OSError) and error.errno in (errno.EACCES, errno.ENETUNREACH) for error in causes)


def test_all_addresses_have_the_time_of_one(several: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    now, tried = 100.0, list[tuple[float, int]]()

    class Clock(SelectSelector):
        """In which nothing happens but time."""

        def select(self, timeout: float | None = None) -> list[Any]:
            nonlocal now
            assert timeout is not None
            tried.append((now, len(self.get_map())))
            now += timeout
            return []

    monkeypatch.setattr(happy_eyeballs, "Selector", Clock)
    monkeypatch.setattr(happy_eyeballs, "monotonic", lambda: now)
    port = several("127.0.0.2", "127.0.0.3", "127.0.0.4")
    with pytest.raises(TimeoutError):
        connect_blocking("several.local", port, 3.0)
    assert tried == [(100.0, 1), (100.25, 2), (100.5, 3), (100.75, 3)]
    assert now == 103.0


@pytest.mark.parametrize("addresses", [("127.0.0.2",), ("127.0.0.2", "127.0.0.3")])
@pytest.mark.parametrize("silent", [False, True], ids=["refused", "silent"])
def test_a_host_that_takes_nobody_has_one_error_sync_and_async(
    addresses: tuple[str, ...], silent: bool, several: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VESSEL_FAST", "0")
    port = several(*addresses, silent=addresses if silent else ())
    target = {"base_url": f"http://several.local:{port}", "model": "m"}
    options: dict[str, Any] = {"timeout": Timeout(connect=0.1), "max_retries": 0}
    hello: list[Message] = [{"role": "user", "content": "Hello"}]

    async def ask() -> None:
        async with AsyncClient("llamacpp", **target, **options) as client:
            await client.chat(hello)

    with Client("llamacpp", **target, **options) as client, pytest.raises(ServerUnreachable) as sync:
        client.chat(hello)
    with pytest.raises(ServerUnreachable) as asynchronous:
        asyncio.run(ask())
    assert str(sync.value) == str(asynchronous.value)
    kinds = {type(sync.value), type(asynchronous.value)}
    assert kinds == {ConnectTimeout if silent else ServerUnreachable}
    assert sync.value.refused == asynchronous.value.refused == (not silent)


async def test_a_name_without_any_address_is_said_to_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async def looked_up(*_: Any, **__: Any) -> list[Any]:
        return []

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", looked_up)
    with pytest.raises(OSError, match="the name has no address"):
        await connect("nowhere.local", 80)
    monkeypatch.setattr(socket, "getaddrinfo", Mock(return_value=[]))
    with pytest.raises(OSError, match="the name has no address"):
        connect_blocking("nowhere.local", 80, 1.0)
