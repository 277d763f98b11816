"""Whoever stops listening stops the server, however they stop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import suppress
from statistics import median
from typing import Any

import pytest
from vessel_core import AsyncClient, Client, Delta, Message
from vessel_core.errors import VesselError
from vessel_core.local import LocalServer

from tests.core.hosting import until
from tests.fake_server import FakeServer, Response, llamacpp_server
from tests.faults.catalogue import endless as talks_for_ever
from tests.faults.fault_server import FaultServer

HELLO: list[Message] = [{"role": "user", "content": "Hello"}]
FIRST = b'data: {"choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": null}]}\n\n'

#: Seconds within which the server must have seen the client hang up.
AT_ONCE = 0.1
#: How often each way of stopping is tried: the middle one of so many times counts, on a machine that others use too.
TIMES = 5


def endless() -> FakeServer:
    """Return a server that says a word and then nothing, for as long as it is listened to."""
    return llamacpp_server(Response.stream(FIRST, keep_open=True))


def silent() -> FakeServer:
    """Return a server that never answers a chat."""
    return llamacpp_server(Response(wait=threading.Event()))


def seen_after(server: FakeServer, since: float) -> float:
    """Return how long it took the server to see that nobody listens."""
    assert server.disconnected.wait(5), "the server never saw it"
    return time.monotonic() - since


#: What is not asked again before a minute is over, and what is asked about for five minutes.
WAITED_FOR = {
    "Retry-After": Response.json({"error": {"message": "slow down"}}, 429, **{"retry-after": "60"}),
    "loading": Response.json({"error": {"message": "Loading model", "code": 503, "type": "unavailable_error"}}, 503),
}


def endings(call: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    """Begin a call in a thread; return that, and what it will have raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except VesselError as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, raised


# ----------------------------------------------------------------------------------------------------------------- sync


@pytest.mark.parametrize("end", [Client.hang_up, Client.close])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("reason", WAITED_FOR)
def test_a_call_that_waits_to_ask_again_ends_with_its_client(
    reason: str, whole: bool, end: Callable[[Client], None]
) -> None:
    with (
        llamacpp_server(WAITED_FOR[reason]) as server,
        Client("llamacpp", base_url=server.base_url, model="m") as client,
    ):
        thread, raised = endings(lambda: client.chat(HELLO) if whole else list(client.stream(HELLO)))
        until(lambda: bool(server.asked("/v1/chat/completions")))
        end(client)
        thread.join(10)
        assert len(raised) == 1  # what it is depends on whether the answer had come


def close(stream: Generator[Delta]) -> None:
    next(stream)
    stream.close()


def break_and_drop(stream: Generator[Delta]) -> None:
    for _ in stream:
        break
    del stream


def fail(stream: Generator[Delta]) -> None:
    def use(stream: Generator[Delta]) -> None:
        for _ in stream:
            raise KeyError("a fault of the caller")

    with suppress(KeyError):
        use(stream)


def interrupt(stream: Generator[Delta]) -> None:
    next(stream)
    with suppress(KeyboardInterrupt):
        stream.throw(KeyboardInterrupt())


@pytest.mark.parametrize("stop", [close, break_and_drop, fail, interrupt])
def test_a_sync_caller_that_stops_stops_the_server(stop: Callable[[Generator[Delta]], None]) -> None:
    took: list[float] = []
    for _ in range(TIMES):
        with endless() as server, Client("llamacpp", base_url=server.base_url, model="m") as client:
            streams = [client.stream(HELLO)]
            stop(streams.pop())
            took.append(seen_after(server, time.monotonic()))
    assert median(took) <= AT_ONCE


def test_a_client_that_is_closed_ends_its_streams() -> None:
    with endless() as server:
        client = Client("llamacpp", base_url=server.base_url, model="m")
        stream = client.stream(HELLO)
        next(stream)
        client.close()
        assert seen_after(server, time.monotonic()) <= 1
        stream.close()


# ---------------------------------------------------------------------------------------------------------------- async

Stop = Callable[[AsyncClient, FakeServer], Coroutine[Any, Any, float]]


async def aclose(client: AsyncClient, _server: FakeServer) -> float:
    stream = client.stream(HELLO)
    await anext(stream)
    since = time.monotonic()
    await stream.aclose()
    return since


async def abreak(client: AsyncClient, _server: FakeServer) -> float:
    async for _ in client.stream(HELLO):
        break
    since = time.monotonic()
    await asyncio.sleep(0)
    return since


async def drop(client: AsyncClient, _server: FakeServer) -> float:
    stream: AsyncGenerator[Delta] | None = client.stream(HELLO)
    await anext(stream)
    since = time.monotonic()
    stream = None
    return since


async def cancel(client: AsyncClient, _server: FakeServer) -> float:
    came = asyncio.Event()

    async def listen() -> None:
        async for _ in client.stream(HELLO):
            came.set()

    task = asyncio.create_task(listen())
    await came.wait()
    since = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return since


async def asked(server: FakeServer) -> None:
    """Return once the server has got the chat."""
    while not server.asked("/v1/chat/completions"):  # noqa: ASYNC110 - the server is in another thread
        await asyncio.sleep(0.001)


async def cancel_a_whole_chat(client: AsyncClient, server: FakeServer) -> float:
    task = asyncio.create_task(client.chat(HELLO))
    await asked(server)
    since = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return since


async def time_out(client: AsyncClient, server: FakeServer) -> float:
    async def end(limit: asyncio.Timeout) -> None:
        await asked(server)
        limit.reschedule(asyncio.get_running_loop().time())

    async def wait() -> None:
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
            group.create_task(end(limit))
            await client.chat(HELLO)

    with pytest.raises(TimeoutError):
        await wait()
    return time.monotonic()


async def fail_in_a_group(client: AsyncClient, _server: FakeServer) -> float:
    async def listen() -> None:
        async for _ in client.stream(HELLO):
            raise KeyError("a fault of the caller")

    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(listen())
    return time.monotonic()


async def seen(server: FakeServer, client: AsyncClient, stop: Stop) -> float:
    """Return how long after the stop the server saw it, while the loop runs on."""
    since = await stop(client, server)
    took = await asyncio.to_thread(seen_after, server, since)
    await client.aclose()
    return took


@pytest.mark.parametrize("stop", [aclose, abreak, drop, cancel, cancel_a_whole_chat, time_out, fail_in_a_group])
async def test_an_async_caller_that_stops_stops_the_server(stop: Stop) -> None:
    took: list[float] = []
    for _ in range(TIMES):
        with endless() as server:
            took.append(await seen(server, AsyncClient("llamacpp", base_url=server.base_url, model="m"), stop))
    assert median(took) <= AT_ONCE


async def test_the_server_hears_of_a_stop_before_the_loop_turns_again() -> None:
    with FaultServer(talks_for_ever) as server:
        async with AsyncClient("llamacpp", base_url=server.url, model="m") as client:
            stream = client.stream(HELLO)
            await anext(stream)
            await stream.aclose()
            assert server.deserted()  # nothing is awaited meanwhile


@pytest.mark.parametrize("stop", [cancel_a_whole_chat, time_out])
async def test_it_is_stopped_before_its_first_word_too(stop: Stop) -> None:
    took: list[float] = []
    for _ in range(TIMES):
        with silent() as server:
            took.append(await seen(server, AsyncClient("llamacpp", base_url=server.base_url, model="m"), stop))
    assert median(took) <= AT_ONCE


async def test_a_cancelled_embedding_ends_all_its_batches() -> None:
    with llamacpp_server(routes={("POST", "/v1/embeddings"): Response(wait=threading.Event())}) as server:
        client = AsyncClient("llamacpp", base_url=server.base_url, model="m")
        task = asyncio.create_task(client.embed(["a", "b", "c"], batch_size=1))
        while not server.asked("/v1/embeddings"):
            await asyncio.wait([task], timeout=0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for request in server.asked("/v1/embeddings"):
            assert await asyncio.to_thread(request.disconnected.wait, 1)
        await client.aclose()


# ------------------------------------------------------------------------------------------------------ the real server


def free_slots(client: Client) -> int:
    return sum(not slot["is_processing"] for slot in client.slots())


def all_free(client: Client, within: float) -> bool:
    until = time.monotonic() + within
    while time.monotonic() < until:
        if free_slots(client) == 4:
            return True
    return False


LONG: dict[str, Any] = {"max_tokens": 7000, "extra_body": {"ignore_eos": True}}


def test_a_stopped_stream_frees_its_slot_on_the_real_server(chat_server: LocalServer) -> None:
    with Client("llamacpp", base_url=chat_server.base_url) as client:
        stream = client.stream(HELLO, **LONG)
        next(stream)
        assert free_slots(client) == 3
        stream.close()
        assert all_free(client, 0.5)


async def test_a_cancelled_task_frees_its_slot_on_the_real_server(chat_server: LocalServer) -> None:
    client = AsyncClient("llamacpp", base_url=chat_server.base_url)
    with Client("llamacpp", base_url=chat_server.base_url) as watcher:
        tasks = [asyncio.create_task(client.chat(HELLO, **LONG)) for _ in range(3)]
        while await asyncio.to_thread(free_slots, watcher) > 1:
            assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks)
        assert await asyncio.to_thread(all_free, watcher, 0.5)
    await client.aclose()


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("reason", WAITED_FOR)
async def test_an_async_call_that_waits_to_ask_again_ends_with_its_client(reason: str, whole: bool) -> None:
    async def ask(client: AsyncClient) -> None:
        if whole:
            await client.chat(HELLO)
        else:
            async for _ in client.stream(HELLO):
                pass

    with llamacpp_server(WAITED_FOR[reason]) as server:
        client = AsyncClient("llamacpp", base_url=server.base_url, model="m")
        call = asyncio.create_task(ask(client))
        await asyncio.to_thread(until, lambda: bool(server.asked("/v1/chat/completions")))
        await client.aclose()
        with pytest.raises(VesselError):
            await asyncio.wait_for(call, 10)
