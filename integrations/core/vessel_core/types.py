"""The values that go in and come out: one request vocabulary, one reply vocabulary, whatever the server.

Requests use the OpenAI chat JSON, typed: a message is a dict with `role` and `content`, and a dialect rewrites it where its
server wants another form. Replies are `Delta`s; a whole reply is one delta per choice, so streamed and gathered answers
can't drift apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Required, Self, cast

from typing_extensions import TypedDict

from vessel_core.options import ChatOptions as ChatOptions
from vessel_core.options import Reasoning as Reasoning

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

# ------------------------------------------------------------ messages


class TextPart(TypedDict):
    """A piece of text inside a message."""

    type: Literal["text"]
    text: str


class ImageURL(TypedDict, total=False):
    """Where an image is: an http(s) URL or a `data:` URL."""

    url: Required[str]
    detail: Literal["auto", "low", "high"]


class ImagePart(TypedDict):
    """An image inside a message; `vessel_core.image_part` makes one from bytes, a path object or base64."""

    type: Literal["image_url"]
    image_url: ImageURL


class AudioData(TypedDict):
    """Base64 audio and its container, `wav` or `mp3`."""

    data: str
    format: str


class AudioPart(TypedDict):
    """Audio inside a message."""

    type: Literal["input_audio"]
    input_audio: AudioData


ContentPart = TextPart | ImagePart | AudioPart


class FunctionCall(TypedDict):
    """The function a model calls; `arguments` is JSON text."""

    name: str
    arguments: str


class ToolCall(TypedDict):
    """A tool call as it travels in the history."""

    id: str
    type: Literal["function"]
    function: FunctionCall


class Message(TypedDict, total=False):
    """One turn of a conversation.

    `reasoning` is what the assistant thought before it answered; each dialect writes it into the field its server reads.
    A tool's result has `role: "tool"`, the `tool_call_id` it answers and, where known, the tool's `name`.
    """

    role: Required[Literal["system", "user", "assistant", "tool"]]
    content: str | Sequence[ContentPart] | None
    name: str
    reasoning: str
    tool_calls: Sequence[ToolCall]
    tool_call_id: str


class FunctionSpec(TypedDict, total=False):
    """A function a model may call; `parameters` is a JSON schema."""

    name: Required[str]
    description: str
    parameters: Mapping[str, Any]
    strict: bool


class Tool(TypedDict):
    """A tool a model may call."""

    type: Literal["function"]
    function: FunctionSpec


class JSONSchema(TypedDict, total=False):
    """A named JSON schema."""

    name: Required[str]
    schema: Required[Mapping[str, Any]]
    strict: bool


class ResponseFormat(TypedDict, total=False):
    """The form of the answer: `text`, any `json_object`, or JSON that fits a `json_schema`."""

    type: Required[Literal["text", "json_object", "json_schema"]]
    json_schema: JSONSchema


# ------------------------------------------------------------ requests


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A chat completion request, checked (see `vessel_core.request`).

    `tool_choice` is `"auto"`, `"none"`, `"required"` or the name of one of `tools`. `extra_body` is merged into the JSON
    body as it is, after everything else. `context_length` is how many tokens the server has allocated, where that is known.
    """

    messages: Sequence[Message]
    model: str | None = None
    tools: Sequence[Tool] = ()
    tool_choice: str | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    options: ChatOptions = field(default_factory=ChatOptions)
    extra_body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    context_length: int | None = None


# ------------------------------------------------------------ replies


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

    def message(self) -> Message:
        """Return this answer as the assistant's turn of the history, without the calls that can't be run."""
        message: Message = {"role": "assistant", "content": self.text}
        if self.reasoning:
            message["reasoning"] = self.reasoning
        if self.tool_calls:
            message["tool_calls"] = self.tool_calls
        return message


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
        return replies[0]


class _Choice:
    """The pieces of one choice."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: dict[int, _Call] = {}
        self.logprobs: list[Mapping[str, Any]] = []
        self.rest = ChatReply()

    def add(self, delta: Delta) -> None:
        if delta.text:
            self.text.append(delta.text)
        if delta.reasoning:
            self.reasoning.append(delta.reasoning)
        for piece in delta.tool_calls:
            call = self.calls.get(piece.index)
            if call is None:
                call = self.calls[piece.index] = _Call()
            call.add(piece)
        if delta.logprobs:
            self.logprobs.extend(delta.logprobs)
        said = delta.finish or delta.usage or delta.timings or delta.model or delta.response_id or delta.refusal
        if said or delta.truncated or delta.system_fingerprint:
            self._add_rest(delta)

    def _add_rest(self, delta: Delta) -> None:
        """Take what few deltas have."""
        rest = self.rest
        rest.refusal += delta.refusal
        rest.truncated = rest.truncated or delta.truncated
        rest.finish = rest.finish or delta.finish
        rest.usage = delta.usage or rest.usage
        rest.timings = delta.timings or rest.timings
        rest.model = delta.model or rest.model
        rest.response_id = delta.response_id or rest.response_id
        rest.system_fingerprint = delta.system_fingerprint or rest.system_fingerprint

    def reply(self) -> ChatReply:
        reply = self.rest
        reply.text = "".join(self.text)
        reply.reasoning = "".join(self.reasoning)
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


@dataclass(slots=True)
class Embeddings:
    """Vectors in the order of the inputs: `vectors[i]` is a list of floats for input `i`, `array()` a numpy matrix of all.

    `rows` are as they came: lists, or float32 arrays of a sixth of their size until `vectors` is first asked for.
    """

    rows: Sequence[Sequence[float]]
    model: str | None = None
    usage: Usage | None = None

    @property
    def vectors(self) -> list[list[float]]:
        """The vectors as lists of floats."""
        if not all(isinstance(row, list) for row in self.rows):
            self.rows = [list(row) for row in self.rows]
        return cast("list[list[float]]", self.rows)

    def array(self) -> NDArray[float32]:
        """Return the vectors as the rows of one float32 matrix; needs numpy."""
        import numpy as np

        return np.array([np.asarray(row, np.float32) for row in self.rows], np.float32)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A document's place in a ranking: its index in the list that was given, and the server's score."""

    index: int
    score: float


class TokenCount(int):
    """A number of tokens; `exact` tells whether the server's own tokenizer counted them, or they were estimated."""

    exact: bool

    def __new__(cls, tokens: int, *, exact: bool = True) -> Self:
        """Return the count."""
        count = super().__new__(cls, tokens)
        count.exact = exact
        return count

    def __repr__(self) -> str:
        return str(int(self)) if self.exact else f"~{int(self)}"


# ------------------------------------------------------------ servers and models


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model on a server can do: `True`, `False`, or `None` where the server doesn't say.

    A feature that is `False` is refused before sending; one that is `None` is sent, and the server answers.
    `image_urls` tells whether the server itself fetches http(s) images, `system_role` whether the chat template shows system
    messages, `repeated_roles` whether it takes two turns of one role in a row.
    """

    chat: bool | None = None
    tools: bool | None = None
    parallel_tool_calls: bool | None = None
    structured_output: bool | None = None
    grammar: bool | None = None
    vision: bool | None = None
    image_urls: bool | None = None
    audio: bool | None = None
    reasoning: bool | None = None
    embeddings: bool | None = None
    rerank: bool | None = None
    infill: bool | None = None
    count_tokens: bool | None = None
    system_role: bool | None = None
    repeated_roles: bool | None = None


ModelKind = Literal["chat", "embedding", "rerank"]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model a server offers. Sizes are in bytes, lengths in tokens; `None` where the server doesn't say.

    `context_length` is what is really allocated for one conversation, `max_context_length` what the model could take.
    `state` is `loaded`, `unloaded`, `loading` or `sleeping`.
    """

    id: str
    kind: ModelKind | None = None
    state: str | None = None
    context_length: int | None = None
    max_context_length: int | None = None
    embedding_length: int | None = None
    size: int | None = None
    parameters: str | None = None
    quantization: str | None = None
    family: str | None = None
    capabilities: Capabilities = field(default_factory=Capabilities)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """A server as it is now: connected with its version and models, or not, with the error's text.

    `source` is the environment variable that named it, `None` for a default address or one given in code.
    """

    backend: str
    base_url: str
    connected: bool
    version: str | None = None
    models: tuple[ModelInfo, ...] = ()
    error: str | None = None
    source: str | None = None

    @property
    def available(self) -> bool:
        """Whether the server answers, as `connected`."""
        return self.connected

    def __repr__(self) -> str:
        if not self.connected:
            return f"ServerInfo({self.backend} at {self.base_url}: {self.error})"
        version = f" {self.version}" if self.version else ""
        return f"ServerInfo({self.backend}{version} at {self.base_url}: {', '.join(m.id for m in self.models) or 'no models'})"


@dataclass(frozen=True, slots=True)
class Timeout:
    """How long to wait, in seconds; `None` waits for ever.

    `first_token` runs from sending to the first byte of an answer (a local model may think about a long prompt for
    minutes); `between_tokens` is the longest silence after that; `load` bounds the wait for a model that is loading;
    `request` bounds everything that isn't a generation.
    """

    connect: float | None = 3.0
    first_token: float | None = 600.0
    between_tokens: float | None = 60.0
    load: float | None = 300.0
    request: float | None = 120.0
