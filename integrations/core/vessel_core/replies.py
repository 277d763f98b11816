"""What comes out: deltas, and the whole answer they add up to."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from vessel_core.messages import Message, ToolCall


@dataclass(slots=True)
class ToolCallDelta:
    """A piece of a tool call, repaired: `index` counts the calls of this reply from 0.

    The first piece of a call has its `id` and whole `name`; `arguments` are the next characters of the JSON text. A call
    that can't be run (cut off, not JSON, not an object) ends with a piece that has only `error`. `repaired` is the text as
    the model wrote it, on a piece whose arguments were mended.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    error: str | None = None
    repaired: str | None = None


@dataclass(slots=True)
class Usage:
    """Tokens counted by the server; `None` where it doesn't say. `prompt_tokens` includes the cached ones."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(slots=True)
class Timings:
    """How long the server took, in milliseconds, and over how many tokens; `None` where it doesn't say.

    `first_token_ms` is measured here, from sending the request to the first piece of the answer.
    """

    prompt_tokens: int | None = None
    prompt_ms: float | None = None
    completion_tokens: int | None = None
    completion_ms: float | None = None
    cached_tokens: int | None = None
    load_ms: float | None = None
    total_ms: float | None = None
    first_token_ms: float | None = None

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens written a second, or `None` if unknown."""
        return _rate(self.completion_tokens, self.completion_ms)

    @property
    def prompt_tokens_per_second(self) -> float | None:
        """Prompt tokens read a second, or `None` if unknown."""
        return _rate(self.prompt_tokens, self.prompt_ms)


def _rate(tokens: int | None, milliseconds: float | None) -> float | None:
    return tokens / milliseconds * 1000 if tokens is not None and milliseconds else None


@dataclass(slots=True)
class Progress:
    """How far something slow has come: `completed` of `total` in `unit` ("tokens" of the prompt, "bytes" of a download)."""

    status: str
    completed: int | None = None
    total: int | None = None
    unit: str = ""


@dataclass(slots=True)
class Delta:
    """A piece of an answer. Empty fields say nothing; `finish` comes once per choice, `usage` and `timings` at most once.

    `index` tells the choices of `n > 1` apart. `finish` is `stop`, `length`, `tool_calls` or what else the server said.
    `logprobs` is the list of token dicts of the OpenAI form. `model` is the model that really answers. `truncated` tells
    that the server cut the prompt to fit its context.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: Sequence[ToolCallDelta] = ()
    finish: str | None = None
    usage: Usage | None = None
    timings: Timings | None = None
    logprobs: Sequence[Mapping[str, Any]] | None = None
    model: str | None = None
    refusal: str = ""
    progress: Progress | None = None
    response_id: str | None = None
    system_fingerprint: str | None = None
    truncated: bool = False
    index: int = 0


@dataclass(slots=True)
class InvalidToolCall:
    """A tool call that must not be run, and why; `arguments` is the text as it came."""

    id: str
    name: str
    arguments: str
    error: str


@dataclass(slots=True)
class ChatReply:
    """A whole answer: the sum of its deltas. `alternatives` holds the other choices of `n > 1`.

    `repaired` holds, by the id of a call whose arguments were mended, the text as the model wrote it.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list[ToolCall])
    invalid_tool_calls: list[InvalidToolCall] = field(default_factory=list[InvalidToolCall])
    finish: str | None = None
    usage: Usage | None = None
    timings: Timings | None = None
    logprobs: list[Mapping[str, Any]] | None = None
    model: str | None = None
    refusal: str = ""
    response_id: str | None = None
    system_fingerprint: str | None = None
    truncated: bool = False
    repaired: dict[str, str] = field(default_factory=dict[str, str])
    alternatives: list[ChatReply] = field(default_factory=list["ChatReply"])

    @classmethod
    def gather(cls, deltas: Iterable[Delta]) -> ChatReply:
        """Add up the deltas of one stream."""
        gathering = Gathering()
        for delta in deltas:
            gathering.add(delta)
        return gathering.reply()

    @classmethod
    async def agather(cls, deltas: AsyncIterable[Delta]) -> ChatReply:
        """Add up the deltas of one stream, async."""
        gathering = Gathering()
        async for delta in deltas:
            gathering.add(delta)
        return gathering.reply()

    def message(self) -> Message:
        """Return this answer as the assistant's turn of the history, without the calls that can't be run."""
        message: Message = {"role": "assistant", "content": self.text}
        if self.reasoning:
            message["reasoning"] = self.reasoning
        if self.tool_calls:
            message["tool_calls"] = self.tool_calls
        return message


HEAD = ("model", "response_id", "system_fingerprint")
"""What comes once, with whichever choice is first, and is said of all."""


class Gathering:
    """Adds deltas up to a `ChatReply`, in time linear in the answer."""

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}

    def add(self, delta: Delta) -> None:
        """Take the next delta of the stream."""
        choice = self._choices.get(delta.index)
        if choice is None:
            choice = self._choices[delta.index] = _Choice()
        choice.add(delta)

    def reply(self) -> ChatReply:
        """Return what has been gathered so far."""
        replies = [self._choices[index].reply() for index in sorted(self._choices)] or [ChatReply()]
        replies[0].alternatives = replies[1:]
        for name in HEAD if len(replies) > 1 else ():
            said: str | None = next((value for reply in replies if (value := getattr(reply, name))), None)
            for reply in replies:
                setattr(reply, name, said)
        return replies[0]


class _Choice:
    """The pieces of one choice."""

    def __init__(self) -> None:
        self.text = StringIO()  # lists would keep an object for each token
        self.reasoning: StringIO | None = None
        self.refusal: StringIO | None = None
        self.calls: dict[int, _Call] = {}
        self.logprobs: list[Mapping[str, Any]] = []
        self.rest = ChatReply()

    def add(self, delta: Delta) -> None:
        if delta.text:
            self.text.write(delta.text)
        if delta.reasoning:
            if self.reasoning is None:
                self.reasoning = StringIO()
            self.reasoning.write(delta.reasoning)
        for piece in delta.tool_calls:
            call = self.calls.get(piece.index)
            if call is None:
                call = self.calls[piece.index] = _Call()
            call.add(piece)
        if delta.logprobs:
            self.logprobs.extend(delta.logprobs)
        if delta.refusal:
            if self.refusal is None:
                self.refusal = StringIO()
            self.refusal.write(delta.refusal)
        said = delta.finish or delta.usage or delta.timings or delta.model or delta.response_id
        if said or delta.truncated or delta.system_fingerprint:
            self._add_rest(delta)

    def _add_rest(self, delta: Delta) -> None:
        """Take what few deltas have."""
        rest = self.rest
        rest.truncated = rest.truncated or delta.truncated
        rest.finish = rest.finish or delta.finish
        rest.usage = delta.usage or rest.usage
        rest.timings = delta.timings or rest.timings
        rest.model = delta.model or rest.model
        rest.response_id = delta.response_id or rest.response_id
        rest.system_fingerprint = delta.system_fingerprint or rest.system_fingerprint

    def reply(self) -> ChatReply:
        reply = self.rest
        reply.text = self.text.getvalue()
        reply.reasoning = self.reasoning.getvalue() if self.reasoning else ""
        reply.refusal = self.refusal.getvalue() if self.refusal else ""
        reply.logprobs = self.logprobs or None
        calls = [self.calls[index] for index in sorted(self.calls)]
        reply.tool_calls = [call.valid() for call in calls if call.error is None]
        reply.invalid_tool_calls = [call.invalid(call.error) for call in calls if call.error is not None]
        reply.repaired = {call.id: call.repaired for call in calls if call.repaired is not None}
        return reply


class _Call:
    """The pieces of one tool call."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []
        self.error: str | None = None
        self.repaired: str | None = None

    def add(self, piece: ToolCallDelta) -> None:
        self.id = piece.id or self.id
        self.name = piece.name or self.name
        self.error = piece.error or self.error
        self.repaired = piece.repaired or self.repaired
        if piece.arguments:
            self.arguments.append(piece.arguments)

    def valid(self) -> ToolCall:
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": "".join(self.arguments)},
        }

    def invalid(self, error: str) -> InvalidToolCall:
        return InvalidToolCall(self.id, self.name, "".join(self.arguments), error)
