"""The chunk that comes by the thousand: some text, and nothing else. It is told from all others at one look.

Whoever finds `""` here reads the chunk with care; so what is doubtful in any way is not plain. A fifth of the time of a
streamed token goes here, and half of it without.
"""

from __future__ import annotations

from typing import Any

from vessel_core.types import Delta


def openai_text(chunk: Any) -> str:
    """Return the text of a `/v1` chunk that holds nothing else, `""` for any other."""
    try:
        (choice,) = chunk["choices"]
        delta = choice["delta"]
        text = delta["content"]
        if type(text) is not str or choice.get("index") or choice.get("finish_reason") or choice.get("logprobs"):
            return ""
        get = chunk.get
        if get("usage") or get("timings") or get("prompt_progress") or "error" in chunk:
            return ""
    except (KeyError, TypeError, ValueError, AttributeError):
        return ""
    return text if len(delta) == 1 or (len(delta) == 2 and "role" in delta) else ""


def ollama_text(document: Any) -> str:
    """Return the text of an `/api/chat` line that holds nothing else, `""` for any other."""
    try:
        message = document["message"]
        text = message["content"]
        if type(text) is not str or document["done"] is not False or "error" in document or "logprobs" in document:
            return ""
    except (KeyError, TypeError):
        return ""
    return text if len(message) == 2 and "role" in message else ""


class Plain:
    """Makes deltas of plain texts: one each, or with `together` one of those that one network read holds."""

    __slots__ = ("_last", "together")

    def __init__(self, *, together: bool = False) -> None:
        self.together: bool = together
        self._last: Delta | None = None

    def say(self, text: str, deltas: list[Delta]) -> None:
        """Add a text to the deltas of one read."""
        last = self._last
        if last is not None and self.together and deltas and deltas[-1] is last:
            last.text += text
        else:
            self._last = last = Delta(text)
            deltas.append(last)
