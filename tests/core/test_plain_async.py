"""Async connections by httpx without TLS: what asyncio's own transport brings and takes, as httpcore wants it told."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpcore
import pytest
from vessel_core.transport.plain_async import MOST_HELD, plain_transport

from tests.core.hosting import until

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with which closing a connection resets it."""


@asynccontextmanager
async def connected(serve: Serve, *, secure: bool = False) -> AsyncGenerator[Any]:
    """Connect to a server that does this with its one connection; it ends when the block does."""
    over, closed = asyncio.Event(), asyncio.Event()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer)
        await over.wait()
        writer.transport.abort()
        closed.set()

    transport = plain_transport(secure=secure, proxy=None, verify=False)
    pool: Any = vars(transport)["_pool"]
    async with transport, await asyncio.start_server(served, "127.0.0.1", 0) as server:
        stream = await pool._network_backend.connect_tcp(*server.sockets[0].getsockname(), timeout=3.0)
        try:
            yield stream
        finally:
            await stream.aclose()
            over.set()
            await closed.wait()


async def nothing(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """Say nothing and read nothing."""


async def test_what_nobody_reads_is_left_with_the_sender() -> None:
    sent = bytes(range(256)) * 16 * 1024

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        writer.write_eof()

    async with connected(serve) as stream:
        await asyncio.to_thread(until, lambda: not stream._transport.is_reading())
        assert MOST_HELD < len(stream._came) <= 2 * MOST_HELD
        came = bytearray()
        while data := await stream.read(64 * 1024, timeout=5.0):
            assert len(data) <= 64 * 1024
            came += data
    assert came == sent


async def test_a_read_that_brings_nothing_in_time_is_a_timeout_and_the_next_may_bring_something() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(5))

    async with connected(serve) as stream:
        with pytest.raises(httpcore.ReadTimeout):
            await stream.read(100, timeout=0.01)
        await stream.write(b"Hello", timeout=5.0)
        assert await stream.read(100, timeout=5.0) == b"Hello"


async def test_a_write_that_nobody_takes_is_a_timeout() -> None:
    async with connected(nothing) as stream:
        with pytest.raises(httpcore.WriteTimeout):
            await stream.write(bytes(64 * 1024 * 1024), timeout=0.1)


async def test_what_comes_meanwhile_gives_a_write_no_more_time() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.transport.is_closing():
            writer.write(b".")
            await asyncio.sleep(0.01)

    async with connected(serve) as stream, asyncio.timeout(10.0):
        with pytest.raises(httpcore.WriteTimeout):
            await stream.write(bytes(64 * 1024 * 1024), timeout=0.1)


async def test_a_connection_that_is_closed_at_this_end_is_an_error_to_whoever_reads_it() -> None:
    async with connected(nothing) as stream:
        reading = asyncio.ensure_future(stream.read(100, timeout=5.0))
        await asyncio.sleep(0)
        await stream.aclose()
        with pytest.raises(httpcore.ReadError, match="closed at this end"):
            await reading


async def test_a_connection_that_was_closed_is_readable_and_brings_its_end() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Bye")
        writer.write_eof()

    async with connected(serve) as stream:
        assert await stream.read(100, timeout=5.0) == b"Bye"
        assert await stream.read(100, timeout=5.0) == b""
        assert stream.get_extra_info("is_readable")


@pytest.mark.parametrize(("sent", "ends"), [(b"Bye", False), (b"", True)])
async def test_what_was_taken_from_the_socket_is_readable_whatever_the_socket_says(sent: bytes, ends: bool) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        if ends:
            writer.write_eof()

    async with connected(serve) as stream:
        stream._opened = httpcore.AsyncMockStream([])  # it is never readable
        await asyncio.to_thread(until, lambda: stream._came == sent and stream._ended == ends)
        assert stream.get_extra_info("is_readable")


async def test_a_connection_that_was_reset_is_an_error_to_read_and_to_write() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()

    async with connected(serve) as stream:
        with pytest.raises(httpcore.ReadError):
            await stream.read(100, timeout=5.0)
        with pytest.raises(httpcore.WriteError):
            await stream.write(b"Hello", timeout=5.0)
        assert stream.get_extra_info("is_readable")


async def test_what_came_before_a_reset_is_read_and_then_the_reset() -> None:
    read = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Hello")
        await read.wait()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()

    async with connected(serve) as stream:
        await asyncio.to_thread(until, lambda: stream._came == b"Hello")
        read.set()
        await asyncio.to_thread(until, lambda: stream._lost is not None)
        assert await stream.read(3, timeout=5.0) == b"Hel"
        assert await stream.read(100, timeout=5.0) == b"lo"
        with pytest.raises(httpcore.ReadError):
            await stream.read(100, timeout=5.0)


async def test_what_is_still_to_be_sent_is_sent_after_the_server_has_said_its_last() -> None:
    got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        got.set_result(await reader.read(5))

    async with connected(serve) as stream:
        assert await stream.read(100, timeout=5.0) == b""
        await stream.write(b"Hello", timeout=5.0)
        assert await got == b"Hello"


async def test_a_read_that_is_stopped_leaves_what_comes_to_the_next() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(5))

    async with connected(serve) as stream:
        reading = asyncio.ensure_future(stream.read(100, timeout=5.0))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await stream.write(b"Hello", timeout=5.0)
        assert await stream.read(100, timeout=5.0) == b"Hello"


async def test_connections_that_are_to_be_encrypted_are_httpx_own() -> None:
    async with connected(nothing, secure=True) as stream:
        assert type(stream).__module__.startswith("httpcore")
    async with connected(nothing) as stream:
        assert not type(stream).__module__.startswith("httpcore")
