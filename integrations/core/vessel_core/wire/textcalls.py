"""Finds tool calls that were left in the text (quirk 64): in tags of four kinds, or as bare JSON.

What is found counts as a call only if it names a tool that was sent; anything else stays text, to the character.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vessel_core.types import ChatRequest, ToolCallDelta
from vessel_core.wire.holding import BLANKS, Held
from vessel_core.wire.jsontext import loads
from vessel_core.wire.quirks import Quirks
from vessel_core.wire.reading import mapping
from vessel_core.wire.tools import ToolCallAssembler

CLOSERS = {
    "<tool_call>": "</tool_call>",  # Hermes, Qwen
    "[TOOL_REQUEST]": "[END_TOOL_REQUEST]",  # LM Studio, for models without a form of their own
    "<|python_tag|>": "<|eom_id|>",  # Llama 3; the closer is a token that servers leave out
}


class TextCalls:
    """Splits text, however it is cut, into answer and calls. `names` are those of the tools; `bare` looks for JSON too."""

    def __init__(self, names: Sequence[str], *, bare: bool = True) -> None:
        self._names = frozenset(names)
        self._held = ""
        self._opener = ""
        self._later = Held()  # what came since, while only the end of it tells
        self._end = ""
        self._bare = bare
        self._found = 0
        self._blank = ""

    def feed(self, text: str) -> tuple[str, list[dict[str, Any]]]:
        """Return the answer that `text` adds, and the calls in the form of a delta's `tool_calls`."""
        if self._waits(text):
            self._later.add(text)
            return "", []
        self._held += self._later.take() + text
        answer: list[str] = []
        calls: list[dict[str, Any]] = []
        while self._step(answer, calls):
            pass
        return "".join(answer), calls

    def close(self) -> tuple[str, list[dict[str, Any]]]:
        """Return what was held back: a call without its closer, half a tag or JSON that is no call."""
        held, self._held = self._held + self._later.take(), ""
        calls = self._read(held.removeprefix(self._opener)) if self._opener or self._bare else []
        return ("" if calls else self._blank + held), calls

    def _waits(self, text: str) -> bool:
        """Tell whether nothing is to be done yet: a closer is still to come, or it may be JSON, of which only the end tells."""
        closer = CLOSERS.get(self._opener)
        if closer is None:
            return self._bare and self._held.lstrip().startswith(("{", "[{"))
        self._end = (self._end or self._held[-len(closer) :]) + text
        came = closer in self._end
        self._end = "" if came else self._end[-len(closer) :]
        return not came

    def _step(self, answer: list[str], calls: list[dict[str, Any]]) -> bool:
        """Take one part of what is held; tell whether there may be another."""
        if self._opener:
            return self._inside(answer, calls)
        if self._bare:
            head = self._held.lstrip()
            if (not head and len(self._held) < BLANKS) or head.startswith(("{", "[{")) or head == "[":
                return False  # it may be JSON; only the end tells
            self._bare = False
        return self._outside(answer)

    def _inside(self, answer: list[str], calls: list[dict[str, Any]]) -> bool:
        content, closer, rest = self._held.partition(CLOSERS[self._opener])
        if not closer:
            return False
        if found := self._read(content.removeprefix(self._opener)):
            calls += found
            self._blank = ""
        else:
            answer += [self._blank, content, closer]
        self._held, self._opener = rest, ""
        return bool(rest)

    def _outside(self, answer: list[str]) -> bool:
        """Hand on the text before a tag; blanks before and between calls are part of the tags."""
        starts = [(at, opener) for opener in CLOSERS if (at := self._held.find(opener)) >= 0]
        at, self._opener = min(starts, default=(len(self._held) - self._overlap(), ""))
        text, self._held = self._blank + self._held[:at], self._held[at:]
        kept = len(text.rstrip())
        kept = kept if len(text) - kept < BLANKS else len(text)
        self._blank = text[kept:]
        answer.append(text[:kept])
        return bool(self._opener)

    def _overlap(self) -> int:
        """Return how many characters at the end of what is held could begin a tag."""
        sizes = range(min(len(self._held), max(map(len, CLOSERS)) - 1), 0, -1)
        return next((size for size in sizes if any(tag.startswith(self._held[-size:]) for tag in CLOSERS)), 0)

    def _read(self, text: str) -> list[dict[str, Any]]:
        """Return the calls in a JSON object or a list of them; none if one is no call of a tool that was sent."""
        try:
            document = loads(text.strip())
        except ValueError:
            return []
        read = [self._call(mapping(item)) for item in (document if isinstance(document, list) else [document])]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        return [call for call in read if call] if all(read) else []

    def _call(self, fields: Any) -> dict[str, Any]:
        arguments = fields.get("arguments", fields.get("parameters", {}))
        if fields.get("name") not in self._names or not isinstance(arguments, dict):
            return {}
        self._found += 1
        return {"index": -self._found, "function": {"name": fields["name"], "arguments": arguments}}


def text_calls(request: ChatRequest, quirks: Quirks) -> TextCalls | None:
    """Return what finds calls in the text of a reply, if that was switched on and there are tools to call."""
    if not quirks.text_calls or not request.tools or request.tool_choice == "none":
        return None
    wants_json = request.response_format is not None and request.response_format["type"] != "text"
    return TextCalls([tool["function"]["name"] for tool in request.tools], bare=not wants_json)


def text_and_calls(texts: TextCalls, text: str, calls: ToolCallAssembler) -> tuple[str, list[ToolCallDelta]]:
    """Take the last text of a reply and its end; return the answer and the calls they add."""
    answer, found = texts.feed(text)
    rest, left = texts.close()
    return answer + rest, calls.feed([*found, *left])
