"""Connections: kept, reused, replaced unseen, one set a process and an event loop, never mixed up, never left over."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import multiprocessing
import pickle
import socket
import ssl
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import uvloop
from vessel_core import AsyncClient, Client, Message, Timeout
from vessel_core.errors import ModelLoading, ServerTimeout
from vessel_core.local import LocalServer
from vessel_core.transport import calls, outgoing
from vessel_core.transport.connection import Connection
from vessel_core.watching import Steps, until_loaded
from vessel_core.wire import Call, Reply

from tests.core.driving import Connect, Tap
from tests.fake_server import FakeServer, Request, Response, llamacpp_server

HELLO: list[Message] = [{"role": "user", "content": "Hello"}]
STREAMS = 1500
CONCURRENCY = 4


def say(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def echo(request: Request) -> Response:
    """Answer with the last message, in pieces."""
    text = request.json()["messages"][-1]["content"]
    pieces = [
        b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": part}}]}).encode() + b"\n\n"
        for part in (text[:2], text[2:])
    ]
    end = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    return Response.stream(*pieces, end)


@pytest.fixture
def echoing() -> Iterator[FakeServer]:
    with llamacpp_server(echo) as server:
        yield server


def client_of(server: FakeServer, **options: Any) -> Client:
    return Client("llamacpp", base_url=server.base_url, model="m", **options)


def async_client_of(server: FakeServer, **options: Any) -> AsyncClient:
    return AsyncClient("llamacpp", base_url=server.base_url, model="m", **options)


# ---------------------------------------------------------------------------------------------------- the real server


def test_1500_streams_at_once_in_threads_lose_nothing(
    chat_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client("llamacpp", base_url=chat_server.base_url, model="demo-chat") as client:
        expected = client.chat(HELLO, temperature=0, max_tokens=3).text

        def ask(_: int) -> str:
            return client.chat(HELLO, temperature=0, max_tokens=3).text

        with ThreadPoolExecutor(CONCURRENCY) as pool:
            answers = list(pool.map(ask, range(STREAMS)))
    assert answers == [expected] * STREAMS


async def test_1500_streams_at_once_in_tasks_lose_nothing(chat_server: LocalServer) -> None:
    async with AsyncClient("llamacpp", base_url=chat_server.base_url, model="demo-chat") as client:
        expected = (await client.chat(HELLO, temperature=0, max_tokens=3)).text
        numbers = iter(range(STREAMS))
        answers: list[str] = []

        async def ask() -> None:
            for _ in numbers:
                answers.append((await client.chat(HELLO, temperature=0, max_tokens=3)).text)

        async with asyncio.TaskGroup() as group:
            for _ in range(CONCURRENCY):
                group.create_task(ask())
    assert answers == [expected] * STREAMS


def test_the_real_server_serves_many_calls_over_one_connection(
    connect: Connect, chat_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs up after each stream, whatever the client wants, and after 100 other calls."""
    made: list[int] = []
    real = socket.socket.connect

    def counted(self: socket.socket, address: Any) -> None:
        made.append(self.fileno())
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", counted)
    client = connect("llamacpp", base_url=chat_server.base_url, model="m")
    assert len({client.count_tokens("Hello world") for _ in range(250)}) == 1
    assert 3 <= len(made) <= 4


# ------------------------------------------------------------------------------------------------------- kept, replaced


def test_a_connection_serves_one_call_after_another(connect: Connect, echoing: FakeServer) -> None:
    client = connect("llamacpp", base_url=echoing.base_url, model="m")
    for number in range(20):
        assert client.chat(say(f"say {number}")).text == f"say {number}"
        assert len(client.embed(["a"]).vectors) == 1
    assert echoing.connections == 1


def test_an_idle_connection_is_given_up_before_the_server_would_close_it(
    connect: Connect, echoing: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert outgoing.KEEPALIVE < 5  # llama.cpp's own
    monkeypatch.setattr(outgoing, "KEEPALIVE", 0.0)
    client = connect("llamacpp", base_url=echoing.base_url, model="m")
    client.chat(HELLO)
    client.chat(HELLO)
    assert echoing.connections == 2


@pytest.mark.parametrize("cut", ["fin", "rst"])
def test_a_kept_connection_that_breaks_before_the_first_byte_is_replaced_unseen(connect: Connect, cut: Any) -> None:
    answers: list[Any] = [echo, Response.hang_up(cut), echo, Response.hang_up(cut), echo]
    with FakeServer({("POST", "/v1/chat/completions"): answers}) as server:
        client = connect("llamacpp", base_url=server.base_url, model="m", max_retries=0)
        assert [client.chat(say(text)).text for text in ("one", "two", "three")] == ["one", "two", "three"]
        assert (len(server.requests), server.connections) == (5, 3)


def test_a_new_connection_that_breaks_is_not_replaced_without_retries(connect: Connect) -> None:
    with FakeServer(otherwise=Response.hang_up()) as server:
        client = connect("llamacpp", base_url=server.base_url, model="m", max_retries=0)
        with pytest.raises(ConnectionError):
            client.chat(HELLO)
        assert len(server.requests) == 1


def test_no_tls_context_is_made_for_http(echoing: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> ssl.SSLContext:
        raise AssertionError("it takes milliseconds, and nobody needs it")

    monkeypatch.setattr(ssl.SSLContext, "__new__", refused)
    with client_of(echoing) as client:
        assert client.chat(say("sync")).text == "sync"

    async def ask() -> str:
        async with async_client_of(echoing) as client:
            return (await client.chat(say("async"))).text

    assert asyncio.run(ask()) == "async"


def test_a_read_timeout_of_one_call_is_not_left_to_the_next(connect: Connect) -> None:
    from vessel_core import Timeout

    gate = threading.Event()
    first = b'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n'
    end = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    answers: list[Any] = [Response.stream(first, end), Response.stream(gate, first, end)]
    with FakeServer({("POST", "/v1/chat/completions"): answers}) as server:
        timeout = Timeout(first_token=30, between_tokens=0.05)
        client = connect("llamacpp", base_url=server.base_url, model="m", timeout=timeout)
        client.chat(HELLO)
        threading.Timer(0.3, gate.set).start()
        assert client.chat(HELLO).text == "a"
        assert server.connections == 1


# ---------------------------------------------------------------------------------------------- loops, threads, processes


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_one_async_client_lives_through_100_event_loops(echoing: FakeServer, run: Callable[..., str]) -> None:
    client = async_client_of(echoing)

    async def ask(number: int) -> str:
        return (await client.chat(say(f"say {number}"))).text

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert [run(ask(number)) for number in range(100)] == [f"say {number}" for number in range(100)]
        gc.collect()
    assert [str(warning.message) for warning in warned] == []
    assert echoing.connections == 100


def test_one_async_client_serves_several_loops_at_once(echoing: FakeServer) -> None:
    client = async_client_of(echoing)

    async def ask(thread: int) -> list[str]:
        answers = await asyncio.gather(*(client.chat(say(f"{thread}-{number}")) for number in range(10)))
        return [answer.text for answer in answers]

    with ThreadPoolExecutor(8) as pool:
        for thread, answers in enumerate(pool.map(asyncio.run, map(ask, range(24)))):
            assert answers == [f"{thread}-{number}" for number in range(10)]


def test_32_threads_on_one_client_get_their_own_answers(echoing: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # a server that shares two cores with 32 callers may send the end of a message later than is waited for
    monkeypatch.setattr("vessel_core.transport.sync_shell.LAST_BYTES", 30.0)
    barrier = threading.Barrier(32)
    with client_of(echoing) as client:

        def ask(thread: int) -> list[str]:
            barrier.wait()
            return [client.chat(say(f"{thread}-{number}")).text for number in range(20)]

        with ThreadPoolExecutor(32) as pool:
            for thread, answers in enumerate(pool.map(ask, range(32))):
                assert answers == [f"{thread}-{number}" for number in range(20)]
    assert echoing.connections <= 32


def test_100_tasks_on_one_client_get_their_own_answers(echoing: FakeServer) -> None:
    async def ask() -> list[str]:
        async with async_client_of(echoing) as client:
            answers = await asyncio.gather(*(client.chat(say(f"say {number}")) for number in range(100)))
        return [answer.text for answer in answers]

    assert asyncio.run(ask()) == [f"say {number}" for number in range(100)]


def ask_in_a_child(client: Client, start: int, results: Any) -> None:
    try:
        wrong = [number for number in range(start, start + 100) if client.chat(say(f"{number}")).text != f"{number}"]
        results.put((start, wrong))
    except BaseException as error:
        results.put((start, repr(error)))


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_client_is_used_after_a_fork_and_no_answer_goes_astray(chat_server: LocalServer) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    with Tap(chat_server.base_url) as tap:
        tap.routes[("POST", "/v1/chat/completions")] = echo
        with client_of(tap) as client:
            client.chat(HELLO)  # the connections are warm
            children = [context.Process(target=ask_in_a_child, args=(client, 1000 * at, results)) for at in range(4)]
            for child in children:
                child.start()
            mine = [number for number in range(100) if client.chat(say(f"{number}")).text != f"{number}"]
            found = dict(results.get(timeout=60) for _ in children)
            for child in children:
                child.join(30)
    assert mine == []
    assert found == {0: [], 1000: [], 2000: [], 3000: []}


def test_a_client_is_sent_to_a_new_process(chat_server: LocalServer) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    with Client("llamacpp", base_url=chat_server.base_url) as client:
        client.chat(HELLO)
        child = context.Process(target=count_in_a_child, args=(client, results))
        child.start()
        assert results.get(timeout=60) == client.count_tokens("Hello world")
        child.join(30)


def count_in_a_child(client: Client, results: Any) -> None:
    results.put(client.count_tokens("Hello world"))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda client: pickle.loads(pickle.dumps(client))])  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
def test_a_copy_of_a_used_client_works(echoing: FakeServer, copied: Callable[[Any], Any]) -> None:
    with client_of(echoing) as client:
        client.chat(HELLO)
        with copied(client) as twin:
            assert twin.chat(say("hello")).text == "hello"
            assert client.chat(say("again")).text == "again"

    async def ask() -> str:
        async with async_client_of(echoing) as first:
            await first.chat(HELLO)
            async with copied(first) as other:
                return (await other.chat(say("hello"))).text

    assert asyncio.run(ask()) == "hello"


def test_a_closed_client_may_be_used_again(connect: Connect, echoing: FakeServer) -> None:
    client = connect("llamacpp", base_url=echoing.base_url, model="m")
    client.chat(HELLO)
    client.close()
    client.close()
    assert client.chat(say("again")).text == "again"


# --------------------------------------------------------------------------------------------------------- nothing left


def test_nothing_is_left_open(echoing: FakeServer) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        client = client_of(echoing)
        client.chat(HELLO)
        stream = client.stream(HELLO)
        next(stream)
        del stream, client  # neither was closed

        async def ask() -> None:
            other = async_client_of(echoing)
            await other.chat(HELLO)
            async for _ in other.stream(HELLO):
                break

        asyncio.run(ask())
        gc.collect()
    assert [str(warning.message) for warning in warned] == []


DROPPED = """
import asyncio, sys
from vessel_core import AsyncClient
client = AsyncClient("llamacpp", base_url=sys.argv[1], model="m")
loop = asyncio.new_event_loop()
print(loop.run_until_complete(client.chat([{"role": "user", "content": "Hello"}])).text)
"""
KEPT = """
import os
from vessel_core.transport import plain_async, plain_protocol
loop.close()
os.client, sys.kept = client, (os, plain_async, plain_protocol)  # it goes when its own modules are empty already
"""


@pytest.mark.parametrize("kept", ["", KEPT], ids=["dropped", "kept"])
def test_a_loop_that_is_dropped_with_open_connections_leaves_no_word(kept: str, echoing: FakeServer) -> None:
    arguments = [sys.executable, "-c", DROPPED + kept, echoing.base_url]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("Hello\n", "")


def in_use(client: AsyncClient) -> tuple[int, int]:
    """Return how many connections of the running loop serve a call or are lost to one, and how many are kept."""
    session: Any = vars(client)["_session"]
    transport: Any = session._transport
    pool: Any = transport._pools[asyncio.get_running_loop()].pool
    return len(pool._open) - len(pool._idle), len(pool._idle)


async def test_1000_cancels_leave_no_dead_connection() -> None:
    never = threading.Event()

    def sometimes(request: Request) -> Response:
        cut_off = not request.body.endswith(b"}")
        return Response(wait=never) if cut_off or b'"wait"' in request.body else echo(request)

    with llamacpp_server(sometimes) as server:
        async with async_client_of(server) as client:
            for turns in range(100):
                tasks = [asyncio.create_task(client.chat(say("wait"))) for _ in range(10)]
                for _ in range(turns % 12):  # connecting, sending, waiting
                    await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                done = await asyncio.gather(*tasks, return_exceptions=True)
                assert {type(one) for one in done} == {asyncio.CancelledError}
            answers = await asyncio.gather(*(client.chat(say(f"say {number}")) for number in range(20)))
            assert [answer.text for answer in answers] == [f"say {number}" for number in range(20)]
            used, kept = in_use(client)
            assert (used, kept <= 20) == (0, True)


async def test_1000_calls_at_once_all_get_through(echoing: FakeServer) -> None:
    async with async_client_of(echoing) as client:
        answers = await asyncio.gather(*(client.embed([str(number)], model="m") for number in range(1000)))
    assert len(answers) == 1000


async def test_a_loop_that_is_busy_for_longer_than_a_connection_may_take_loses_no_call(echoing: FakeServer) -> None:
    async with async_client_of(echoing, timeout=Timeout(connect=0.1), max_retries=0) as client:
        calls = [asyncio.create_task(client.chat(say(f"say {number}"))) for number in range(20)]
        for _ in range(12):  # every turn of the loop takes half as long as a connection may
            time.sleep(0.05)  # noqa: ASYNC251 - the loop is to be busy
            await asyncio.sleep(0)
        assert [answer.text for answer in await asyncio.gather(*calls)] == [f"say {number}" for number in range(20)]


def test_threads_that_make_the_first_call_at_once_share_their_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    made, together = Connection.transport, threading.Barrier(2)

    def slowly(*args: Any) -> object:
        transport = made(*args)
        together.wait(10)  # both have found none yet
        return transport

    with llamacpp_server() as server, Client("llamacpp", base_url=server.base_url) as client:
        monkeypatch.setattr(Connection, "transport", slowly)
        session: Any = vars(client)["_session"]
        with ThreadPoolExecutor(2) as threads:
            one, other = threads.map(session._connected, [client.target.patience(True)] * 2)
    assert one is other


@pytest.mark.parametrize(("files", "at_once"), [(1024, 256), (256, 64), (2, 1), (1_048_576, 1000), (-1, 1000)])
def test_calls_at_once_leave_files_for_the_rest_of_the_process(
    files: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limit(_: int) -> tuple[int, int]:
        return files, -1

    monkeypatch.setattr("resource.getrlimit", limit)
    assert calls.most_at_once() == at_once


def test_calls_at_once_where_sockets_are_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert calls.most_at_once() == 256


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("embed", [["x"]]),
        ("rerank", ["x", ["y"]]),
        ("count_tokens", ["x"]),
        ("count_chat_tokens", [HELLO]),
        ("tokenize", ["x"]),
        ("detokenize", [[1]]),
        ("apply_template", [HELLO]),
        ("models", []),
        ("model_info", []),
        ("capabilities", []),
        ("unload", ["m"]),
        ("slots", []),
        ("save_slot", [0, "f"]),
        ("restore_slot", [0, "f"]),
        ("erase_slot", [0]),
        ("metrics", []),
        ("lora_adapters", []),
        ("scale_lora", [{0: 1.0}]),
    ],
)
def test_each_call_has_a_timeout_of_its_own(name: str, arguments: list[Any], connect: Connect) -> None:
    with FakeServer(otherwise=Response(wait=threading.Event())) as server:
        client = connect("llamacpp", base_url=server.base_url, model="m", max_retries=0, timeout=600)
        with pytest.raises(ServerTimeout, match="No answer in time"):
            getattr(client, name)(*arguments, timeout=0.05)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("load", ["m"]),
        ("pull", ["m"]),
        ("create", ["m"]),
        ("copy", ["m", "n"]),
        ("delete", ["m"]),
    ],
)
def test_each_change_has_a_timeout_of_its_own(name: str, arguments: list[Any], connect: Connect) -> None:
    with FakeServer(otherwise=Response(wait=threading.Event())) as server:
        client = connect("ollama", base_url=server.base_url, model="m", max_retries=0, timeout=600)
        with pytest.raises(ServerTimeout):
            list(getattr(client, name)(*arguments, timeout=Timeout(request=0.05, first_token=0.05, load=0.05)) or ())
        assert all(b"timeout" not in request.body for request in server.requests)


def test_who_asks_how_a_server_is_says_how_long_that_may_take(connect: Connect) -> None:
    with FakeServer(otherwise=Response(wait=threading.Event())) as server:
        client = connect("llamacpp", base_url=server.base_url, model="m", timeout=600)
        assert not client.health(timeout=0.05)
        assert not client.info(timeout=0.05).connected


@pytest.mark.parametrize("limit", [0.2, Timeout(load=0.2)])
def test_a_server_that_says_nothing_is_waited_for_no_longer_than_was_said(
    limit: Timeout | float, connect: Connect
) -> None:
    with FakeServer(otherwise=Response(wait=threading.Event())) as server:
        client = connect("llamacpp", base_url=server.base_url, model="m", timeout=600)
        with pytest.raises(ServerTimeout):
            list(client.wait_until_ready(limit))
        assert len(server.requests) == 1


def test_a_list_that_takes_its_time_counts_as_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 100, 2))
    monkeypatch.setattr("vessel_core.watching.time.monotonic", lambda: next(now))
    loading = Reply(200, body=b'{"data": [{"id": "m", "status": {"value": "loading"}}]}')
    looks: list[Call] = []

    def follow(steps: Steps) -> None:
        step = next(steps)
        while True:
            if isinstance(step, Call):
                looks.append(step)
            step = steps.send(loading if isinstance(step, Call) else None)

    with pytest.raises(ModelLoading, match="within 3 s"):
        follow(until_loaded("m", 3.0))
    assert len(looks) == 2
