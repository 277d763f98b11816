"""What goes in: the OpenAI chat JSON, typed. A dialect rewrites it where its server wants another form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Literal, Required

from typing_extensions import TypedDict

from vessel_core.options import ChatOptions
from vessel_core.records import record


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


@record
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
