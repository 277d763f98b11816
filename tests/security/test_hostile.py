"""S5, R12: a hostile server costs at most 40 MB and one second of CPU, and ends in one of our errors."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any

from tests.fake_server import NDJSON, SSE, FakeServer, Response, transcript
from tests.packaging.distributions import ROOT

MEBI = 1024 * 1024
DEEP = 200_000
MOST_MEMORY = 40
MOST_SECONDS = 1.0


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

#: What each server does: its backend, its answer, and the error that is due.
HOSTILE: dict[str, tuple[str, Callable[[], Response], str]] = {
    "a good one": ("openai", lambda: stream(transcript("llamacpp/text.sse")), "none"),
    "a packed bomb in a stream": ("openai", lambda: stream(bomb(), headers=GZIP), "ResponseTooLarge"),
    "a packed bomb in a document": (
        "openai",
        lambda: stream(bomb(), kind="application/json", headers=GZIP),
        "ResponseTooLarge",
    ),
    "bytes behind a packed stream": (
        "openai",
        lambda: stream(gzip.compress(chunk({"content": "a"})), endless=bytes(MEBI), times=512, headers=GZIP),
        "ProtocolError",
    ),
    "bytes behind a packed document": (
        "openai",
        lambda: stream(gzip.compress(b"{}"), endless=bytes(MEBI), times=512, kind="application/json", headers=GZIP),
        "ProtocolError",
    ),
    "a packed bomb in an error": ("openai", lambda: Response(500, {**GZIP}, bomb()), "ResponseTooLarge"),
    "an unknown packing": ("openai", lambda: stream(b"x", headers={"content-encoding": "br"}), "ProtocolError"),
    "an endless line": ("openai", lambda: stream(b"data: ", endless=b"a" * MEBI, times=64), "ResponseTooLarge"),
    "an endless line of Ollama's": (
        "ollama",
        lambda: stream(b'{"a": "', endless=b"a" * MEBI, times=64, kind=NDJSON),
        "ResponseTooLarge",
    ),
    "an event without an end": (
        "openai",
        lambda: stream(endless=b"data: " + b"a" * 65_530 + b"\n", times=1024),
        "ResponseTooLarge",
    ),
    "an event of empty lines": (
        "openai",
        lambda: stream(endless=b"data:\n" * 10_000, times=1024),
        "ResponseTooLarge",
    ),
    "an event of documents' beginnings": (
        "openai",
        lambda: stream(endless=b"data: {\n" * 10_000, times=1024),
        "ResponseTooLarge",
    ),
    "an endless error": ("openai", lambda: Response(500, pieces=iter([b"a" * MEBI] * 64)), "ResponseTooLarge"),
    "a million headers": ("openai", lambda: raw(HEAD, endless=b"a: b\r\n", times=1_000_000), "ProtocolError"),
    "a long header": ("openai", lambda: raw(HEAD + b"a: ", endless=b"b" * MEBI, times=2), "ProtocolError"),
    "a long status": ("openai", lambda: raw(b"HTTP/1.1 200 ", endless=b"b" * MEBI, times=2), "ProtocolError"),
    "a long chunk size": (
        "openai",
        lambda: raw(HEAD + b"transfer-encoding: chunked\r\n\r\n", endless=b"0" * MEBI, times=2),
        "ProtocolError|StreamInterrupted",
    ),
    "small values in a stream": ("openai", lambda: stream(b"data: " + SMALL + b"\n\n"), "ResponseTooLarge"),
    "small values in a line": ("ollama", lambda: stream(SMALL + b"\n", kind=NDJSON), "ResponseTooLarge"),
    "small values in a document": ("openai", lambda: stream(SMALL, kind="application/json"), "ResponseTooLarge"),
    "small values in an error": ("openai", lambda: Response(400, body=SMALL), "BadRequest"),
    "a long document": (
        "openai",
        lambda: stream(b"[", endless=b"1.5," * 16_384, times=1024, kind="application/json"),
        "ResponseTooLarge",
    ),
    "deep JSON in a stream": ("openai", lambda: stream(b"data: " + NESTED + b"\n\n"), "ProtocolError"),
    "deep JSON in a line": ("ollama", lambda: stream(NESTED + b"\n", kind=NDJSON), "ProtocolError"),
    "deep JSON in a document": ("openai", lambda: stream(NESTED, kind="application/json"), "ProtocolError"),
    "deep JSON in an error": ("openai", lambda: Response(400, body=NESTED), "BadRequest"),
    "deep JSON in arguments": (
        "openai",
        lambda: stream(call("{" + '"a":[' * DEEP), b"data: [DONE]\n\n"),
        "none",  # a call that can't be run
    ),
    "a charset that is none": (
        "openai",
        lambda: stream(b"\xff\xfe\n", kind="text/event-stream; charset=rot13"),
        "ProtocolError|StreamInterrupted",
    ),
    "another charset": (
        "openai",
        lambda: stream("{}".encode("utf-16"), kind="application/json; charset=utf-16"),
        "ProtocolError",
    ),
    "endless comments": ("openai", lambda: stream(endless=b": ping\n\n", times=10_000_000), "FirstTokenTimeout"),
    "endless comments in one line": (
        "openai",
        lambda: stream(b":", endless=b"a" * 1000, times=10_000_000),
        "ResponseTooLarge|FirstTokenTimeout",
    ),
    "endless blank lines": (
        "ollama",
        lambda: stream(endless=b"\n" * 1000, times=10_000_000, kind=NDJSON),
        "FirstTokenTimeout",
    ),
    "endless empty objects": (
        "ollama",
        lambda: stream(endless=b"{}\n" * 1000, times=10_000_000, kind=NDJSON),
        "FirstTokenTimeout",
    ),
    "endless empty events": ("openai", lambda: stream(endless=b"data: {}\n\n", times=10_000_000), "FirstTokenTimeout"),
    "the same progress for ever": (
        "openai",
        lambda: stream(endless=PROGRESS * 1000, times=10_000),
        "FirstTokenTimeout",
    ),
    "huge arguments": ("openai", lambda: stream(endless=call("a" * 65_536), times=1024), "ResponseTooLarge"),
    "a million calls": ("openai", lambda: stream(*(call("{}", at) for at in range(10_000))), "ResponseTooLarge"),
    "a million choices": ("openai", lambda: stream(*(choice(at) for at in range(10_000))), "ResponseTooLarge"),
}


def test_a_hostile_server_costs_little_and_ends_in_one_of_our_errors() -> None:
    bomb()  # is made before anybody waits for it
    with ExitStack() as stack:
        places: dict[str, tuple[str, str, float]] = {}
        for name, (backend, answer, due) in HOSTILE.items():
            server = stack.enter_context(FakeServer(otherwise=lambda _, answer=answer: answer()))
            places[name] = (backend, server.base_url, 0.3 if "FirstTokenTimeout" in due else 3.0)
        arguments = [sys.executable, "-m", "tests.security.hostile", json.dumps(places)]
        done = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    kept = found.pop()["kept"]
    assert len(found) == 2 * len(HOSTILE)
    most, longest = (max(one[name] for one in found) for name in ("rss", "seconds"))
    print(f"most memory: {most} MiB, kept: {kept} MiB; longest: {longest} s")
    for one in found:
        due = HOSTILE[one["name"].rpartition(", ")[0]][2]
        assert re.fullmatch(due, one["error"]), one
        assert one["rss"] <= MOST_MEMORY, one
        assert one["seconds"] <= MOST_SECONDS, one
    assert kept <= MOST_MEMORY
