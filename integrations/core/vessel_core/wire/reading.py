"""Reads values out of JSON that may be of any shape: a field of the wrong type says nothing and breaks nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

from vessel_core.types import Timings, Usage


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a JSON object, an empty one for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def beginning(text: str, most: int = 200) -> str:
    """Return how a text begins, quoted; `…` stands for what is left out."""
    return repr(text if len(text) <= most else f"{text[:most]}…")


def ending(text: str, most: int = 80) -> str:
    """Return how a text ends, quoted; `…` stands for what is left out."""
    return repr(text if len(text) <= most else f"…{text[-most:]}")


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """Return the objects in a JSON list."""
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]


def number(value: Any) -> float | None:
    """Return a finite number, `None` for anything else."""
    if type(value) not in (int, float):  # a bool is an int to `isinstance`
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # an integer beyond the floats
        return None


def count(value: Any) -> int | None:
    """Return a count of tokens, `None` for anything that isn't one."""
    found = number(value)
    return int(found) if found is not None and found >= 0 else None


def place(value: Any) -> int | None:
    """Return an index, which some gateways write as a text, or as 1.0; `None` for anything else."""
    if isinstance(value, str) and len(value) < 10 and value.isdecimal():
        return int(value)
    if type(value) is float and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def string(value: Any) -> str | None:
    """Return a text that says something, `None` for anything else."""
    return value if isinstance(value, str) and value else None


def text_of(content: Any) -> str:
    """Return the text of a content field: a string, `None`, or a list of parts (quirk 44)."""
    if isinstance(content, str):
        return content
    if not content:
        return ""
    return "".join(string(part.get("text")) or "" for part in mappings(content))


def reasoning_of(message: Mapping[str, Any]) -> str:
    """Return the reasoning under whatever name it comes; two names with the same text count once (quirks 70, 74)."""
    for name in ("reasoning_content", "reasoning", "thinking", "reasoning_details"):
        value = message.get(name)
        if not value:  # each token of an answer comes by here
            continue
        if isinstance(value, dict):
            fields = mapping(cast("object", value))
            value = fields.get("text") or fields.get("content")
        if text := text_of(value) or "".join(string(part.get("summary")) or "" for part in mappings(value)):
            return text
    return ""


def decode_usage(usage: Any) -> Usage | None:
    """Read OpenAI's `usage`; missing counts are 0. A field that isn't one is no usage, nor are zeros only (quirk 43)."""
    if not isinstance(usage, dict):
        return None
    fields = mapping(cast("object", usage))
    prompt = count(fields.get("prompt_tokens")) or 0
    completion = count(fields.get("completion_tokens")) or 0
    if not (prompt or completion or count(fields.get("total_tokens"))):
        return None
    return Usage(
        prompt,
        completion,
        count(fields.get("total_tokens")) or prompt + completion,
        count(mapping(fields.get("prompt_tokens_details")).get("cached_tokens")),
        count(mapping(fields.get("completion_tokens_details")).get("reasoning_tokens")),
    )


def decode_timings(timings: Any) -> Timings | None:
    """Read llama.cpp's `timings`."""
    if not isinstance(timings, dict):
        return None
    fields = mapping(cast("object", timings))
    return Timings(
        prompt_tokens=count(fields.get("prompt_n")),
        prompt_ms=number(fields.get("prompt_ms")),
        completion_tokens=count(fields.get("predicted_n")),
        completion_ms=number(fields.get("predicted_ms")),
        cached_tokens=count(fields.get("cache_n")),
    )


def ollama_usage(fields: Mapping[str, Any]) -> Usage | None:
    """Read Ollama's counts; zeros are left out, so one that is missing beside the other is 0 (quirk 43)."""
    prompt, completion = count(fields.get("prompt_eval_count")), count(fields.get("eval_count"))
    if prompt is None and completion is None:
        return None
    return Usage(prompt or 0, completion or 0, (prompt or 0) + (completion or 0))


def ollama_timings(fields: Mapping[str, Any]) -> Timings | None:
    """Read Ollama's durations, nanoseconds there; zeros are left out."""
    timings = Timings(
        prompt_tokens=count(fields.get("prompt_eval_count")),
        prompt_ms=_milliseconds(fields.get("prompt_eval_duration")),
        completion_tokens=count(fields.get("eval_count")),
        completion_ms=_milliseconds(fields.get("eval_duration")),
        load_ms=_milliseconds(fields.get("load_duration")),
        total_ms=_milliseconds(fields.get("total_duration")),
    )
    return timings if timings != Timings() else None


def _milliseconds(nanoseconds: Any) -> float | None:
    found = number(nanoseconds)
    return found / 1_000_000 if found else None
