"""What is fuzzed: each target reads bytes and raises nothing but our errors, the same however the bytes are cut.

They are plain functions, so that the tests run them over the corpus, and atheris over whatever it makes of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

import h11
import httpx
from vessel_core.address import parse_address
from vessel_core.backends import BACKENDS
from vessel_core.backends.base import Flow
from vessel_core.discovery import Candidate, survey
from vessel_core.errors import InvalidMedia, VesselError
from vessel_core.media import audio_part, data_url_parts, image_part
from vessel_core.transport.http1 import LONGEST_HEAD, Exchange
from vessel_core.transport.outgoing import Request
from vessel_core.types import ChatRequest, Delta
from vessel_core.wire import Quirks, Reply, ReplyStream, ollama, openai
from vessel_core.wire.arguments import argument_error, mended_arguments, parse_arguments
from vessel_core.wire.failures import error_from, retry_after
from vessel_core.wire.framing import EventStream, Lines
from vessel_core.wire.jsontext import loads
from vessel_core.wire.rerank import decode_rerank
from vessel_core.wire.tools import ToolCallAssembler

REQUEST = ChatRequest(messages=[{"role": "user", "content": "Hello"}], model="m")
QUIRKS = (Quirks(), Quirks(text_calls=True, repair_arguments=True, cumulative_arguments=True, think_opened=True))
HERE = parse_address("http://127.0.0.1:1")
POST = Request("POST", httpx.URL("http://here/v1"), [(b"Host", b"here")], b"{}")
STATUSES = (200, 400, 404, 500, 503)
T = TypeVar("T")


def chosen(some: Sequence[T], data: bytes) -> T:
    """Return the one of some that the length of the bytes chooses: a run tries one, and many runs all of them."""
    return some[len(data) % len(some)]


def pieces(data: bytes) -> list[bytes]:
    """Cut bytes into pieces as long as the last byte says, which stays: a first line without its first byte is no JSON."""
    step = (data[-1] if data else 0) % 64 + 1
    return [data[at : at + step] for at in range(0, len(data), step)]


def events(data: bytes) -> None:
    """Server-sent events."""
    whole, cut = EventStream(), EventStream()
    expected = whole.feed(data) + whole.close()
    found = [payload for piece in pieces(data) for payload in cut.feed(piece)] + cut.close()
    assert found == expected, (found, expected)


def lines(data: bytes) -> None:
    """Lines of JSON."""
    stream = Lines()
    found = [line for piece in pieces(data) for line in stream.feed(piece)] + [stream.close()]
    plain = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert b"\n".join(found) == plain


def _played(stream: ReplyStream, parts: list[bytes]) -> list[Any]:
    deltas: list[Delta] = []
    try:
        for part in parts:
            deltas += stream.feed(part)
            if stream.done:
                break
        deltas += stream.close()
    except VesselError as error:
        return [*_comparable(deltas), type(error)]
    return _comparable(deltas)


def _comparable(deltas: list[Delta]) -> list[Any]:
    found: list[Any] = []
    for delta in deltas:
        calls = [replace(call, id=re.sub(r"^call_[0-9a-f]{24}$", "made", call.id or "")) for call in delta.tool_calls]
        found.append(repr(replace(delta, tool_calls=calls)))
    return found


def openai_chat(data: bytes) -> None:
    """A streamed chat of `/v1`."""
    quirks = chosen(QUIRKS, data)
    expected = _played(openai.ChatStream(REQUEST, quirks), [data])
    assert _played(openai.ChatStream(REQUEST, quirks), pieces(data)) == expected


def ollama_chat(data: bytes) -> None:
    """A streamed chat of Ollama's."""
    quirks = chosen(QUIRKS, data)
    expected = _played(ollama.ChatStream(REQUEST, quirks), [data])
    assert _played(ollama.ChatStream(REQUEST, quirks), pieces(data)) == expected


def documents(data: bytes) -> None:
    """Whole replies: chats, vectors, rankings, errors."""
    readers: list[Callable[[], Any]] = [
        lambda: openai.ChatStream(REQUEST, Quirks()).whole(data),
        lambda: ollama.ChatStream(REQUEST, Quirks()).whole(data),
        lambda: openai.decode_embed(data, 2, None),
        lambda: ollama.decode_embed(data, 2, 3),
        lambda: decode_rerank(data, 3, None),
    ]
    for read in readers:
        _ours(read)
    assert str(error_from(Reply(chosen(STATUSES, data), body=data)))
    text = data.decode("latin-1")
    for headers in ({"retry-after": text, "date": text}, {"retry-after-ms": text}):
        assert (retry_after(headers) or 0.0) >= 0.0


def listings(data: bytes) -> None:
    """What a server says of itself and its models: the same document wherever it is asked."""
    _ours(lambda: _answered(survey(Candidate(BACKENDS[0], HERE)), data))
    for backend in BACKENDS:
        for flow in (backend.models(), backend.model("m"), backend.version()):
            _ours(partial(_answered, flow, data))


def _answered(flow: Flow[Any], data: bytes) -> None:
    try:
        next(flow)
        while True:
            flow.send(Reply(200, body=data))
    except StopIteration:
        return


def arguments(data: bytes) -> None:
    """The arguments of a tool call, whole and in pieces."""
    text = data.decode("utf-8", "replace")
    assert (parse_arguments(text) is None) == (argument_error(text) is not None)
    mended = mended_arguments(text)
    assert mended is None or parse_arguments(mended) is not None
    try:
        document = loads(text)
    except ValueError:
        document = {"id": text[:9], "function": {"name": text[:3], "arguments": text}}
    repair = chosen((False, True), data)
    assembler = ToolCallAssembler(["get_weather"], repair=repair, cumulative=repair)
    listed: list[Any] = document if isinstance(document, list) else [document]  # pyright: ignore[reportUnknownVariableType]
    _ours(lambda: [assembler.feed(listed), assembler.feed(listed), assembler.close("length")])


def media(data: bytes) -> None:
    """Pictures and sounds: bytes, base64, data URLs."""
    text = data.decode("latin-1")
    for source in (data, text, f"data:image/png;base64,{text}", f"data:{text}"):
        for read in (image_part, audio_part):
            try:
                assert read(source)["type"]
            except InvalidMedia:
                continue
    _ours(lambda: data_url_parts(text))


def addresses(data: bytes) -> None:
    """Base URLs."""
    text = data.decode("utf-8", "replace")
    _ours(lambda: parse_address(text).local)
    _ours(lambda: parse_address(text, lenient=True).root)


class Read(NamedTuple):
    """What is made of the bytes of a reply."""

    status: int
    body: bytes
    fault: str
    reusable: bool
    headers: Sequence[tuple[bytes, bytes]] = ()


def read_by_exchange(came: Sequence[bytes]) -> Read:
    """Return what we make of a reply that came in these reads, then the end of the connection unless it was whole."""
    exchange = Exchange(POST)
    body, fault = b"", ""
    try:
        for data in came:
            exchange.receive(data)
            body += exchange.piece() if exchange.begun() else b""
        if not exchange.ended:
            exchange.receive(b"")
        while exchange.begun() and (piece := exchange.piece()):
            body += piece
    except httpx.RemoteProtocolError as error:
        fault = str(error)
    return Read(exchange.status, body, fault, exchange.reusable, exchange.headers)


def read_by_h11(data: bytes) -> Read:
    """Return what h11 makes of it."""
    conn = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD)
    conn.send(h11.Request(method="POST", target="/", headers=[("Host", "here")]))
    conn.send(h11.EndOfMessage())
    status, body, headers = 0, b"", list[tuple[bytes, bytes]]()
    try:
        for came in [data, b""] if data else [b""]:
            conn.receive_data(came)
            while (event := conn.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Response):
                    status, headers = event.status_code, list(event.headers.raw_items())
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    return Read(status, body, "", conn.our_state is h11.DONE and not conn.trailing_data[0], headers)
                elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                    return Read(status, body, "no reply", reusable=False)
    except h11.RemoteProtocolError as error:
        return Read(status, body, str(error), reusable=False, headers=headers)
    raise AssertionError("h11 wants more after the end")


def replies(data: bytes) -> None:
    """Replies in HTTP/1.1: h11 is right."""
    data, step = data[:-1], data[-1] % 64 if data else 0
    expected = read_by_h11(data)
    for size in (len(data) or 1, step or 1):
        came = read_by_exchange([data[at : at + size] for at in range(0, len(data), size)])
        assert came._replace(fault="") == expected._replace(fault=""), (came, expected)
        assert bool(came.fault) == bool(expected.fault), (came, expected)


def _ours(read: Callable[[], Any]) -> None:
    """Read; any error but one of ours is a fault."""
    try:
        read()
    except VesselError:
        return


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (events, lines, openai_chat, ollama_chat, documents, listings, arguments, media, addresses, replies)
}
