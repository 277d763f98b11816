"""Tells reasoning from the answer where a server leaves `<think>…</think>` in the text (quirks 71 and 72)."""

from __future__ import annotations

from collections import defaultdict

from vessel_core.checking import is_bound
from vessel_core.types import ChatRequest, Delta
from vessel_core.wire import ReplyStream
from vessel_core.wire.holding import BLANKS, Held
from vessel_core.wire.quirks import Quirks
from vessel_core.wire.turning import TurningStream

CLOSERS = {"<think>": "</think>", "<thinking>": "</thinking>"}


class ThinkSplitter:
    """Splits text, however it is cut, into reasoning and answer.

    Only a tag at the very start of the answer counts: one in the middle is text somebody wrote. With `opened=True` the
    prompt's template already opened the tag, so the text up to the closer is reasoning. The line breaks around the
    thought are dropped. Once `passing` is true, `feed` hands everything on as it is.
    """

    def __init__(self, *, opened: bool = False) -> None:
        self.passing: bool = False
        self._held = ""
        self._breaks = 0  # line breaks in the thought, before what is held: dropped if it ends there
        self._closer = "</think>" if opened else ""
        self._may_open = opened  # a model may repeat what its template wrote, and a server may hand that on
        self._thought = False
        self._closed = False

    def feed(self, text: str) -> tuple[str, str]:
        """Return the `(reasoning, answer)` that `text` adds."""
        if self.passing:
            return "", text
        self._held += text
        if self._closed:
            return "", self._after()
        return self._inside() if self._closer else self._before()

    def close(self) -> tuple[str, str]:
        """Return what was held back: the rest of an unclosed thought is reasoning, half a tag is text."""
        held, self._held, self._breaks = "\n" * self._breaks + self._held, "", 0
        return (held, "") if self._closer and not self._closed else ("", held)

    def _before(self) -> tuple[str, str]:
        head = self._held.lstrip()
        for opener, closer in CLOSERS.items():
            if head.startswith(opener):
                self._closer, self._held = closer, head[len(opener) :]
                return self._inside()
            if opener.startswith(head) and len(self._held) < BLANKS:
                return "", ""
        self.passing = True
        held, self._held = self._held, ""
        return "", held

    def _inside(self) -> tuple[str, str]:
        if not self._thought:
            self._held = self._held.lstrip("\n")
            if self._may_open and self._held:
                if len(self._held) < len("<think>") and "<think>".startswith(self._held):
                    return "", ""
                self._may_open, self._held = False, self._held.removeprefix("<think>").lstrip("\n")
            self._thought = bool(self._held)
        reasoning, found, rest = self._held.partition(self._closer)
        if found:
            self._closed, self._held = True, rest
            reasoning, self._breaks = self._without_last_breaks(reasoning), 0
            return reasoning, self._after()
        end = len(self._held) - _overlap(self._held, self._closer)
        reasoning, self._held = self._held[:end], self._held[end:]
        return self._without_last_breaks(reasoning), ""

    def _without_last_breaks(self, reasoning: str) -> str:
        """Return what is surely part of the thought, and count the line breaks after it."""
        kept = reasoning.rstrip("\n")
        breaks = len(reasoning) - len(kept)
        if not kept:
            self._breaks += breaks
            return ""
        kept, self._breaks = "\n" * self._breaks + kept, breaks
        return kept

    def _after(self) -> str:
        text, self._held = self._held.lstrip("\n"), ""
        self.passing = bool(text)
        return text


def splitter(request: ChatRequest, quirks: Quirks) -> ThinkSplitter:
    """Return what tells the reasoning in the text of the reply to a request.

    Who asks for `reasoning_format="none"` wants it left there, but before JSON or a call it is no part of either.
    """
    thinks = request.options.get("reasoning") not in (False, "none")
    made = ThinkSplitter(opened=quirks.think_opened and thinks)
    left = request.options.get("reasoning_format") == "none" and not is_bound(request)
    made.passing = left or not (quirks.think_tags or quirks.think_opened)
    return made


class GrammarStream(TurningStream):
    """Reads an answer that is bound by a grammar. It binds all that is written, so that where a template opens the thought a
    server takes the answer for one: what was thought is held until a text follows, and is the text if none does."""

    def __init__(self, reply: ReplyStream) -> None:
        super().__init__(reply)
        self._held: defaultdict[int, Held] = defaultdict(Held)
        self._said: set[int] = set()

    def _turn(self, delta: Delta) -> None:
        if delta.index in self._said:
            return
        held = self._held[delta.index]
        held.add(delta.reasoning)
        delta.reasoning = ""
        if delta.text:
            self._said.add(delta.index)
            delta.reasoning = held.take()
        elif delta.finish:
            delta.text = held.take()


def _overlap(text: str, tag: str) -> int:
    """Return how many characters at the end of `text` could begin `tag`."""
    return next((size for size in range(min(len(text), len(tag) - 1), 0, -1) if tag.startswith(text[-size:])), 0)
