"""Bodies that connections bring: one read is one piece, however it is framed. Those of others come as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from vessel_core import AsyncClient, Client, Delta, Message
from vessel_core.address import parse_address
from vessel_core.errors import StreamInterrupted
from vessel_core.transport.connection import Connection
from vessel_core.types import Timeout
from vessel_core.wire import Call

from tests.fake_server import FakeServer, Response, llamacpp_server
from tests.fuzz.targets import read_by_exchange, read_by_h11

HELLO: list[Message] = [{"role": "user", "content": "Hello"}]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def text(word: str) -> bytes:
    return b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % word.encode()


FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
CHUNKS = b"".join(chunk(event) for event in (text("a"), text("b"), text("c"), FINISH, DONE))
ANSWER = Response(raw=HEAD + CHUNKS + b"0\r\n\r\n")
"""An answer each of whose events is a chunk, all of them in one segment."""


async def streamed(server: FakeServer, *, asked: bool, together: bool = True, times: int = 1) -> list[list[Delta]]:
    """Return the deltas of an answer, of several if they are asked for one after the other."""
    options: dict[str, Any] = {"base_url": server.base_url, "model": "m", "together": together}
    if asked:
        async with AsyncClient("llamacpp", **options) as client:
            return [[delta async for delta in client.stream(HELLO)] for _ in range(times)]
    with Client("llamacpp", **options) as client:
        return [list(client.stream(HELLO)) for _ in range(times)]


@pytest.mark.parametrize(("limit", "form"), [("MOST_UNUSUAL", b"1;a\r\n%c\r\n"), ("LONGEST_FRAMING", b"1\r\n%c\r\n")])
@pytest.mark.parametrize("asked", [False, True])
async def test_chunks_of_next_to_nothing_are_bounded(
    asked: bool, limit: str, form: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = 200 * (text("a") + text("b"))  # more than one read
    tiny = HEAD + b"".join(form % byte for byte in whole)
    with llamacpp_server(Response(raw=tiny + CHUNKS + b"0\r\n\r\n")) as server:
        assert "".join(delta.text for delta in (await streamed(server, asked=asked))[0]) == 200 * "ab" + "abc"
        server.routes["POST", "/v1/chat/completions"] = Response(raw=tiny)
        monkeypatch.setattr(f"vessel_core.transport.http1.{limit}", 20)
        with pytest.raises(StreamInterrupted, match="chunks of next to nothing"):
            await streamed(server, asked=asked)


@pytest.mark.parametrize("asked", [False, True])
async def test_a_chunk_for_each_short_token_or_three_of_them_are_no_chunks_of_nothing(
    asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vessel_core.transport.http1.LONGEST_FRAMING", 300)  # the head is framing too
    monkeypatch.setattr("vessel_core.transport.http1.MOST_UNUSUAL", 5)
    token = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
    pieces = [piece for _ in range(500) for piece in (token, token[:6], token[6:-2], token[-2:])]
    with llamacpp_server([*pieces, FINISH + DONE]) as server:
        (deltas,) = await streamed(server, asked=asked)
    assert "".join(delta.text for delta in deltas) == "a" * 1000


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("endless", [b"0" * 2**22, b"5;" + b"a" * 2**22], ids=["size", "extension"])
@pytest.mark.parametrize("begun", [b"", chunk(text("Hello"))], ids=["at once", "after a token"])
async def test_a_chunk_that_never_gets_to_its_content_is_given_up(begun: bytes, endless: bytes, asked: bool) -> None:
    with llamacpp_server(Response(raw=HEAD + begun + endless)) as server:
        with pytest.raises(StreamInterrupted) as caught:
            await streamed(server, asked=asked)
    assert (caught.value.partial.text if caught.value.partial else "") == ("Hello" if begun else "")


@pytest.mark.parametrize("asked", [False, True])
async def test_large_chunks_and_many_small_ones_are_no_chunks_of_nothing(asked: bool) -> None:
    many = chunk(b": aaa") + chunk(b"aaaaa") * 300_000 + chunk(b"aaa\n\n")
    large = chunk(b": " + b"a" * 2**20 + b"\n\n")
    with llamacpp_server(Response(raw=HEAD + many + large + CHUNKS + b"0\r\n\r\n")) as server:
        (deltas,) = await streamed(server, asked=asked)
    assert "".join(delta.text for delta in deltas) == "abc"


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("together", [True, False])
async def test_chunks_that_one_read_brings_are_one_delta_unless_they_were_not_to_be(
    asked: bool, together: bool
) -> None:
    with llamacpp_server(ANSWER) as server:
        (deltas,) = await streamed(server, asked=asked, together=together)
    texts = [delta.text for delta in deltas if delta.text]
    assert texts == (["a", "bc"] if together else ["a", "b", "c"])  # the first tells what it is


@pytest.mark.parametrize("asked", [False, True])
async def test_a_connection_whose_whole_answer_came_at_once_is_used_again(asked: bool) -> None:
    with llamacpp_server(Response.stream(text("a"), text("b") + FINISH + DONE)) as server:
        before = server.connections
        await streamed(server, asked=asked, times=3)
        assert server.connections == before + 1


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("broken", [b"no size\r\n", b""], ids=["a chunk that is none", "an end too early"])
async def test_what_came_before_a_fault_in_the_same_read_is_handed_on(asked: bool, broken: bytes) -> None:
    raw = HEAD + chunk(text("a")) + chunk(text("b")) + broken
    with llamacpp_server(Response(raw=raw, cut="fin")) as server:
        with pytest.raises(StreamInterrupted) as caught:
            await streamed(server, asked=asked)
    assert caught.value.partial is not None
    assert caught.value.partial.text == "ab"


BYTES = bytes(range(256))
WORDS = b"onetwothree"
BODIES = [
    pytest.param(Response.stream(b"one", b"two", b"three"), WORDS, id="chunked"),
    pytest.param(Response(body=WORDS), WORDS, id="of known length"),
    pytest.param(Response(pieces=[b"one", b"two", b"three"], framing="close"), WORDS, id="ended by the connection"),
    pytest.param(Response(), b"", id="empty"),
    pytest.param(
        Response(raw=HEAD + b"".join(chunk(b"%c" % byte) for byte in BYTES) + b"0\r\n\r\n"), BYTES, id="of single bytes"
    ),
]
ASKED = Call("GET", "/")


@pytest.mark.parametrize(("body", "whole"), BODIES)
def test_a_body_comes_whole(body: Response, whole: bytes) -> None:
    with FakeServer({("GET", "/"): body}) as server:
        transport = Connection(parse_address(server.base_url)).transport()
        assert transport.send(ASKED, Timeout()).body == whole
        transport.close()


@pytest.mark.parametrize(("body", "whole"), BODIES)
async def test_a_body_comes_whole_async(body: Response, whole: bytes) -> None:
    with FakeServer({("GET", "/"): body}) as server:
        transport = Connection(parse_address(server.base_url)).async_transport()
        assert (await transport.send(ASKED, Timeout())).body == whole
        await transport.aclose()


class Foreign(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body out of no network, and what was done to it."""

    def __init__(self) -> None:
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield from (text("one"), text("two") + FINISH + DONE)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


async def test_a_body_of_another_transport_is_iterated_as_it_is_and_closed() -> None:
    bodies: list[Foreign] = []

    def answer(_: httpx.Request) -> httpx.Response:
        bodies.append(Foreign())
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=bodies[-1])

    options: dict[str, Any] = {
        "base_url": "http://127.0.0.1:1",
        "model": "m",
        "http_transport": httpx.MockTransport(answer),
    }
    with Client("llamacpp", **options) as client:
        assert client.chat(HELLO).text == "onetwo"
    async with AsyncClient("llamacpp", **options) as client:
        assert (await client.chat(HELLO)).text == "onetwo"
    assert [body.closed for body in bodies[-2:]] == [True, True]


FRAMED = {
    "as they come": b"3\r\none\r\n3\r\ntwo\r\nA\r\n0123456789\r\n0\r\n\r\n",
    "with extensions": b"3;a=b\r\none\r\n3;c\r\ntwo\r\n3\r\nsix\r\n0;d\r\n\r\n",
    "with zeros, and line ends inside": b"0003\r\none\r\n00004\r\n\r\n\r\n\r\n2\r\n0\r\r\n00\r\n\r\n",
    "with trailers, and more behind": b"3\r\none\r\n3\r\ntwo\r\n0\r\nName: value\r\n\r\n3\r\nsix\r\n",
    "with an end that is none": b"3\r\none\r\n3\r\ntwoXX3\r\nsix\r\n0\r\n\r\n",
    "longer than it says": b"3\r\none\r\n3\r\ntwooo\r\n3\r\nsix\r\n0\r\n\r\n",
    "cut off": b"3\r\none\r\n3\r\ntwo\r\n3\r\nsi",
    "after nothing": b"",
    "one that never ends": b"3\r\none\r\nfffffff\r\ntwo\r\n",
    **{
        f"of the size {size!r}": b"3\r\none\r\n%b\r\ntwo\r\n0\r\n\r\n" % size
        for size in (b"+3", b"-3", b" 3", b"3 ", b"0x3", b"0_3", b"", b"3\n", b"3\r", b"f" * 21, "３".encode())
    },
}
"""Chunked bodies, right and wrong."""


@pytest.mark.parametrize("framed", FRAMED.values(), ids=FRAMED.keys())
def test_chunks_however_they_are_written_and_cut_are_what_h11_makes_of_them(framed: bytes) -> None:
    expected = read_by_h11(HEAD + framed)
    cuts = [[framed], [b"%c" % byte for byte in framed], *([framed[:at], framed[at:]] for at in range(len(framed)))]
    for cut in cuts:
        for came in ([HEAD, *cut], [HEAD + b"".join(cut[:1]), *cut[1:]]):
            read = read_by_exchange([*filter(None, came)])
            assert read._replace(fault="") == expected._replace(fault=""), came
            assert bool(read.fault) == bool(expected.fault), came
