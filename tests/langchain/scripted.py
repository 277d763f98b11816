"""What a scripted server plays: the bytes of streamed chat answers, in OpenAI's form and in Ollama's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 5,
    "total_tokens": 16,
    "prompt_tokens_details": {"cached_tokens": 4},
}
TIMINGS = {"prompt_n": 11, "prompt_ms": 10.5, "predicted_n": 5, "predicted_ms": 50.25, "cache_n": 4}


def event(document: Mapping[str, Any]) -> bytes:
    """Return one server-sent event."""
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def piece(
    delta: Mapping[str, Any],
    finish: str | None = None,
    *,
    index: int = 0,
    model: str = "demo",
    logprobs: Mapping[str, Any] | None = None,
) -> bytes:
    """Return one chunk of a chat completion."""
    choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
    return event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": model, "choices": [choice]})


def ending(finish: str = "stop", *, usage: Mapping[str, Any] | None = USAGE, model: str = "demo") -> bytes:
    """Return the end of a stream: the finish reason, usage and timings, `[DONE]`."""
    last: dict[str, Any] = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": model, "choices": []}
    if usage is not None:
        last |= {"usage": usage, "timings": TIMINGS}
    return piece({}, finish, model=model) + event(last) + b"data: [DONE]\n\n"


def answer(*texts: str, finish: str = "stop", model: str = "demo") -> bytes:
    """Return a whole streamed answer of these pieces of text."""
    return b"".join(piece({"content": text}, model=model) for text in texts) + ending(finish, model=model)


def calling(*calls: tuple[str, str], text: str = "", thought: str = "", finish: str = "tool_calls") -> bytes:
    """Return an answer that thinks, says something and calls tools, each `(name, arguments)` in two pieces."""
    stream = piece({"reasoning_content": thought}) if thought else b""
    stream += piece({"content": text}) if text else b""
    for index, (name, arguments) in enumerate(calls):
        half = len(arguments) // 2
        function = {"name": name, "arguments": arguments[:half]}
        stream += piece(
            {"tool_calls": [{"index": index, "id": f"call-x{index}", "type": "function", "function": function}]}
        )
        stream += piece({"tool_calls": [{"index": index, "function": {"arguments": arguments[half:]}}]})
    return stream + ending(finish)


def ollama_lines(*messages: Mapping[str, Any], done: str = "stop") -> bytes:
    """Return Ollama's lines for these messages, and its last one."""
    stamp = {"model": "qwen3:8b", "created_at": "2026-08-21T10:00:00Z"}
    lines: list[Mapping[str, Any]] = [
        {**stamp, "message": {"role": "assistant", **each}, "done": False} for each in messages
    ]
    counts = {"prompt_eval_count": 11, "eval_count": 5, "prompt_eval_duration": 10_500_000, "eval_duration": 50_250_000}
    message = {"role": "assistant", "content": ""}
    lines.append({**stamp, "message": message, "done": True, "done_reason": done, **counts})
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def ollama_answer(texts: Sequence[str]) -> bytes:
    """Return an answer of Ollama in these pieces."""
    return ollama_lines(*({"content": text} for text in texts))
