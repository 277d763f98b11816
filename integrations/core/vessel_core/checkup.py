"""What a server really can do, proven by tiny live requests: `vessel doctor` and notebooks show it."""

from __future__ import annotations

import logging
import struct
import time
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from vessel_core.client import Client
from vessel_core.errors import BadRequest, ResponseError, Unsupported, VesselError
from vessel_core.media import image_part
from vessel_core.types import ChatReply, Message, ResponseFormat, Tool

MAX_TOKENS = 96

WEATHER: Tool = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
FREE = "Hello, I am in Paris."
"""Calls for no tool, and holds what the tool needs."""

_ANSWER: ResponseFormat = {
    "type": "json_schema",
    "json_schema": {
        "name": "answer",
        "schema": {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]},
    },
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing tried: `works` is `True`, `False`, or `None` where the answer proves neither; times in milliseconds."""

    name: str
    works: bool | None
    detail: str
    milliseconds: float
    tokens_per_second: float | None = None

    @property
    def mark(self) -> str:
        """A sign for `works`."""
        return {True: "✓", False: "✗", None: "?"}[self.works]

    def to_dict(self) -> dict[str, Any]:
        """Return the check as JSON takes it."""
        return asdict(self)


def red_square(size: int = 64) -> bytes:
    """Return a PNG of a red square."""
    rows = b"".join(b"\x00" + b"\xff\x00\x00" * size for _ in range(size))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def checkup(client: Client) -> Iterator[Check]:
    """Try everything, one after the other, and yield each result as it is known. A check never raises and logs nothing."""
    for name, attempt in _ATTEMPTS.items():
        started = time.perf_counter()
        try:
            with _unlogged():
                works, detail, speed = attempt(client)
        except (Unsupported, BadRequest) as error:
            works, detail, speed = False, error.message, None
        except ResponseError as error:
            works, detail, speed = (False if error.status_code in (500, 501) else None), error.message, None
        except VesselError as error:
            works, detail, speed = None, error.message, None
        yield Check(name, works, detail, (time.perf_counter() - started) * 1000, speed)


@contextmanager
def _unlogged() -> Generator[None]:
    """Drop what the core logs meanwhile: the result says it better."""

    def dropped(_: logging.LogRecord) -> bool:
        return False

    logger = logging.getLogger("vessel_core")
    logger.addFilter(dropped)
    try:
        yield
    finally:
        logger.removeFilter(dropped)


Verdict = tuple[bool | None, str, float | None]


def _ask(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def _speed(reply: ChatReply) -> float | None:
    return reply.timings.tokens_per_second if reply.timings else None


def _stream(client: Client) -> Verdict:
    reply = client.chat(_ask("Say hello."), max_tokens=MAX_TOKENS)
    first = reply.timings.first_token_ms if reply.timings else None
    said = f"first token after {first:.0f} ms" if first else f"{len(reply.text)} characters"
    return bool(reply.text or reply.reasoning), f"{reply.model or 'the model'}: {said}", _speed(reply)


def _tools(client: Client) -> Verdict:
    question = _ask("What is the weather in Paris? Use the tool.")
    reply = client.chat(question, tools=[WEATHER], max_tokens=4 * MAX_TOKENS)
    if reply.tool_calls:
        return True, "called " + _call(reply), _speed(reply)
    if reply.invalid_tool_calls:
        return None, f"an incomplete call: {reply.invalid_tool_calls[0].error}", _speed(reply)
    return None, "answered in words instead", _speed(reply)


def _forced(client: Client) -> Verdict:
    reply = client.chat(_ask(FREE), tools=[WEATHER], tool_choice="get_weather", max_tokens=4 * MAX_TOKENS)
    return bool(reply.tool_calls), "called " + _call(reply) if reply.tool_calls else "no call came", _speed(reply)


def _call(reply: ChatReply) -> str:
    function = reply.tool_calls[0]["function"]
    return f"{function['name']}({function['arguments']})"


def _schema(client: Client) -> Verdict:
    reply = client.chat(_ask("Is water wet?"), response_format=_ANSWER, max_tokens=4 * MAX_TOKENS)
    return bool(reply.text), reply.text[:80] or "no text", _speed(reply)  # what doesn't fit was raised


def _vision(client: Client) -> Verdict:
    parts = [image_part(red_square())]
    text = "What colour is this picture? One word."
    question: list[Message] = [{"role": "user", "content": [{"type": "text", "text": text}, *parts]}]
    reply = client.chat(question, max_tokens=MAX_TOKENS)
    return ("red" in reply.text.lower()) or None, f"a red square: {reply.text.strip()[:60]!r}", _speed(reply)


def _reasoning(client: Client) -> Verdict:
    reply = client.chat(_ask("Think: what is 2 + 2?"), reasoning=True, max_tokens=4 * MAX_TOKENS)
    said = f"{len(reply.reasoning)} characters of thought" if reply.reasoning else "no thoughts came"
    return bool(reply.reasoning) or None, said, _speed(reply)


def _embeddings(client: Client) -> Verdict:
    vectors = client.embed(["a fox", "a dog"]).vectors
    return True, f"{len(vectors[0])} dimensions", None


def _rerank(client: Client) -> Verdict:
    best = client.rerank("fox", ["a red fox", "a blue car"])[0]
    return True, f"best is {best.index} with {best.score:.3g}", None


def _count(client: Client) -> Verdict:
    count = client.count_chat_tokens(_ask("Hello."))
    return count.exact, f"{count} tokens" if count.exact else "estimated: the server does not count over HTTP", None


_ATTEMPTS: dict[str, Callable[[Client], Verdict]] = {
    "stream": _stream,
    "tools": _tools,
    "forced tool": _forced,
    "schema": _schema,
    "vision": _vision,
    "reasoning": _reasoning,
    "embeddings": _embeddings,
    "rerank": _rerank,
    "count tokens": _count,
}
