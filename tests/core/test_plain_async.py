"""Async connections of our own, on asyncio's transports: what they bring and take, and when they are given up, reused, closed."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
import pytest
import uvloop
from vessel_core.transport.incoming import Response
from vessel_core.transport.outgoing import Request
from vessel_core.transport.plain import shut_down
from vessel_core.transport.plain_async import AsyncPlainTransport
from vessel_core.transport.plain_protocol import MOST_HELD
from vessel_core.transport.unhurried import unhurried

from tests.core.hosting import until
from tests.core.test_plain import child_that_lives
from tests.faults.fault_server import CERTIFICATE

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
OPEN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with which closing a connection resets it."""

LARGE = 64 * 1024 * 1024
"""Bytes that no system takes without a reader."""


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


async def requested(reader: asyncio.StreamReader) -> bytes:
    """Return the head of the next request, and what it holds."""
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split()[0]))


async def body_of(response: Response) -> bytes:
    """Read the whole body of a response."""
    return b"".join([data async for data in response.stream])


class Asker:
    """Asks the server; `connection` is the one that serves a call."""

    def __init__(self, url: str) -> None:
        context = ssl.create_default_context(cafile=CERTIFICATE)
        limits = httpx.Limits(max_keepalive_connections=2, keepalive_expiry=4.0)
        self.transport = AsyncPlainTransport(context, limits)
        self._url = url

    async def ask(self, content: bytes = b"", **wait: float | None) -> Response:
        url = httpx.URL(self._url)
        fields = [(b"Host", url.netloc), (b"Content-Length", b"%d" % len(content))]
        limits: dict[str, Any] = {"connect": 5.0, "write": 5.0, "read": 5.0} | wait
        return await self.transport.handle_async_request(Request("POST", url, fields, content, **limits))

    async def whole(self) -> bytes:
        """Ask, and read the whole reply."""
        response = await self.ask()
        try:
            return await body_of(response)
        finally:
            await response.stream.aclose()

    @property
    def connection(self) -> Any:
        (connection,) = vars(self.transport)["_open"]
        return connection


@asynccontextmanager
async def serving(serve: Serve, *, tls: bool = False) -> AsyncGenerator[Asker]:
    """Do this with each connection; they end when the block does."""
    over, served = asyncio.Event(), set[asyncio.Task[None] | None]()

    async def serving_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.current_task())
        try:
            await serve(reader, writer)
            await over.wait()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.transport.abort()

    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
    async with await asyncio.start_server(serving_one, "127.0.0.1", 0, ssl=context) as server:
        asker = Asker(f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        async with aclosing(asker.transport):
            yield asker
        over.set()
        await asyncio.gather(*filter(None, served))


async def nothing(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """Say nothing and read nothing."""


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer request after request with the whole of it."""
    while said := await requested(reader):
        writer.write(HEAD % len(said) + said)


def saying(*pieces: bytes, then: Callable[[asyncio.StreamWriter], None] = lambda _: None) -> Serve:
    """Answer a request with these bytes, and do this."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await requested(reader)
        writer.writelines(pieces)
        await writer.drain()
        then(writer)

    return serve


BOTH = pytest.mark.parametrize("tls", [False, True], ids=["bare", "tls"])


# ------------------------------------------------------------------------------------------------------ what comes and goes


@BOTH
async def test_what_nobody_reads_is_left_with_the_sender(tls: bool) -> None:
    sent = bytes(range(256)) * 16 * 1024

    async with serving(saying(HEAD % len(sent), sent), tls=tls) as asker:
        response = await asker.ask()
        connection = asker.connection
        await asyncio.to_thread(until, lambda: connection._paused)
        held = connection._held
        assert MOST_HELD < held <= 2 * MOST_HELD
        await asyncio.sleep(0.05)
        assert connection._held == held  # and no more came
        assert await body_of(response) == sent
        await response.stream.aclose()
        assert connection._transport.is_reading()  # what comes to it while it is idle is noticed


@BOTH
async def test_a_connection_serves_one_call_after_another_whatever_their_size(tls: bool) -> None:
    """Unless TLS may hold a part of a long request still: of that asyncio tells nothing."""
    async with serving(echo, tls=tls) as asker:
        for size in (0, 1, 60_000, 100_000, 3_000_000, 10):
            content = b"x" * size
            response = await asker.ask(content)
            assert (await body_of(response)).endswith(b"\r\n\r\n" + content)
            await response.stream.aclose()
            assert len(vars(asker.transport)["_idle"]) == (0 if tls and size > 64 * 1024 else 1)


@BOTH
async def test_what_comes_at_once_to_many_connections_is_not_mixed(tls: bool) -> None:
    async with serving(echo, tls=tls) as asker:
        contents = [bytes([65 + number]) * 500_000 for number in range(20)]
        responses = await asyncio.gather(*(asker.ask(content) for content in contents))
        bodies = await asyncio.gather(*(body_of(response) for response in responses))
    assert [body.partition(b"\r\n\r\n")[2] for body in bodies] == contents


async def test_a_request_goes_out_in_one_write_and_is_not_kept() -> None:
    written: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        written.append(await reader.read(1000))
        writer.write(HEAD % 0)

    async with serving(serve) as asker:
        response = await asker.ask(b"content")
        assert len(written) == 1
        assert written[0].endswith(b"\r\n\r\ncontent")
        assert asker.connection.exchange.outgoing == b""
        await response.stream.aclose()


@pytest.mark.parametrize("tls", [False, True])
async def test_a_reply_that_comes_before_the_request_was_sent_is_its_reply(tls: bool) -> None:
    """A server refuses a body by its size, and closes: or it reads no further, and keeps the connection."""

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async def staying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}")

    for serve in (closing, staying):
        async with serving(serve, tls=tls) as asker:
            response = await asker.ask(bytes(LARGE))
            assert (response.status, await body_of(response)) == (413, b"{}")
            await response.stream.aclose()
            assert not vars(asker.transport)["_idle"]  # half a request is on it


async def test_what_is_said_at_once_stands_before_any_request() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        writer.write_eof()

    async with serving(serve) as asker:
        with pytest.raises(httpx.RemoteProtocolError) as caught:
            await asker.ask()
    assert "without sending a response" not in str(caught.value)


async def test_a_read_that_is_stopped_leaves_what_comes_to_the_next() -> None:
    go_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await requested(reader)
        writer.write(OPEN)
        await go_on.wait()
        writer.write(chunk(b"Hello"))

    async with serving(serve) as asker:
        body: Any = (await asker.ask()).stream
        reading = asyncio.ensure_future(anext(body))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        go_on.set()
        assert await anext(body) == b"Hello"


# ----------------------------------------------------------------------------------------------------------- how long it may


@BOTH
async def test_a_read_that_brings_nothing_in_time_is_a_timeout_and_the_next_may_bring_something(tls: bool) -> None:
    go_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await requested(reader)
        writer.write(OPEN)
        await go_on.wait()
        writer.write(chunk(b"Hello"))

    async with serving(serve, tls=tls) as asker:
        body: Any = (await asker.ask()).stream
        body.seconds = lambda: 0.01
        with pytest.raises(httpx.ReadTimeout):
            await anext(body)
        body.seconds = lambda: 5.0
        go_on.set()
        assert await anext(body) == b"Hello"


async def test_a_wait_has_its_own_time_whatever_that_of_the_one_before_was() -> None:
    async with serving(saying(OPEN)) as asker:
        body: Any = (await asker.ask(read=60.0)).stream
        for seconds in (30.0, 0.01, 20.0, 0.01):  # the timer is set for later, and for sooner
            body.seconds = lambda seconds=seconds: seconds
            if seconds > 1:
                reading = asyncio.ensure_future(anext(body))
                await asyncio.sleep(0.03)
                assert not reading.done()
                reading.cancel()
            else:
                with pytest.raises(httpx.ReadTimeout):
                    await anext(body)
        body.seconds = lambda: None
        reading = asyncio.ensure_future(anext(body))
        await asyncio.sleep(0.03)
        assert not reading.done()
        reading.cancel()


async def test_many_waits_take_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, timers = asyncio.get_running_loop(), list[float]()
    real = loop.call_at

    def counted(when: float, *arguments: Any, **named: Any) -> asyncio.TimerHandle:
        timers.append(when)
        return real(when, *arguments, **named)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await requested(reader)
        writer.write(OPEN)
        for _ in range(20):
            await asyncio.sleep(0)
            writer.write(chunk(b"Hello"))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async with serving(serve) as asker:
        response = await asker.ask()
        monkeypatch.setattr(loop, "call_at", counted)
        assert await body_of(response) == b"Hello" * 20
        await response.stream.aclose()
    assert timers == []


async def dripping(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a head that has no end."""
    writer.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not writer.transport.is_closing():
        writer.write(b".")
        await asyncio.sleep(0)


async def test_a_write_that_nobody_takes_is_a_timeout() -> None:
    async with serving(nothing) as asker:
        with pytest.raises(httpx.WriteTimeout):
            await asker.ask(bytes(LARGE), write=0.1)


async def test_what_comes_meanwhile_gives_a_write_no_more_time() -> None:
    async with serving(dripping) as asker, asyncio.timeout(10.0):
        with pytest.raises(httpx.WriteTimeout):
            await asker.ask(bytes(LARGE), write=0.1)


async def test_a_head_that_drips_has_the_time_of_one_read() -> None:
    async with serving(dripping) as asker, asyncio.timeout(10.0):
        with pytest.raises(httpx.ReadTimeout):
            await asker.ask(read=0.1)


async def test_framing_that_drips_gives_a_piece_no_more_time() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await requested(reader)
        writer.write(OPEN + b"5;")
        while not writer.transport.is_closing():
            writer.write(b"a")
            await asyncio.sleep(0)

    async with serving(serve) as asker, asyncio.timeout(10.0):
        body: Any = (await asker.ask(read=0.1)).stream
        with pytest.raises(httpx.ReadTimeout):
            await anext(body)
        await body.aclose()


async def test_a_server_that_says_nothing_to_tls_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(nothing) as asker:
        monkeypatch.setattr(asker, "_url", vars(asker)["_url"].replace("http:", "https:"))
        with pytest.raises(httpx.ConnectTimeout):
            await asker.ask(connect=0.1)
        assert not vars(asker.transport)["_open"]


# ---------------------------------------------------------------------------------------------------------- ends and breaks


@BOTH
async def test_a_connection_that_is_closed_at_this_end_is_an_error_to_whoever_reads_it(tls: bool) -> None:
    async with serving(saying(OPEN), tls=tls) as asker:
        body: Any = (await asker.ask()).stream
        reading = asyncio.ensure_future(anext(body))
        await asyncio.sleep(0)
        await body.aclose()
        with pytest.raises(httpx.ReadError, match="closed at this end"):
            await reading


async def test_a_reply_that_was_closed_takes_nothing_of_the_next_and_none_of_its_time() -> None:
    go_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await requested(reader)
        writer.write(HEAD % 5 + b"first")
        await requested(reader)
        writer.write(OPEN)
        await go_on.wait()
        writer.write(chunk(b"second"))

    async with serving(serve) as asker:
        first: Any = (await asker.ask()).stream
        assert [piece async for piece in first] == [b"first"]
        await first.aclose()
        second: Any = (await asker.ask()).stream
        reading = asyncio.ensure_future(anext(second))
        await asyncio.sleep(0)
        await first.aclose()
        first.seconds = lambda: 0.0
        with pytest.raises(StopAsyncIteration):
            await anext(first)
        await asyncio.sleep(0.01)
        assert not reading.done()
        go_on.set()
        assert await reading == b"second"


@BOTH
async def test_what_came_before_an_end_is_read_and_then_the_error(tls: bool) -> None:
    async with serving(saying(HEAD % 9, b"Hello", then=lambda writer: writer.close()), tls=tls) as asker:
        body: Any = (await asker.ask()).stream
        assert await anext(body) == b"Hello"
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(body)
        await body.aclose()


async def test_what_came_before_a_reset_is_read_and_then_the_reset() -> None:
    read = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await requested(reader)
        writer.write(HEAD % 9 + b"Hello")
        await read.wait()
        reset(writer)

    async with serving(serve) as asker:
        body: Any = (await asker.ask()).stream
        connection = asker.connection
        read.set()
        await asyncio.to_thread(until, lambda: connection._lost is not None)
        assert await anext(body) == b"Hello"
        with pytest.raises(httpx.ReadError):
            await anext(body)
        await body.aclose()


async def test_a_connection_that_is_reset_before_the_reply_is_an_error() -> None:
    async with serving(saying(then=reset)) as asker:
        with pytest.raises(httpx.ReadError):
            await asker.ask()
        assert not vars(asker.transport)["_open"]


@BOTH
@pytest.mark.parametrize("farewell", [True, False])
async def test_a_body_that_ends_with_its_connection_is_whole(farewell: bool, tls: bool) -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n"

    def end(writer: asyncio.StreamWriter) -> None:
        if farewell:
            writer.close()
        else:  # below TLS, which says no word of it
            shut_down(writer.get_extra_info("socket"))

    async with serving(saying(head, b"Hello", then=end), tls=tls) as asker:
        assert await asker.whole() == b"Hello"


async def test_a_server_hears_of_a_stop_while_a_forked_child_lives() -> None:
    heard = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await requested(reader)
        writer.write(OPEN)
        assert not await reader.read()
        heard.set()

    async with serving(serve) as asker, asyncio.timeout(10.0):
        response = await asker.ask()
        with child_that_lives():
            await response.stream.aclose()
            await heard.wait()


async def test_all_connections_are_closed_those_in_use_too() -> None:
    async with serving(saying(OPEN)) as asker:
        bodies: list[Any] = [(await asker.ask()).stream for _ in range(3)]
        reading = [asyncio.ensure_future(anext(body)) for body in bodies]
        await asyncio.sleep(0)
        await asker.transport.aclose()
        broken = await asyncio.gather(*reading, return_exceptions=True)
        assert [type(each) for each in broken] == [httpx.ReadError] * 3
        assert not vars(asker.transport)["_open"]


async def test_those_that_are_being_made_are_closed_too() -> None:
    greeted, closed = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            greeted.set()
        closed.set()

    async with serving(silent) as asker:
        vars(asker)["_url"] = vars(asker)["_url"].replace("http:", "https:")
        call = asyncio.create_task(asker.ask(connect=60.0))
        await greeted.wait()
        await asker.transport.aclose()
        with pytest.raises(httpx.ReadError, match="closed at this end"):
            await call
        await closed.wait()


async def test_a_wait_for_a_connection_is_ended_once() -> None:
    loop, failures, limit = asyncio.get_running_loop(), list[Any](), unhurried(60)
    loop.set_exception_handler(lambda _, context: failures.append(context))

    async def ended_twice() -> None:
        async with limit:
            limit.end()
            loop.call_soon(limit.end)  # when it is over, and who waits doesn't know yet
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await ended_twice()
    assert not failures


# --------------------------------------------------------------------------------------------------------------- idle ones


@BOTH
@pytest.mark.parametrize("unasked", [b"", HEAD % 5 + b"wrong"], ids=["an end", "a reply"])
async def test_what_comes_to_an_idle_connection_closes_it(unasked: bytes, tls: bool) -> None:
    now = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await requested(reader)
        writer.write(HEAD % 5 + b"right")
        await now.wait()
        writer.write(unasked)
        if not unasked:
            writer.close()

    async with serving(serve, tls=tls) as asker:
        assert await asker.whole() == b"right"
        kept = asker.connection
        now.set()
        await asyncio.to_thread(until, lambda: kept._lost is not None)
        assert not vars(asker.transport)["_open"]  # at once, not when the next call finds it so
        assert await asker.whole() == b"right"


async def test_what_came_to_an_idle_connection_while_the_loop_was_busy_is_not_the_next_reply() -> None:
    now, said = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await requested(reader)
        writer.write(HEAD % 5 + b"right")
        if not said.is_set():
            await now.wait()
            writer.write(HEAD % 5 + b"wrong")
            said.set()

    async with serving(serve) as asker:
        assert await asker.whole() == b"right"
        kept = asker.connection
        kept._transport.pause_reading()  # as if the loop had not come to it
        now.set()
        await said.wait()
        assert await asker.whole() == b"right"
        assert asker.connection is not kept


async def test_only_so_many_are_kept_and_the_last_one_serves_first() -> None:
    async with serving(echo) as asker:
        responses = [await asker.ask() for _ in range(3)]
        for response in responses:
            await body_of(response)
            await response.stream.aclose()
        kept = list(vars(asker.transport)["_idle"])
        assert len(kept) == 2
        await asker.ask()
        assert list(vars(asker.transport)["_idle"]) == kept[:1]


# ----------------------------------------------------------------------------------------------------------------- cancelled


@BOTH
async def test_a_call_that_is_cancelled_at_any_turn_of_the_loop_leaves_no_connection(tls: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await requested(reader)
        writer.write(OPEN + chunk(b"Hello"))

    async def read(asker: Asker) -> None:
        response = await asker.ask()
        try:
            await body_of(response)
        finally:
            await response.stream.aclose()

    async with serving(serve, tls=tls) as asker:
        for turns in range(40):
            calls = [asyncio.create_task(read(asker)) for _ in range(5)]
            for _ in range(turns):
                await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            done = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(each) for each in done} == {asyncio.CancelledError}
        await asyncio.to_thread(until, lambda: not vars(asker.transport)["_open"])


@BOTH
async def test_a_connection_that_is_made_just_when_its_call_is_cancelled_is_closed(
    tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    real = loop.create_connection

    async def cancelled(*arguments: Any, **options: Any) -> Any:
        await real(*arguments, **options)
        raise asyncio.CancelledError

    async with serving(nothing, tls=tls) as asker:
        monkeypatch.setattr(loop, "create_connection", cancelled)
        with pytest.raises(asyncio.CancelledError):
            await asker.ask()
        await asyncio.to_thread(until, lambda: not vars(asker.transport)["_open"])


async def test_a_socket_that_asyncio_does_not_take_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[socket.socket] = []

    async def refusing(*_: Any, sock: socket.socket, **__: Any) -> Any:
        given.append(sock)
        raise OSError("no")

    async with serving(nothing) as asker:
        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", refusing)
        with pytest.raises(httpx.ConnectError):
            await asker.ask()
    assert [sock.fileno() for sock in given] == [-1]
