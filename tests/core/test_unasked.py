"""Replies that nobody asked for: they follow an answer on its connection, and are not the next call's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from vessel_core import AsyncClient, Client, Message

from tests.core.hosting import until

HELLO: list[Message] = [{"role": "user", "content": "Hello"}]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n"


def answer(word: bytes) -> bytes:
    body = b'data: {"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n' % word
    return HEAD % len(body) + body


@asynccontextmanager
async def answering(
    unasked: bytes, when: asyncio.Event | None = None, *, ends: bool = False
) -> AsyncGenerator[dict[str, Any]]:
    """Serve answers, each with this behind it, at once or in its time (and the end); hand on the options of a client."""

    served: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
                writer.write(answer(b"asked") + (unasked if when is None else b""))
                if when is not None:
                    await when.wait()
                    writer.write(unasked)
                    if ends:
                        writer.write_eof()
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield {"base_url": f"http://{host}:{port}/v1", "model": "m", "max_retries": 0}
        await asyncio.gather(*filter(None, served))


async def said(client: AsyncClient) -> str:
    return "".join([delta.text async for delta in client.stream(HELLO)])


async def test_what_comes_with_an_answer_is_not_the_next_one() -> None:
    async with answering(answer(b"unasked")) as options, AsyncClient("llamacpp", **options) as client:
        assert [await said(client) for _ in range(3)] == ["asked"] * 3


async def test_what_comes_with_an_answer_is_not_the_next_one_without_a_loop() -> None:
    def all_said(options: dict[str, Any]) -> list[str]:
        with Client("llamacpp", **options) as client:
            return ["".join(delta.text for delta in client.stream(HELLO)) for _ in range(3)]

    async with answering(answer(b"unasked")) as options:
        assert await asyncio.to_thread(all_said, options) == ["asked"] * 3


@pytest.mark.parametrize("ends", [False, True])
async def test_what_comes_to_an_idle_connection_is_not_the_next_answer(ends: bool) -> None:
    when = asyncio.Event()
    async with answering(answer(b"unasked"), when, ends=ends) as options, AsyncClient("llamacpp", **options) as client:
        assert await said(client) == "asked"
        session: Any = vars(client)["_session"]
        transport: Any = session._transport._pools[asyncio.get_running_loop()].pool
        (idle,) = transport._idle
        when.set()
        await asyncio.to_thread(until, lambda: idle._lost is not None)
        assert await said(client) == "asked"
