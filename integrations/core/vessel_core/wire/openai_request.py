"""What is asked of an OpenAI-compatible server: `/v1/chat/completions` and `/v1/embeddings`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vessel_core.errors import InvalidMedia, InvalidRequest
from vessel_core.media import data_url_parts
from vessel_core.merging import merged
from vessel_core.options import EmbedOptions
from vessel_core.types import ChatRequest, ContentPart, FunctionCall, Message, Tool
from vessel_core.wire import Call, Quirks
from vessel_core.wire.arguments import arguments_text
from vessel_core.wire.forcing import call_schema, forced_tools
from vessel_core.wire.options import embed_options, written
from vessel_core.wire.patterns import spelled_patterns
from vessel_core.wire.tool_choice import forced_tool


def encode_chat(request: ChatRequest, quirks: Quirks) -> Call:
    """Write `POST /v1/chat/completions`, streamed, with usage asked for. No `null` is sent: llama.cpp fails on some."""
    body: dict[str, Any] = {
        "messages": [_message(message, quirks) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.model is not None:
        body["model"] = request.model
    body.update(written(request.options, quirks.takes))
    if body.get("continue_final_message") and "add_generation_prompt" in quirks.takes:
        body.setdefault("add_generation_prompt", False)  # llama.cpp and vLLM refuse the one with the other
    if (reasoning := request.options.get("reasoning")) is not None:
        body.update(_reasoning_control(reasoning, quirks, request.options.get("chat_template_kwargs") or {}))
    _put_tools(body, request)
    if quirks.forced_by_schema is True and (forced := forced_tools(request)):
        # The tools stay in the prompt; what is written is bound by the schema (forcing.py).
        named = {"name": "call", "strict": True, "schema": spelled_patterns(call_schema(forced))}
        body |= {"tool_choice": "none", "response_format": {"type": "json_schema", "json_schema": named}}
    if request.response_format is not None:
        _put_response_format(body, request, quirks)
    if body.get("tools") and body.get("logprobs") and "samplers" in quirks.takes:
        body["stream"] = False  # llama.cpp has log probabilities beside tools only in a whole reply
        del body["stream_options"]
    return Call("POST", "/v1/chat/completions", merged(body, request.extra_body), stream=True)


def _message(message: Message, quirks: Quirks) -> dict[str, Any]:
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        content = [_part(part, quirks) for part in content]
    wire: dict[str, Any] = {"role": message["role"], "content": "" if content is None else content}
    if calls := message.get("tool_calls"):
        # `type` and a string id are needed: llama.cpp answers 500 without them (quirk 66).
        wire["tool_calls"] = [
            {"id": call["id"], "type": "function", "function": _function(call["function"])} for call in calls
        ]
    if (reasoning := message.get("reasoning")) and quirks.reasoning_field:
        wire[quirks.reasoning_field] = reasoning
    for name in ("name", "tool_call_id"):
        if value := message.get(name):
            wire[name] = value
    return wire


def _function(call: FunctionCall) -> dict[str, Any]:
    """Return a call of the history; no arguments are `{}`, since servers that parse them fail on an empty text."""
    return {"name": call["name"], "arguments": arguments_text(call["arguments"]).strip() or "{}"}


def _part(part: ContentPart, quirks: Quirks) -> ContentPart:
    """Return a part of a message, a picture only in a form that this server takes."""
    if part["type"] != "image_url":
        return part
    url = part["image_url"]["url"]
    if url.lower().startswith(("http://", "https://")):
        if quirks.image_urls is False:
            raise InvalidMedia(
                f"This server does not fetch images, and the message holds the URL {url[:100]!r}.",
                hint="Fetch the picture yourself and pass its bytes.",
            )
        return part
    kind, data = data_url_parts(url)
    if kind not in quirks.image_types:
        raise InvalidMedia(
            f"This server does not decode {kind or 'this image'}; it takes {', '.join(sorted(quirks.image_types))}.",
            hint="Convert the picture to PNG or JPEG.",
        )
    return {"type": "image_url", "image_url": {**part["image_url"], "url": f"data:{kind};base64,{data}"}}


def _reasoning_control(reasoning: bool | str, quirks: Quirks, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Switch thinking: by the template's own variable where the server hands it on, else by `reasoning_effort`."""
    if quirks.thinking == "template":
        on = reasoning not in (False, "none")
        control: dict[str, Any] = {"chat_template_kwargs": {**variables, "enable_thinking": on}}
        if isinstance(reasoning, str):
            control["reasoning_effort"] = reasoning
        return control
    if reasoning is True:
        return {"reasoning_effort": "medium"}
    return {"reasoning_effort": "none" if reasoning is False else reasoning}


def _put_tools(body: dict[str, Any], request: ChatRequest) -> None:
    """Put tools and choice into the body. The choice goes as a string: as an object llama.cpp takes it for `auto` and
    LM Studio refuses it. To force one tool, only that one is sent, and `required`."""
    if not request.tools:
        return
    tools: Sequence[Tool] = request.tools
    choice = request.tool_choice
    if (forced := forced_tool(tools, choice)) is not None:
        tools, choice = [forced], "required"
    body["tools"] = [{"type": "function", "function": spelled_patterns(tool["function"])} for tool in tools]
    if choice is not None:
        body["tool_choice"] = choice
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls


def _put_response_format(body: dict[str, Any], request: ChatRequest, quirks: Quirks) -> None:
    """Put the response format into the body, in the nested form only: llama.cpp lets any JSON through otherwise."""
    wanted = request.response_format
    if wanted is None or wanted["type"] == "text":
        return
    if request.tools and request.tool_choice != "none" and not quirks.schema_with_tools:
        raise InvalidRequest(
            "This server can't combine tools with a JSON response format: its grammar makes tool calls impossible.",
            hint="Ask for the structured answer in a call without tools, or as a tool itself.",
        )
    schema = wanted.get("json_schema")
    if schema is not None and "schema" in schema:
        schema = {**schema, "schema": spelled_patterns(schema["schema"])}
    if wanted["type"] == "json_schema" and schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": dict(schema)}
    elif quirks.json_object:
        form: dict[str, Any] = {"type": "json_object"}
        if schema is not None and quirks.json_object_schema:
            form["schema"] = schema["schema"]
        body["response_format"] = form
    else:
        named = schema or {"name": "json", "schema": {"type": "object"}}
        body["response_format"] = {"type": "json_schema", "json_schema": dict(named)}


def encode_embed(
    texts: Sequence[str],
    model: str | None,
    dimensions: int | None,
    options: EmbedOptions | None = None,
    quirks: Quirks = Quirks(),
) -> Call:
    """Write `POST /v1/embeddings`. Base64 is asked for: it is a quarter of the work to read."""
    body: dict[str, Any] = {"input": list(texts), "encoding_format": "base64"}
    if model is not None:
        body["model"] = model
    if dimensions is not None:
        body["dimensions"] = dimensions
    body.update(written(embed_options(options), quirks.takes))
    return Call("POST", "/v1/embeddings", {**body, **((options or {}).get("extra_body") or {})})
