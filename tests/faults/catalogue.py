"""The faults that one call shows: what the server does, and what must come of it. The numbers are those of the docs."""

# ruff: noqa: E501 - a fault a line
from __future__ import annotations

import json
import os
import signal
import socket
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from vessel_core import Limits, Timeout
from vessel_core.errors import (
    AuthFailed,
    BadRequest,
    ContextOverflow,
    FirstTokenTimeout,
    InputTooLarge,
    ModelLoading,
    ModelNotFound,
    ProtocolError,
    RateLimited,
    ResponseTooLarge,
    ServerBusy,
    ServerError,
    ServerUnreachable,
    StreamInterrupted,
    StreamStalled,
    Unsupported,
    VesselError,
)

from tests.faults.fault_server import LOADING, NDJSON, SSE, Script, Talk

KEY = "sk-canary-4711"
SOON = Timeout(connect=2.0, first_token=0.15, between_tokens=10, load=5.0, request=0.15)
"""So that a silence is over soon."""


@dataclass(frozen=True)
class Fault:
    """What a server does wrong, and what must come of a call: a text, or an error.

    `posts` is how many requests it may take, at least and at most; `within` how many seconds; `waits` how long is waited
    between them, in seconds.
    """

    number: int
    name: str
    scripts: Sequence[Script]
    expected: str | type[VesselError]
    posts: tuple[int, int] = (1, 1)
    within: float = 2.0
    waits: Sequence[float] | None = None
    partial: str | None = None
    says: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    server: Mapping[str, Any] = field(default_factory=dict[str, Any])
    has: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        return f"{self.number:02} {self.name}"


# ------------------------------------------------------------------------------------------------- what a server says


def event(document: Any) -> bytes:
    return b"data: " + (document if isinstance(document, bytes) else json.dumps(document).encode()) + b"\n\n"


def delta(text: str, **rest: Any) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], **rest})


HEL, LO = delta("Hel"), delta("lo")
STOP = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
DONE = event(b"[DONE]")
WHOLE = HEL + LO + STOP + DONE
PING = b": ping\n\n"
OLLAMA = {"backend": "ollama"}


def ok(talk: Talk) -> None:
    talk.stream(HEL, LO, STOP, DONE)


def line(text: str = "", **rest: Any) -> bytes:
    return json.dumps({"message": {"role": "assistant", "content": text}, "done": False, **rest}).encode() + b"\n"


def says(document: Any, status: int = 200, **options: Any) -> Script:
    return lambda talk: talk.document(document, status=status, **options)


def plays(*pieces: bytes, kind: str = SSE) -> Script:
    return lambda talk: talk.stream(*pieces, kind=kind)


def raw(*pieces: bytes) -> Script:
    """Say just this and hang up."""

    def script(talk: Talk) -> None:
        talk.say(*pieces)
        talk.fin()

    return script


def presses_ctrl_c(talk: Talk) -> None:
    """Have the process that asks interrupted, once the request is there; say nothing."""
    os.kill(os.getpid(), signal.SIGINT)
    talk.hold()


def begins(*pieces: bytes, then: Callable[[Talk], None], kind: str = SSE) -> Script:
    """Begin a stream, and then do something else."""

    def script(talk: Talk) -> None:
        talk.head(kind)
        talk.chunk(*pieces)
        then(talk)

    return script


def error(message: str, kind: str = "", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, **more}}


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"


def piece(data: bytes, extension: bytes = b"") -> bytes:
    return b"%x%s\r\n%s\r\n" % (len(data), extension, data)


# ------------------------------------------------------------------------------------------------------ what takes code


def a_chunk_of_no_size(talk: Talk) -> None:
    talk.say(b"zz\r\nlo\r\n")
    talk.hold()


def half_a_status_line(talk: Talk) -> None:
    talk.say(b"HTTP/1.1 2")
    talk.hold()


def interim_for_ever(talk: Talk) -> None:
    while True:
        talk.say(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        talk.pause(0.01)


def old_http(talk: Talk) -> None:
    talk.say(b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + WHOLE)
    talk.fin()


def flood_of_headers(talk: Talk) -> None:
    talk.say(b"HTTP/1.1 200 OK\r\n")
    for number in range(2000):
        talk.say(b"X-Flood-%d: %s\r\n" % (number, b"x" * 1000))
    talk.hold()


def one_endless_header(talk: Talk) -> None:
    talk.say(b"HTTP/1.1 200 OK\r\nX-Flood: ")
    for _ in range(2000):
        talk.say(b"x" * 1000)
    talk.hold()


def slow_first_token(talk: Talk) -> None:
    talk.pause(0.25)
    ok(talk)


def head_at_once_and_a_slow_first_token(talk: Talk) -> None:
    talk.head()
    talk.pause(0.3)
    talk.chunk(HEL, LO, STOP, DONE)
    talk.end()


def pings_while_it_reads(talk: Talk) -> None:
    talk.head()
    for _ in range(6):
        talk.chunk(PING)
        talk.pause(0.05)
    talk.chunk(HEL, LO, STOP, DONE)
    talk.end()


def pings_for_ever(talk: Talk) -> None:
    talk.head()
    while True:
        talk.chunk(PING)
        talk.pause(0.05)


def pings_between_tokens(talk: Talk) -> None:
    talk.head()
    talk.chunk(HEL)
    for _ in range(6):
        talk.chunk(PING)
        talk.pause(0.05)
    talk.chunk(LO, STOP, DONE)
    talk.end()


def cut_by_close(talk: Talk) -> None:
    talk.head(framing="close")
    talk.say(HEL)


def open_after_the_end(talk: Talk) -> None:
    talk.head()
    talk.chunk(HEL, LO, STOP, DONE)
    talk.hold()


def talks_on_after_the_end(talk: Talk) -> None:
    talk.head()
    talk.chunk(HEL, LO, STOP, DONE)
    while True:
        talk.chunk(delta("nonsense"))
        talk.pause(0.01)


def endless(talk: Talk) -> None:
    talk.head()
    talk.chunk(HEL)
    talk.hold()


def short_of_its_length(talk: Talk) -> None:
    talk.head("application/json", framing="500")
    talk.say(b'{"choices": [{"message": {"content": "Hel')
    talk.fin()


def byte_by_byte(data: bytes) -> Script:
    def script(talk: Talk) -> None:
        talk.head(framing="close")
        talk.say(*(data[at : at + 1] for at in range(len(data))))

    return script


def endless_line(talk: Talk) -> None:
    talk.head()
    talk.chunk(b'data: {"choices": [{"delta": {"content": "')
    for _ in range(1024):
        talk.chunk(b"x" * 65536)
    talk.hold()


def zeros(kind: str, status: int = 200) -> Script:
    """Say 256 MiB of zeros in a quarter of a megabyte."""

    def script(talk: Talk) -> None:
        talk.document(packed_zeros(), kind=kind, status=status, content_encoding="gzip")

    return script


@cache
def packed_zeros() -> bytes:
    """Pack a megabyte, and say it as often: its end is one after which the next begins anew. No end of all is ever read."""
    pack = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    first, again = (pack.compress(bytes(1024 * 1024)) + pack.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + 255 * again


DEEP = b'{"choices": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
LOADS = says(LOADING, 503)
JSON_OK = {"choices": [{"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]}
TOO_MUCH = error(
    "the request exceeds the available context size", "exceed_context_size_error", n_prompt_tokens=9, n_ctx=4
)
PROMPT = Timeout(first_token=10, between_tokens=0.2)

# ------------------------------------------------------------------------------------------------------------ the table

CATALOGUE: tuple[Fault, ...] = (
    Fault(6, "FIN before the reply", [raw()], ServerUnreachable, posts=(3, 3)),
    Fault(6, "RST before the reply", [Talk.rst], ServerUnreachable, posts=(3, 3)),
    Fault(7, "RST once", [Talk.rst, ok], "Hello", posts=(2, 2)),
    Fault(9, "silence", [Talk.hold], FirstTokenTimeout, options={"timeout": SOON}, within=1.0),
    Fault(10, "half a status line", [half_a_status_line], FirstTokenTimeout, options={"timeout": SOON}, within=1.0),
    Fault(10, "103 for ever", [interim_for_ever], FirstTokenTimeout, options={"timeout": SOON}, within=1.0),
    Fault(11, "garbage", [raw(b"\x00\x01garbage\r\n\r\n")], ProtocolError, says=["no HTTP server"]),
    Fault(11, "SSH", [raw(b"SSH-2.0-OpenSSH_9.2p1\r\n")], ProtocolError, says=["no HTTP server"]),
    Fault(11, "TLS on the port of HTTP", [raw(b"\x15\x03\x01\x00\x02\x02\x46")], ProtocolError),
    Fault(11, "101, another protocol", [raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")], ProtocolError, says=["no HTTP server"]),
    Fault(13, "103 before 200", [raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + CHUNKED + b"\r\n" + piece(WHOLE) + b"0\r\n\r\n")], "Hello"),
    Fault(13, "102 twice", [raw(b"HTTP/1.1 102 Processing\r\n\r\n" * 2 + CHUNKED + b"\r\n" + piece(WHOLE) + b"0\r\n\r\n")], "Hello"),
    Fault(13, "HTTP/1.0 without a length", [old_http], "Hello"),
    Fault(13, "chunk extensions", [raw(CHUNKED + b"\r\n" + piece(WHOLE, b";name=value") + b"0\r\n\r\n")], "Hello"),
    Fault(13, "trailers", [raw(CHUNKED + b"Trailer: X-Sum\r\n\r\n" + piece(WHOLE) + b"0\r\nX-Sum: 1\r\n\r\n")], "Hello"),
    Fault(14, "flood of headers", [flood_of_headers], ProtocolError),
    Fault(14, "one endless header", [one_endless_header], ProtocolError),
    Fault(15, "loading twice", [LOADS, LOADS, ok], "Hello", posts=(3, 3)),
    Fault(15, "loading, and its health says so", [LOADS, ok], "Hello", posts=(2, 2), server={"health": (503, 503, 200)}, waits=[0.25, 0.375, 0.5625]),
    Fault(16, "loading for ever", [LOADS], ModelLoading, posts=(1, 1), server={"health": (503,)}, waits=[0.25, 0.375, 0.5625], options={"timeout": Timeout(load=1.0)}),
    Fault(16, "loading for ever, in good health", [LOADS], ModelLoading, posts=(4, 4), waits=[0.25, 0.375, 0.5625], options={"timeout": Timeout(load=1.0)}),
    Fault(17, "503 for ever", [says(error("no slot"), 503)], ServerBusy, posts=(3, 3)),
    Fault(17, "503 twice", [says(error("no slot"), 503)] * 2 + [ok], "Hello", posts=(3, 3)),
    Fault(18, "Ollama's queue is full", [says({"error": "server busy, please try again. maximum pending requests exceeded"}, 503)], ServerBusy, posts=(3, 3), options=OLLAMA),
    Fault(19, "429, again after seconds", [says(error("slow"), 429, retry_after="1.5"), ok], "Hello", posts=(2, 2), waits=[1.5]),
    Fault(19, "429, again after milliseconds", [says(error("slow"), 429, retry_after_ms="1500"), ok], "Hello", posts=(2, 2), waits=[1.5]),
    Fault(19, "429, again at a date", [says(error("slow"), 429, date="Mon, 23 Nov 2026 10:00:00 GMT", retry_after="Mon, 23 Nov 2026 10:00:02 GMT"), ok], "Hello", posts=(2, 2), waits=[2.0]),
    Fault(20, "429, again in an hour", [says(error("slow"), 429, retry_after="3600")], RateLimited, within=0.5, waits=[], has={"retry_after": 3600.0}),
    Fault(21, "500 once", [says(error("out of memory"), 500), ok], "Hello", posts=(2, 2)),
    Fault(21, "500 for ever", [says(error("out of memory"), 500)], ServerError, posts=(2, 2)),
    Fault(22, "500, too large", [says(error("input (992 tokens) is too large to process. increase the physical batch size"), 500)], InputTooLarge),
    Fault(23, "502 from a proxy", [says(b"<html><head><style>x</style></head><body><h1>502 Bad Gateway</h1></body></html>", 502, kind="text/html")], ServerError, posts=(3, 3), says=["502 Bad Gateway"]),
    Fault(24, "a prompt that does not fit", [says(TOO_MUCH, 400)], ContextOverflow, has={"prompt_tokens": 9, "context_length": 4}),
    Fault(25, "no such model", [says(error("model 'demo-chap' not found"), 404)], ModelNotFound, options={"model": "demo-chap"}, says=["did you mean 'demo-chat'?", "demo-small"]),
    Fault(25, "a model that is listed and can't be had", [says(error("model 'demo-chat' not found"), 404)], ModelNotFound, says=["load('demo-chat')"]),
    Fault(26, "401", [says(error(f"Invalid API Key {KEY}", "authentication_error"), 401)], AuthFailed, options={"api_key": KEY}, says=["api_key"]),
    Fault(26, "403", [says(error("no"), 403)], AuthFailed, options={"api_key": KEY}),
    Fault(27, "405", [says({"detail": "Method Not Allowed"}, 405)], Unsupported),
    Fault(27, "501", [says(error("This server does not support it.", "not_supported_error"), 501)], Unsupported),
    Fault(27, "404 for the route", [says(error("File Not Found", "not_found_error"), 404)], Unsupported),
    Fault(27, "422", [says({"detail": [{"loc": ["body", "messages"], "msg": "field required"}]}, 422)], BadRequest, says=["body.messages: field required"]),
    Fault(28, "a redirect elsewhere", [says(b"", 307, location="http://elsewhere.example/v1/chat/completions")], ProtocolError, says=["elsewhere.example"]),
    Fault(28, "a redirect to what is no URL", [says(b"", 302, location="http://[::x")], ProtocolError),
    Fault(29, "200 with an error", [says(TOO_MUCH)], ContextOverflow),
    Fault(29, "200 with an error in words", [says({"error": "model 'demo-chat' not found"})], ModelNotFound),
    Fault(30, "a web page", [says(b"<html><h1>It works!</h1></html>", kind="text/html")], ProtocolError, says=["It works!"]),
    Fault(30, "nothing", [says(b"")], ProtocolError),
    Fault(30, "plain text", [says(b"hello there", kind="text/plain")], ProtocolError),
    Fault(30, "an empty stream", [plays()], ProtocolError),
    Fault(31, "no JSON", [says(b"{'choices': None}")], ProtocolError),
    Fault(31, "half of the JSON", [says(json.dumps(JSON_OK).encode()[:60])], ProtocolError),
    Fault(32, "no choices", [says({"choices": []})], ProtocolError),
    Fault(32, "a choice without a message", [says({"choices": [{"message": None}]})], ProtocolError),
    Fault(32, "a stream of no choices", [plays(event({"choices": []}), DONE)], ProtocolError),
    Fault(33, "short of its length", [short_of_its_length], ProtocolError, posts=(2, 2)),
    Fault(33, "short of its length once", [short_of_its_length, says(JSON_OK)], "Hello", posts=(2, 2)),
    Fault(34, "a gzip bomb in a document", [zeros("application/json")], ResponseTooLarge, within=1.0),
    Fault(34, "a gzip bomb in a stream", [zeros(SSE)], ResponseTooLarge, within=1.0),
    Fault(34, "a gzip bomb in an error", [zeros("application/json", 500)], ResponseTooLarge, within=1.0),
    Fault(34, "a document above a limit of one's own", [says({**JSON_OK, "more": "x" * 2000})], ResponseTooLarge, options={"limits": Limits(body=1000)}, says=["1,000 bytes", "Limits("]),
    Fault(35, "200,000 levels in a document", [says(DEEP)], ProtocolError),
    Fault(35, "200,000 levels in an event", [plays(event(DEEP))], ProtocolError),
    Fault(35, "200,000 levels in an error", [says(DEEP, 400)], BadRequest),
    Fault(36, "a slow first token", [slow_first_token], "Hello", options={"timeout": PROMPT}),
    Fault(36, "a head at once and a slow first token", [head_at_once_and_a_slow_first_token], "Hello", options={"timeout": PROMPT}),
    Fault(37, "pings while it reads the prompt", [pings_while_it_reads], "Hello", options={"timeout": PROMPT}),
    Fault(37, "pings between tokens", [pings_between_tokens], "Hello", options={"timeout": PROMPT}),
    Fault(37, "pings and never a token", [pings_for_ever], FirstTokenTimeout, options={"timeout": SOON}, within=1.0),
    Fault(38, "a stall in the middle", [begins(HEL, then=Talk.hold)], StreamStalled, options={"timeout": PROMPT}, partial="Hel", within=1.0),
    Fault(39, "FIN in the middle of a chunk", [begins(HEL, then=lambda talk: (talk.say(b"ff\r\nhalf"), talk.fin())[1])], StreamInterrupted, partial="Hel"),
    Fault(39, "a chunk of no size", [begins(HEL, then=a_chunk_of_no_size)], StreamInterrupted, partial="Hel", within=1.0),
    Fault(40, "RST in the middle", [begins(HEL, then=Talk.rst)], StreamInterrupted, partial="Hel"),
    Fault(41, "a clean end without a finish", [plays(HEL)], StreamInterrupted, partial="Hel"),
    Fault(42, "a cut by close", [cut_by_close], StreamInterrupted, partial="Hel"),
    Fault(43, "no [DONE]", [plays(HEL, LO, STOP)], "Hello"),
    Fault(44, "left open after [DONE]", [open_after_the_end], "Hello", within=1.0),
    Fault(45, "data after [DONE]", [plays(HEL, LO, STOP, DONE, delta("nonsense"))], "Hello"),
    Fault(45, "data after [DONE], for ever", [talks_on_after_the_end], "Hello", within=1.0),
    Fault(46, "an error in the stream", [plays(HEL, event(error("it broke", "server_error")))], ServerError, partial="Hel", says=["it broke"]),
    Fault(47, "an error field in the stream", [plays(HEL, b'error: {"message": "it broke"}\n\n')], ServerError, partial="Hel", says=["it broke"]),
    Fault(48, "Ollama's error in words", [plays(line("Hel"), b'{"error": "it broke"}\n', kind=NDJSON)], ServerError, partial="Hel", options=OLLAMA),
    Fault(48, "Ollama's error as an object", [plays(line("Hel"), b'{"error": {"message": "it broke"}}\n', kind=NDJSON)], ServerError, partial="Hel", options=OLLAMA),
    Fault(49, "an event that is no JSON", [plays(HEL, b"data: {oops\n\n", LO, STOP, DONE)], ProtocolError, partial="Hel"),
    Fault(49, "a line that is no JSON", [plays(line("Hel"), b"{oops\n", kind=NDJSON)], ProtocolError, partial="Hel", options=OLLAMA),
    Fault(50, "byte by byte", [byte_by_byte(WHOLE)], "Hello"),
    Fault(50, "CRLF", [byte_by_byte(WHOLE.replace(b"\n", b"\r\n"))], "Hello"),
    Fault(50, "CR", [plays(WHOLE.replace(b"\n", b"\r"))], "Hello"),
    Fault(50, "a BOM, no spaces, comments, ids", [plays(b"\xef\xbb\xbf: hi\n\n", b"id: 1\nretry: 9\nevent: message\n" + WHOLE.replace(b"data: ", b"data:"))], "Hello"),
    Fault(50, "an event of several data lines", [plays(b'data: {"choices": [{"index": 0,\ndata: "delta": {"content": "Hel"}}]}\n\n', LO, STOP, DONE)], "Hello"),
    Fault(51, "separators inside a token", [plays(event(json.dumps({"choices": [{"index": 0, "delta": {"content": "a\u2028b\u2029c\x85d"}}]}, ensure_ascii=False).encode()), STOP, DONE)], "a\u2028b\u2029c\x85d"),
    Fault(52, "bad UTF-8", [plays(delta("He@@").replace(b"@@", b"\xff\xfe"), STOP, DONE)], "He\ufffd\ufffd"),
    Fault(52, "an emoji in two pieces", [plays(b'data: {"choices": [{"index": 0, "delta": {"content": "\xf0\x9f', b'\x98\x80"}}]}\n\n', STOP, DONE)], "\N{GRINNING FACE}"),
    Fault(53, "no blank line at the end", [plays(HEL, LO, STOP.rstrip())], "Hello"),
    Fault(54, "empty choices, null deltas, empty finishes", [plays(event({"choices": [], "usage": {"prompt_tokens": 1}}), event({"choices": [{"index": 0, "delta": None, "finish_reason": ""}]}), HEL, LO, STOP, DONE)], "Hello"),
    Fault(55, "a line of 64 MiB", [endless_line], ResponseTooLarge),
    Fault(55, "a line above a limit of one's own", [plays(HEL, delta("x" * 2000))], ResponseTooLarge, partial="Hel", options={"limits": Limits(line=1000)}, says=["1,000 bytes", "Limits("]),
    Fault(55, "a line of Ollama's above a limit of one's own", [plays(line("Hel"), line("x" * 2000), kind=NDJSON)], ResponseTooLarge, partial="Hel", options={"limits": Limits(line=1000), **OLLAMA}, says=["1,000 bytes"]),
    Fault(57, "a server that dies in the middle", [begins(HEL, then=lambda talk: talk.connection.shutdown(socket.SHUT_RDWR))], StreamInterrupted, partial="Hel"),
)  # fmt: skip
