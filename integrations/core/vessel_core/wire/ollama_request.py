"""What is asked of Ollama: `/api/chat` and `/api/embed`.

Facts without another source are from Ollama's own source and docs of August 2026.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from vessel_core.errors import InvalidMedia, InvalidRequest
from vessel_core.media import data_url_parts
from vessel_core.merging import merged
from vessel_core.options import ChatOptions, EmbedOptions
from vessel_core.types import ChatRequest, ContentPart, Message, Tool
from vessel_core.wire import Call, Quirks
from vessel_core.wire.arguments import parse_arguments
from vessel_core.wire.forcing import call_schema, forced_tools, parameters_of
from vessel_core.wire.options import embed_options, written
from vessel_core.wire.patterns import spelled_patterns
from vessel_core.wire.reading import mapping, mappings
from vessel_core.wire.schemas import inline_refs


def encode_chat(request: ChatRequest, quirks: Quirks) -> Call:
    """Write `POST /api/chat`, streamed."""
    if request.model is None:
        raise InvalidRequest("Ollama needs the name of a model.", hint="Give `model=…`, such as 'qwen3:8b'.")
    body: dict[str, Any] = {"model": request.model, "messages": _messages(request.messages, quirks), "stream": True}
    tools = () if request.tool_choice == "none" else (forced_tools(request) or request.tools)
    if tools:
        body["tools"] = [_tool(tool) for tool in tools]
    if (form := _format(request)) is not None:
        body["format"] = form
    body.update(written_options(request.options, quirks))
    return Call("POST", "/api/chat", merged(body, request.extra_body), stream=True)


def written_options(options: ChatOptions, quirks: Quirks) -> dict[str, Any]:
    """Return the fields of a body for the options: most go under `options`, where a value of the wrong type is an error, so
    that `stop` is always a list. `n=1` is what Ollama does anyway; `strict` makes it refuse a prompt it would cut."""
    kept = {name: value for name, value in options.items() if (name, value) != ("n", 1)}
    body = written(cast("ChatOptions", kept), quirks.takes, "options.")
    runner = body.get("options", {})
    if isinstance(runner.get("stop"), str):
        runner["stop"] = [runner["stop"]]
    if options.get("strict"):
        body.setdefault("truncate", False)
    if (reasoning := options.get("reasoning")) is not None:
        body["think"] = _think(reasoning)
    return body


def _think(reasoning: bool | str) -> bool | str:
    """Return Ollama's `think`: a switch or a level. It has no `minimal`, and reads it as `low` on its own `/v1`."""
    if reasoning == "none":
        return False
    return "low" if reasoning == "minimal" else reasoning


def _format(request: ChatRequest) -> Any:
    """Return `format`: the form of the answer, or the schema of the call that `tool_choice` demands."""
    forced = forced_tools(request)
    wanted = request.response_format
    if wanted is None or wanted["type"] == "text":
        return spelled_patterns(call_schema(forced)) if forced else None
    if request.tools and request.tool_choice != "none":
        raise InvalidRequest(
            "Ollama can't combine tools with a JSON response format: it binds the whole answer, calls included.",
            hint="Ask for the structured answer in a call without tools, or as a tool itself.",
        )
    schema = wanted.get("json_schema")
    return "json" if schema is None else spelled_patterns(schema["schema"])


def _tool(tool: Tool) -> dict[str, Any]:
    """Return a tool with what Ollama's lossy schema type would drop written another way."""
    function = tool["function"]
    parameters = _kept(inline_refs(parameters_of(tool), function["name"]))
    written: dict[str, Any] = {"name": function["name"], "parameters": parameters}
    if description := function.get("description"):
        written["description"] = description
    return {"type": "function", "function": written}


_SAID = frozenset({"title", "description", "default"})
"""What a schema says of a value, and does not ask of it."""


def _kept(schema: Any) -> Any:
    """Return a schema without `const`, `oneOf` and an `allOf` of one, which Ollama drops where it keeps `enum`, `anyOf` and
    what stands in the schema itself."""
    if isinstance(schema, list):
        return [_kept(item) for item in schema]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(schema, dict):
        return schema
    fields = {name: _kept(value) for name, value in mapping(schema).items()}  # pyright: ignore[reportUnknownArgumentType]
    if "const" in fields and "enum" not in fields and not isinstance(fields["const"], dict):
        fields["enum"] = [fields.pop("const")]
    if isinstance(fields.get("oneOf"), list) and "anyOf" not in fields:
        fields["anyOf"] = fields.pop("oneOf")
    whole = mappings(fields.get("allOf"))
    if len(whole) == 1 and all(name in _SAID or fields.get(name, value) == value for name, value in whole[0].items()):
        del fields["allOf"]
        return {**whole[0], **fields}
    return fields


def _messages(messages: Sequence[Message], quirks: Quirks) -> list[dict[str, Any]]:
    names: dict[str, str] = {}
    written: list[dict[str, Any]] = []
    for message in messages:  # in order: an id may come again (quirk 55), and a result is of the call before it
        names.update({call["id"]: call["function"]["name"] for call in message.get("tool_calls") or ()})
        written.append(_message(message, names, quirks))
    return written


def _message(message: Message, names: Mapping[str, str], quirks: Quirks) -> dict[str, Any]:
    content = message.get("content")
    wire: dict[str, Any] = {"role": message["role"], "content": content or ""}
    if content and not isinstance(content, str):
        wire["content"] = "\n".join(part["text"] for part in content if part["type"] == "text")
        if images := [_image(part, quirks) for part in content if part["type"] != "text"]:
            wire["images"] = images
    if reasoning := message.get("reasoning"):
        wire["thinking"] = reasoning
    if calls := message.get("tool_calls"):
        wire["tool_calls"] = [
            {"id": call["id"], "function": {"index": index, **_function(call["function"])}}
            for index, call in enumerate(calls)
        ]
    if message["role"] == "tool":
        call_id = message.get("tool_call_id")
        if name := message.get("name") or names.get(call_id or ""):
            wire["tool_name"] = name
        if call_id:
            wire["tool_call_id"] = call_id
    return wire


def _function(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call of the history with its arguments as an object: a string is an error in Ollama."""
    arguments = parse_arguments(call["arguments"])
    if arguments is None:
        raise InvalidRequest(
            f"The history holds a call of {call['name']!r} with arguments that are no JSON object: "
            f"{call['arguments'][:80]!r}.",
            hint="Leave calls that can't be run out of the history.",
        )
    return {"name": call["name"], "arguments": arguments}


def _image(part: ContentPart, quirks: Quirks) -> str:
    """Return a picture as bare base64, the one form Ollama takes."""
    if part["type"] != "image_url":
        raise InvalidMedia(
            "Ollama's API takes no audio in a message.",
            hint="Use a server that hands audio on to its model, as llama.cpp's does.",
        )
    url = part["image_url"]["url"]
    if url.lower().startswith(("http://", "https://")):
        raise InvalidMedia(
            f"Ollama does not fetch images, and the message holds the URL {url[:100]!r}.",
            hint="Use `fetch_image_urls=True`, or fetch the picture yourself and pass its bytes.",
        )
    kind, data = data_url_parts(url)
    if kind not in quirks.image_types:
        raise InvalidMedia(
            f"Ollama does not decode {kind}; it takes {', '.join(sorted(quirks.image_types))}.",
            hint="Convert the picture to PNG or JPEG.",
        )
    return data


def encode_embed(
    texts: Sequence[str],
    model: str | None,
    dimensions: int | None,
    options: EmbedOptions | None = None,
    quirks: Quirks = Quirks(),
) -> Call:
    """Write `POST /api/embed`. `truncate: false` makes Ollama refuse a text that is too long, where it would cut it
    without a word (quirk 82)."""
    if model is None:
        raise InvalidRequest("Ollama needs the name of a model.", hint="Give `model=…`, such as 'nomic-embed-text'.")
    body: dict[str, Any] = {"model": model, "input": list(texts), "truncate": False}
    if dimensions is not None:
        body["dimensions"] = dimensions
    body.update(written_options(embed_options(options), quirks))
    return Call("POST", "/api/embed", merged(body, (options or {}).get("extra_body") or {}))
