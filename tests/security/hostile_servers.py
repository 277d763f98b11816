"""What hostile servers answer: each entry of `HOSTILE` is as dear to read, for its bytes, as we could make it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from vessel_core.transport.incoming import VECTOR
from vessel_core.wire.jsontext import MAX_TEXT_COST
from vessel_core.wire.vectors import BATCH, COST_BESIDE, MOST_NUMBERS

from tests.fake_server import NDJSON, SSE, Response, transcript

MEBI = 1024 * 1024
DEEP = 200_000


@cache
def bomb() -> bytes:
    """Return 64 MiB of zeros, packed a thousand times smaller, again and again."""
    return gzip.compress(bytes(64 * MEBI), 9)


def stream(
    *pieces: bytes, endless: bytes = b"", times: int = 0, kind: str = SSE, headers: dict[str, str] | None = None
) -> Response:
    """Return a stream that begins with `pieces` and goes on with `endless`, `times` times."""

    def come() -> Iterator[bytes]:
        yield from pieces
        for _ in range(times):
            yield endless

    return Response(headers={"content-type": kind, **(headers or {})}, pieces=come())


def chunk(delta: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


def call(arguments: str, index: int = 0) -> bytes:
    function = {"name": "a", "arguments": arguments}
    return chunk({"tool_calls": [{"index": index, "id": f"c{index}", "function": function}]})


def choice(index: int) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": index, "delta": {"content": "a"}}]}).encode() + b"\n\n"


def raw(*pieces: bytes, endless: bytes = b"", times: int = 0) -> Response:
    return Response(raw=b"".join([*pieces, endless * times]), cut="fin")


GZIP = {"content-encoding": "gzip"}
HEAD = b"HTTP/1.1 200 OK\r\n"
SMALL = b'{"choices":[],"x":[' + b"{}," * 2_500_000 + b"{}]}"
NESTED = b"[" * DEEP + b"]" * DEEP

PROGRESS = b'data: {"choices":[],"prompt_progress":{"total":10,"processed":1}}\n\n'

FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
EMOJI = "😀".encode()  # makes each character of its text take four bytes
LINE = 2_000_000
DOCUMENT = 3_900_000
BATCHED = DOCUMENT + VECTOR * BATCH
BESIDE = MAX_TEXT_COST + COST_BESIDE * BATCH
ARGUMENTS = 500_000


def event(unit: bytes, before: bytes, after: bytes, size: int = LINE) -> bytes:
    """Return an event that is `unit` again and again, up to a size, between what makes JSON of it."""
    return b"data: " + document(unit, before, after, size) + b"\n\n"


def document(unit: bytes, before: bytes, after: bytes, size: int = DOCUMENT) -> bytes:
    return before + unit * (size // len(unit)) + after


def said(unit: bytes, key: bytes = b"content", size: int = LINE) -> bytes:
    """Return an event with a text."""
    return event(unit, b'{"choices":[{"delta":{"' + key + b'":"' + EMOJI, b'"}}]}', size)


def called(unit: bytes, size: int = ARGUMENTS, name: bytes = b"a") -> bytes:
    """Return an event with a piece of the arguments of the first call."""
    before = b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"' + name + b'","arguments":"'
    return event(unit, before, b'"}}]}}]}', size)


def listed(unit: bytes, before: bytes, after: bytes, size: int = DOCUMENT) -> Response:
    return Response(200, {"content-type": "application/json"}, document(unit, before, after, size))


def most_numbers(beside: bytes) -> Response:
    """Return a batch of vectors of as many numbers as they may have, of which the last is none."""
    vector = b'{"embedding":[' + b"1e-320," * (MOST_NUMBERS - 1) + b"%b]},"
    data = vector % b"1e-320" * (BATCH - 1) + (vector % b"1e999")[:-1]
    return Response(200, {"content-type": "application/json"}, b"{" + beside + b'"data":[' + data + b"]}")


def tiny_chunks() -> Response:
    head = HEAD + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return raw(head, endless=b"1;a=b\r\n:\r\n", times=500_000)


@cache
def chunks_of_a_byte() -> Response:
    head = HEAD + b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    return raw(head, endless=b"1\r\n \r\n", times=DOCUMENT)


class Hostile(NamedTuple):
    """A server: its backend, its answer, the error that is due, and what it is asked for."""

    backend: str
    answer: Callable[[], Response]
    due: str
    asked: str = "chat"


HOSTILE: dict[str, Hostile] = {
    "a good one": Hostile("openai", lambda: stream(transcript("llamacpp/text.sse")), "none"),
    "a packed bomb in a stream": Hostile("openai", lambda: stream(bomb(), headers=GZIP), "ResponseTooLarge"),
    "a packed bomb in a document": Hostile(
        "openai",
        lambda: stream(bomb(), kind="application/json", headers=GZIP),
        "ResponseTooLarge",
    ),
    "bytes behind a packed stream": Hostile(
        "openai",
        lambda: stream(gzip.compress(chunk({"content": "a"})), endless=bytes(MEBI), times=512, headers=GZIP),
        "ProtocolError",
    ),
    "bytes behind a packed document": Hostile(
        "openai",
        lambda: stream(gzip.compress(b"{}"), endless=bytes(MEBI), times=512, kind="application/json", headers=GZIP),
        "ProtocolError",
    ),
    "a packed bomb in an error": Hostile("openai", lambda: Response(500, {**GZIP}, bomb()), "ResponseTooLarge"),
    "an unknown packing": Hostile("openai", lambda: stream(b"x", headers={"content-encoding": "br"}), "ProtocolError"),
    "an endless line": Hostile("openai", lambda: stream(b"data: ", endless=b"a" * MEBI, times=64), "ResponseTooLarge"),
    "an endless line of Ollama's": Hostile(
        "ollama",
        lambda: stream(b'{"a": "', endless=b"a" * MEBI, times=64, kind=NDJSON),
        "ResponseTooLarge",
    ),
    "an event without an end": Hostile(
        "openai",
        lambda: stream(endless=b"data: " + b"a" * 65_530 + b"\n", times=1024),
        "ResponseTooLarge",
    ),
    "an event of empty lines": Hostile(
        "openai",
        lambda: stream(endless=b"data:\n" * 10_000, times=1024),
        "ResponseTooLarge",
    ),
    "an event of documents' beginnings": Hostile(
        "openai",
        lambda: stream(endless=b"data: {\n" * 10_000, times=1024),
        "ResponseTooLarge",
    ),
    "an endless error": Hostile("openai", lambda: Response(500, pieces=iter([b"a" * MEBI] * 64)), "ServerError"),
    "a million headers": Hostile("openai", lambda: raw(HEAD, endless=b"a: b\r\n", times=1_000_000), "ProtocolError"),
    "a long header": Hostile("openai", lambda: raw(HEAD + b"a: ", endless=b"b" * MEBI, times=2), "ProtocolError"),
    "a long status": Hostile("openai", lambda: raw(b"HTTP/1.1 200 ", endless=b"b" * MEBI, times=2), "ProtocolError"),
    "a long chunk size": Hostile(
        "openai",
        lambda: raw(HEAD + b"transfer-encoding: chunked\r\n\r\n", endless=b"0" * MEBI, times=2),
        "ProtocolError|StreamInterrupted",
    ),
    "small values in a stream": Hostile("openai", lambda: stream(b"data: " + SMALL + b"\n\n"), "ResponseTooLarge"),
    "small values in a line": Hostile("ollama", lambda: stream(SMALL + b"\n", kind=NDJSON), "ResponseTooLarge"),
    "small values in a document": Hostile("openai", lambda: stream(SMALL, kind="application/json"), "ResponseTooLarge"),
    "small values in an error": Hostile("openai", lambda: Response(400, body=SMALL), "BadRequest"),
    "a long document": Hostile(
        "openai",
        lambda: stream(b"[", endless=b"1.5," * 16_384, times=1024, kind="application/json"),
        "ResponseTooLarge",
    ),
    "deep JSON in a stream": Hostile("openai", lambda: stream(b"data: " + NESTED + b"\n\n"), "ProtocolError"),
    "deep JSON in a line": Hostile("ollama", lambda: stream(NESTED + b"\n", kind=NDJSON), "ProtocolError"),
    "deep JSON in a document": Hostile("openai", lambda: stream(NESTED, kind="application/json"), "ProtocolError"),
    "deep JSON in an error": Hostile("openai", lambda: Response(400, body=NESTED), "BadRequest"),
    "deep JSON in arguments": Hostile(
        "openai",
        lambda: stream(call("{" + '"a":[' * 30_000), b"data: [DONE]\n\n"),
        "none",  # a call that can't be run
    ),
    "a charset that is none": Hostile(
        "openai",
        lambda: stream(b"\xff\xfe\n", kind="text/event-stream; charset=rot13"),
        "ProtocolError|StreamInterrupted",
    ),
    "another charset": Hostile(
        "openai",
        lambda: stream("{}".encode("utf-16"), kind="application/json; charset=utf-16"),
        "ProtocolError",
    ),
    "endless comments": Hostile(
        "openai", lambda: stream(endless=b": ping\n\n", times=10_000_000), "ResponseTooLarge|FirstTokenTimeout"
    ),
    "endless comments in one line": Hostile(
        "openai",
        lambda: stream(b":", endless=b"a" * 1000, times=10_000_000),
        "ResponseTooLarge|FirstTokenTimeout",
    ),
    "endless blank lines": Hostile(
        "ollama",
        lambda: stream(endless=b"\n" * 1000, times=10_000_000, kind=NDJSON),
        "ResponseTooLarge",
    ),
    "endless empty objects": Hostile(
        "ollama",
        lambda: stream(endless=b"{}\n" * 1000, times=10_000_000, kind=NDJSON),
        "ResponseTooLarge|FirstTokenTimeout",
    ),
    "endless empty events": Hostile(
        "openai", lambda: stream(endless=b"data: {}\n\n", times=10_000_000), "ResponseTooLarge|FirstTokenTimeout"
    ),
    "the same progress for ever": Hostile(
        "openai",
        lambda: stream(endless=PROGRESS * 1000, times=10_000),
        "FirstTokenTimeout",
    ),
    "huge arguments": Hostile("openai", lambda: stream(endless=call("a" * 65_536), times=1024), "ResponseTooLarge"),
    "a million calls": Hostile("openai", lambda: stream(*(call("{}", at) for at in range(10_000))), "ResponseTooLarge"),
    "a million choices": Hostile("openai", lambda: stream(*(choice(at) for at in range(10_000))), "ResponseTooLarge"),
    # As dear to read, for its bytes, as we could make it.
    "a text of emojis": Hostile("openai", lambda: stream(said(b"a"), FINISH), "none"),
    "a text of halves of characters": Hostile(
        "openai",
        lambda: stream(
            said(
                b"\\ud83da",
            ),
            FINISH,
        ),
        "none",
    ),
    "a text that is no UTF-8": Hostile(
        "openai",
        lambda: stream(
            said(
                b"\xff",
            ),
            FINISH,
        ),
        "none",
    ),
    "texts without an end": Hostile("openai", lambda: stream(endless=said(b"a"), times=64), "ResponseTooLarge"),
    "refusals without an end": Hostile(
        "openai",
        lambda: stream(endless=said(b"a", b"refusal", 1000), times=200_000),
        "ResponseTooLarge",
    ),
    "log probabilities without an end": Hostile(
        "openai",
        lambda: stream(
            endless=event(b"{},", b'{"choices":[{"delta":{"content":"a"},"logprobs":{"content":[', b"{}]}}]}", 100_000),
            times=1000,
        ),
        "ResponseTooLarge",
    ),
    "log probabilities of many small events": Hostile(
        "openai",
        lambda: stream(
            endless=event(b"{},", b'{"choices":[{"delta":{"content":"a"},"logprobs":{"content":[', b"{}]}}]}", 300)
            * 100,
            times=400,
        ),
        "ResponseTooLarge",
    ),
    "arguments of escapes": Hostile("openai", lambda: stream(called(rb"\\\\"), FINISH), "none"),
    "arguments of backslashes": Hostile("openai", lambda: stream(called(rb"\\", 2 * ARGUMENTS), FINISH), "none"),
    "arguments of emojis": Hostile(
        "openai", lambda: stream(called(b'{\\"a\\":\\"' + EMOJI + b"a" * 450_000), FINISH), "none"
    ),
    "arguments of numbers": Hostile("openai", lambda: stream(called(b"300,"), FINISH), "none"),
    "arguments of line breaks": Hostile("openai", lambda: stream(called(b"ab\\n"), FINISH), "none"),
    "arguments too long for one event": Hostile(
        "openai",
        lambda: stream(called(rb"\\", 8_000_000), FINISH),
        "ResponseTooLarge",
    ),
    "arguments of empty lists": Hostile("openai", lambda: stream(called(b"[],"), FINISH), "ResponseTooLarge"),
    "arguments that end again and again": Hostile(
        "openai",
        lambda: stream(
            called(b'{\\"a\\":\\"' + b"a" * 450_000),
            endless=called(b"}", 1, b"b"),
            times=60_000,
        ),
        "ResponseTooLarge",
    ),
    "arguments of Ollama's of backslashes": Hostile(
        "ollama",
        lambda: stream(
            document(
                rb"\\",
                b'{"message":{"tool_calls":[{"function":{"name":"a","arguments":{"a":"',
                b'"}}}]},"done":true}\n',
                ARGUMENTS,
            ),
            kind=NDJSON,
        ),
        "none",
    ),
    "numbers in a stream": Hostile(
        "openai",
        lambda: stream(event(b"300,", b'{"choices":[],"x":[', b"1]}", 1_800_000)),
        "StreamInterrupted",
    ),
    "names in a stream": Hostile(
        "openai",
        lambda: stream(b'data: {"choices":[],' + b",".join(b'"%x":1' % at for at in range(400_000)) + b"}\n\n"),
        "ResponseTooLarge",
    ),
    "choices in one event": Hostile(
        "openai",
        lambda: stream(event(b'{"delta":{"content":"a"}},', b'{"choices":[', b"{}]}")),
        "ResponseTooLarge",
    ),
    "backslashes in an error of a stream": Hostile(
        "openai",
        lambda: stream(b"error: " + b"\\" * LINE + b"\n\n"),
        "ServerError",
    ),
    "details of an error": Hostile(
        "openai",
        lambda: Response(422, body=document(b'{"loc":["a"],"msg":"x"},', b'{"detail":[', b"{}]}")),
        "BadRequest",
    ),
    "endless fields": Hostile(
        "openai", lambda: stream(endless=b"id: a\nretry: 1\n" * 1000, times=10_000), "ResponseTooLarge"
    ),
    "endless unknown fields": Hostile(
        "openai", lambda: stream(endless=b"a\n" * 10_000, times=5000), "ResponseTooLarge"
    ),
    "endless blank lines of a stream": Hostile(
        "openai",
        lambda: stream(endless=b":\r" * 10_000, times=5000),
        "ResponseTooLarge",
    ),
    "chunks of one byte": Hostile("openai", tiny_chunks, "ProtocolError|StreamInterrupted|ResponseTooLarge"),
    "a list of models": Hostile(
        "ollama",
        lambda: listed(b'{"name":"a"},', b'{"models":[', b"{}]}"),
        "ResponseTooLarge",
        "models",
    ),
    "a list of models, each of them running": Hostile(
        "ollama",
        lambda: Response.json({"models": [{"name": f"{at:x}"} for at in range(20_000)]}),
        "none",
        "models",
    ),
    "a list of models that fits": Hostile(
        "llamacpp", lambda: listed(b'{"id":"a","b":1},', b'{"data":[', b"{}]}", 330_000), "none", "models"
    ),
    "a text of wide characters on every route": Hostile(
        "llamacpp",
        lambda: listed(
            b"a", '{"data":[{"id":"m"}],"a":"\N{SMILING FACE WITH OPEN MOUTH}'.encode(), b'"}', DOCUMENT - 1000
        ),
        "none",
        "models",
    ),
    "a document in chunks of a byte": Hostile("openai", chunks_of_a_byte, "ProtocolError|StreamInterrupted", "models"),
    "counters": Hostile(
        "llamacpp",
        lambda: Response.text("".join(f"{at:x} 1\n" for at in range(500_000))),
        "ResponseTooLarge",
        "metrics",
    ),
    "counters of nothing": Hostile("llamacpp", lambda: Response.text("\n" * DOCUMENT), "ResponseTooLarge", "metrics"),
    "progress of nothing": Hostile(
        "ollama", lambda: stream(endless=b"\n" * 65_536, times=4000, kind=NDJSON), "ResponseTooLarge", "pull"
    ),
    "the same step for ever": Hostile(
        "ollama", lambda: stream(endless=b"{}\n" * 20_000, times=4000, kind=NDJSON), "ResponseTooLarge", "pull"
    ),
    "a list of tokens": Hostile(
        "llamacpp", lambda: listed(b"300,", b'{"tokens":[', b"1]}"), "ResponseTooLarge", "tokenize"
    ),
    "a ranking": Hostile(
        "openai", lambda: listed(b'{"index":0},', b'{"results":[', b"{}]}"), "ResponseTooLarge", "rerank"
    ),
    "a vector of numbers": Hostile(
        "openai",
        lambda: listed(b"300,", b'{"data":[{"embedding":[', b"1]}]}"),
        "ResponseTooLarge",
        "embed",
    ),
    "a vector of nulls": Hostile(
        "openai",
        lambda: listed(b"null,", b'{"data":[{"embedding":[', b"null]}]}"),
        "ResponseTooLarge|ProtocolError",
        "embed",
    ),
    "a vector of digits": Hostile(
        "openai",
        lambda: listed(b"9" * 300 + b",", b'{"data":[{"embedding":[', b"1]}]}"),
        "none",
        "embed",
    ),
    "a vector of base64": Hostile(
        "openai", lambda: listed(b"AAAA", b'{"data":[{"embedding":"', b'"}]}'), "ResponseTooLarge", "embed"
    ),
    "a vector without an end": Hostile(
        "openai",
        lambda: stream(b'{"data":[{"embedding":[', endless=b"0.5," * 16_384, times=1024, kind="application/json"),
        "ResponseTooLarge",
        "embed",
    ),
    **{
        f"a batch of {what}": Hostile(
            "openai",
            lambda unit=unit: listed(unit, b'{"data":[{"embedding":[', b"1]}]}", BATCHED),
            "ResponseTooLarge|ProtocolError",
            "batch",
        )
        for what, unit in {
            "quotes": b'"',
            "empty texts": b'"",',
            "short texts": b'"' + b"[" * 66 + b'",',
            "long texts": b'"' + b"," * 1000 + b'",',
            "lists": b"[],",
            "deep lists": b"[" * 100 + b"]" * 100 + b",",
            "numbers": b"0,",
            "tiny numbers": b"1e-320,",
        }.items()
    },
    **{
        f"a batch of {what}": Hostile(
            "openai",
            lambda unit=unit, size=size: listed(unit, b'{"data":[', b"{}]}", size),
            "ResponseTooLarge|ProtocolError",
            "batch",
        )
        for what, unit, size in (
            ("objects", b'{"index":0},', BATCHED),
            ("objects that fit", b'{"index":0},', 12 * BESIDE // 270),
            ("deep lists that fit", b"[" * 100 + b"]" * 100 + b",", 201 * BESIDE // 6040),
            ("vectors of a number each", b'{"embedding":"AAAAAA=="},', BATCHED),
            ("vectors without a number", b'{"embedding":""},', BATCHED // 3),
            ("wide vectors", b'{"embedding":"' + EMOJI + b"A" * 8000 + b'"},', BATCHED),
        )
    },
    **{
        f"texts on every route of {backend}, {where}": Hostile(
            backend,
            lambda before=before, after=after: listed('"éé",'.encode(), before, after, 1_280_000),
            "none|Unsupported|ProtocolError",
            "models",
        )
        for backend in ("llamacpp", "lmstudio", "ollama")
        for where, before, after in (
            ("beside the models", b'{"x":[', b"1]}"),
            ("in a model", b'{"data":[{"id":"m","x":[', b"1]}]}"),
        )
    },
    **{
        f"a batch that is too large, says {what}": Hostile(
            "openai",
            lambda unit=unit, size=size: replace(
                listed(unit, b'{"error":{"message":"input is too large to process","x":[', b"1]}}", size), status=500
            ),
            "InputTooLarge|ServerError",
            "batch",
        )
        for what, unit, size in (
            ("a long error", b'"' + b"a" * 1000 + b'",', DOCUMENT),
            ("a dear error", b"[],", 450_000),
        )
    },
    "a batch of the most numbers": Hostile("openai", lambda: most_numbers(b""), "ProtocolError", "batch"),
    "a batch of the most numbers and a wide name": Hostile(
        "openai",
        lambda: most_numbers(b'"model":"' + EMOJI + b"a" * (BESIDE // 4 - 20_000) + b'",'),
        "ProtocolError",
        "batch",
    ),
}
