"""The bytes that servers send, event by event: llama.cpp's server-sent events, Ollama's lines, embeddings of both."""

from __future__ import annotations

import base64
import json
import random
import struct
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

WORDS = (" the", " quick", " brown", " fox", " jumps", " over", " a", " lazy", " dog", ",")


def words(tokens: int) -> list[str]:
    """Return the tokens of an answer."""
    return [WORDS[at % len(WORDS)] for at in range(tokens)]


def arguments(size: int) -> str:
    """Return the JSON text of a call's arguments, about `size` characters long."""
    return json.dumps({"path": "notes.txt", "text": ("a line of text " * (size // 15))[: max(0, size - 40)]})


def _line(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _llamacpp_event(delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choices = [] if "usage" in more else [{"finish_reason": finish, "index": 0, "delta": delta}]
    document = {
        "choices": choices,
        "created": 1795392814,
        "id": "chatcmpl-dlrbTijMBSPOMYZcUA8GO9WHednzOdg8",
        "model": "plain.gguf",
        "system_fingerprint": "b1-0c1e570",
        "object": "chat.completion.chunk",
        **more,
    }
    return b"data: " + _line(document) + b"\n\n"


def _llamacpp(deltas: Sequence[Mapping[str, Any]], finish: str) -> list[bytes]:
    count = len(deltas)
    usage = {
        "completion_tokens": count,
        "prompt_tokens": 98,
        "total_tokens": 98 + count,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    timings = {"cache_n": 0, "prompt_n": 98, "prompt_ms": 8.332, "predicted_n": count, "predicted_ms": 1.896}
    return [
        _llamacpp_event({"role": "assistant", "content": None}),
        *(_llamacpp_event(delta) for delta in deltas),
        _llamacpp_event({}, finish),
        _llamacpp_event({}, usage=usage, timings=timings),
        b"data: [DONE]\n\n",
    ]


def llamacpp_text(tokens: int) -> list[bytes]:
    """Return the events of a text answer."""
    return _llamacpp([{"content": word} for word in words(tokens)], "stop")


def llamacpp_tool(size: int) -> list[bytes]:
    """Return the events of one tool call whose arguments come two characters at a time."""
    text = arguments(size)
    function = {"name": "write", "arguments": ""}
    head = {"index": 0, "id": "zvNmAUqRqUKpVbV0R3fyZDZVRRyIchgP", "type": "function", "function": function}
    pieces = [{"index": 0, "function": {"arguments": text[at : at + 2]}} for at in range(0, len(text), 2)]
    return _llamacpp([{"tool_calls": [piece]} for piece in [head, *pieces]], "tool_calls")


def llamacpp_whole(tokens: int) -> bytes:
    """Return a text answer that was not streamed."""
    message = {"role": "assistant", "content": "".join(words(tokens))}
    usage = {"completion_tokens": tokens, "prompt_tokens": 98, "total_tokens": 98 + tokens}
    choice = {"finish_reason": "stop", "index": 0, "message": message}
    about = {"created": 1795392814, "id": "chatcmpl-1", "model": "plain.gguf", "object": "chat.completion"}
    return _line({"choices": [choice], **about, "system_fingerprint": "b1-0c1e570", "usage": usage})


def ollama_text(tokens: int) -> list[bytes]:
    """Return the lines of a text answer."""
    head = {"model": "plain", "created_at": "2026-08-21T10:00:00.123456Z"}
    end = {
        "done": True,
        "done_reason": "stop",
        "total_duration": 182242375,
        "load_duration": 41295167,
        "prompt_eval_count": 98,
        "prompt_eval_duration": 24573166,
        "eval_count": tokens,
        "eval_duration": 115959084,
    }
    said = [{**head, "message": {"role": "assistant", "content": word}, "done": False} for word in words(tokens)]
    return [_line(each) + b"\n" for each in [*said, {**head, "message": {"role": "assistant", "content": ""}, **end}]]


def _vector(row: int, dimensions: int) -> list[float]:
    """Return a vector of float32 numbers; a hundred of them are enough to be unlike each other."""
    chance = random.Random(row % 100)
    return list(array("f", [chance.uniform(-1, 1) for _ in range(dimensions)]))


def _floats(vector: Sequence[float]) -> bytes:
    return b"[" + b",".join(b"%.9g" % value for value in vector) + b"]"


def embeddings(count: int, dimensions: int, form: str) -> bytes:
    """Return the reply to an embedding request: `form` is `float` or `base64` (`/v1`), or `ollama`."""
    vectors = [_vector(row, dimensions) for row in range(count)]
    if form == "ollama":
        rows = b",".join(_floats(vector) for vector in vectors)
        return b'{"model":"plain","embeddings":[' + rows + b'],"total_duration":14143917,"prompt_eval_count":8}'
    written = [_floats(vector) if form == "float" else _base64(vector) for vector in vectors]
    items = b",".join(
        b'{"embedding":' + vector + b',"index":%d,"object":"embedding"}' % at for at, vector in enumerate(written)
    )
    usage = b'"usage":{"prompt_tokens":8,"total_tokens":8}'
    return b'{"model":"plain.gguf","object":"list",' + usage + b',"data":[' + items + b"]}"


def _base64(vector: Sequence[float]) -> bytes:
    return b'"' + base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)) + b'"'
