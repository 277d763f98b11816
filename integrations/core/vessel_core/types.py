"""The values that go in and come out: one request vocabulary, one reply vocabulary, whatever the server.

Requests use the OpenAI chat JSON, typed: a message is a dict with `role` and `content`, and a dialect rewrites it where its
server wants another form. Replies are `Delta`s; a whole reply is one delta per choice, so streamed and gathered answers
can't drift apart. All of them are imported from here; `messages` and `replies` hold those of a chat.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal, Self, cast

from vessel_core.harmless import harmless
from vessel_core.matrix import Matrix
from vessel_core.messages import AudioData as AudioData
from vessel_core.messages import AudioPart as AudioPart
from vessel_core.messages import ChatRequest as ChatRequest
from vessel_core.messages import ContentPart as ContentPart
from vessel_core.messages import FunctionCall as FunctionCall
from vessel_core.messages import FunctionSpec as FunctionSpec
from vessel_core.messages import ImagePart as ImagePart
from vessel_core.messages import ImageURL as ImageURL
from vessel_core.messages import JSONSchema as JSONSchema
from vessel_core.messages import Message as Message
from vessel_core.messages import ResponseFormat as ResponseFormat
from vessel_core.messages import TextPart as TextPart
from vessel_core.messages import Tool as Tool
from vessel_core.messages import ToolCall as ToolCall
from vessel_core.options import Bias as Bias
from vessel_core.options import ChatOptions as ChatOptions
from vessel_core.options import Reasoning as Reasoning
from vessel_core.replies import ChatReply as ChatReply
from vessel_core.replies import Delta as Delta
from vessel_core.replies import Gathering as Gathering
from vessel_core.replies import InvalidToolCall as InvalidToolCall
from vessel_core.replies import Progress as Progress
from vessel_core.replies import Timings as Timings
from vessel_core.replies import ToolCallDelta as ToolCallDelta
from vessel_core.replies import Usage as Usage

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray


@dataclass(slots=True)
class Embeddings:
    """Vectors in the order of the inputs: `vectors[i]` is a list of floats for input `i`, `array()` a numpy matrix of all.

    `rows` are as they came: one piece of memory, float32 or doubles, until `vectors` is first asked for.
    """

    rows: Sequence[Sequence[float]]
    model: str | None = None
    usage: Usage | None = None

    @property
    def vectors(self) -> list[list[float]]:
        """The vectors as lists of floats."""
        if not all(isinstance(row, list) for row in self.rows):
            self.rows = rows = list(self.rows)
            for at, row in enumerate(rows):  # one by one: the arrays go as the lists come
                rows[at] = row.tolist() if isinstance(row, array) else list(row)
        return cast("list[list[float]]", self.rows)

    def array(self) -> NDArray[float32]:
        """Return the vectors as the rows of one float32 matrix; needs numpy.

        Vectors that came as float32 are in this very memory: whoever changes the matrix changes them. Of lists it is made anew.
        """
        import numpy as np

        if isinstance(self.rows, Matrix):
            numbers = np.frombuffer(self.rows.numbers, self.rows.numbers.typecode)
            return numbers.reshape(len(self.rows), self.rows.width).astype(np.float32, copy=False)
        if not self.rows:
            return np.empty((0, 0), np.float32)
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


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model on a server can do: `True`, `False`, or `None` where the server doesn't say.

    A feature that is `False` is refused before sending; one that is `None` is sent, and the server answers.
    `image_urls` tells whether the server itself fetches http(s) images, `system_role` whether the chat template shows system
    messages, `late_system` whether it takes them behind other turns, `repeated_roles` two turns of one role in a row.
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
    late_system: bool | None = None


ModelKind = Literal["chat", "embedding", "rerank"]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model a server offers. Sizes are in bytes, lengths in tokens; `None` where the server doesn't say.

    `context_length` is what is really allocated for one conversation, `max_context_length` what the model could take.
    `state` is `loaded`, `unloaded`, `loading` or `sleeping`. `slots` is how many requests it works on at once.
    `vocabulary` is the number of its tokens; `digest` stands for the whole model (Ollama).
    """

    id: str
    kind: ModelKind | None = None
    state: str | None = None
    context_length: int | None = None
    max_context_length: int | None = None
    embedding_length: int | None = None
    slots: int | None = None
    size: int | None = None
    parameters: str | None = None
    quantization: str | None = None
    family: str | None = None
    vocabulary: int | None = None
    digest: str | None = None
    capabilities: Capabilities = field(default_factory=Capabilities)

    def _repr_html_(self) -> str:
        from vessel_core.shown import models_html

        return models_html([self])


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

    def _repr_html_(self) -> str:
        from vessel_core.shown import servers_html

        return servers_html([self])

    def __repr__(self) -> str:
        if not self.connected:
            return harmless(f"ServerInfo({self.backend} at {self.base_url}: {self.error})")
        version = f" {self.version}" if self.version else ""
        models = ", ".join(model.id for model in self.models) or "no models"
        return harmless(f"ServerInfo({self.backend}{version} at {self.base_url}: {models})")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a reply is taken in, in bytes: of one `line` or event of a stream; of a `document`, such as a list of
    models, to which what was sent adds twice its size, and each vector 128 KiB; of a whole `body` of any kind; of
    the `answer` that a stream makes, in memory, where a single emoji makes each character of its text take four.

    What is longer is `ResponseTooLarge`, as soon as it is.
    """

    line: int = 2 * 1024 * 1024
    document: int = 4 * 1024 * 1024
    body: int = 256 * 1024 * 1024
    answer: int = 4 * 1024 * 1024


LONGEST = 7 * 24 * 3600.0
"""Seconds that are waited for at most: systems don't count much further, each to its own number."""


def time_limit(seconds: float | None) -> float | None:
    """Return how long to wait; `None`, which is for ever, for `math.inf` and for more than a week."""
    return None if isinstance(seconds, int | float) and seconds > LONGEST else seconds


class Usual(float):
    """Seconds that nobody gave: a number as any other, for which a call takes what its client has."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Timeout:
    """How long to wait, in seconds; `None` waits for ever, and so do `math.inf` and more than a week, which become `None`.

    Given for a call it changes what it was given and leaves the rest as the client has it: `Timeout(first_token=5)` bounds
    the wait for the answer alone.

    `first_token` runs from sending to the first token of an answer (a local model may think about a long prompt for
    minutes), and anew whenever a server that was asked for it tells that it has read more of the prompt; `between_tokens` is
    the longest silence after that; `load` bounds the wait for a model that is loading; `request` bounds everything that isn't
    a generation.
    """

    connect: float | None = Usual(3.0)
    first_token: float | None = Usual(600.0)
    between_tokens: float | None = Usual(60.0)
    load: float | None = Usual(300.0)
    request: float | None = Usual(120.0)

    def __post_init__(self) -> None:
        for each in fields(self):
            object.__setattr__(self, each.name, time_limit(getattr(self, each.name)))
