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


TRIES = 8
"""How often to learn in vain what stands around a text: some servers write another time or id into each chunk."""


class Plain:
    """Makes deltas of plain texts: one each, or with `together` one of those that one network read holds.

    Chunks of one answer differ in nothing but their text, so what stands around it is learnt from one that was read as JSON;
    of those that follow only the text is looked at.
    """

    __slots__ = ("_after", "_before", "_last", "_tries", "together")

    def __init__(self, *, together: bool = False) -> None:
        self.together: bool = together
        self._last: Delta | None = None
        self._before = self._after = b""
        self._tries = TRIES

    def learn(self, payload: bytes, text: str) -> None:
        """Take what stands around the text of a `/v1` chunk. Where `content` stands only once, and nothing is escaped, that
        is its key, and the text follows as it is."""
        if not self._tries or b"\\" in payload or payload.count(b"content") > 1:
            return
        self._tries -= 1
        for key in (b'"content":"', b'"content": "'):
            before, _, rest = payload.partition(key)
            said = text.encode()
            if rest.startswith(said + b'"'):
                self._before, self._after = before + key, rest[len(said) :]

    def again(self, payload: bytes) -> str:
        """Return the text of a chunk that differs from the learnt one in nothing else, `""` for any other.

        A text without quotes and backslashes ends where the learnt one did. What JSON forbids in a text isn't printable.
        """
        before, after = self._before, self._after
        if not payload.startswith(before) or not payload.endswith(after):
            return ""
        try:
            text = payload[len(before) : -len(after)].decode()
        except UnicodeDecodeError:
            return ""
        if not text or '"' in text or "\\" in text or not text.isprintable():
            return ""
        self._tries = TRIES
        return text

    def say(self, text: str, deltas: list[Delta]) -> None:
        """Add a text to the deltas of one read."""
        last = self._last
        if last is not None and self.together and deltas and deltas[-1] is last:
            last.text += text
        else:
            self._last = last = Delta(text)
            deltas.append(last)
