"""A scripted `llama-server` whose model is sensible: it calls the tool, reads arguments off the question, fits schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from tests.fake_server import FakeServer, Request, Response, llamacpp_server, ollama_server
from tests.langchain.scripted import answer, calling, ending, ollama_lines, piece

OLLAMA_MODELS = ("llama3.1", "llava", "qwen3:8b", "nomic-embed-text")


def sensible_server() -> FakeServer:
    """Return the server; `requests` holds what it was asked."""
    return llamacpp_server(_chat, model="sensible", vision=True, audio=True)


def sensible_ollama() -> FakeServer:
    """Return an Ollama server that does the same."""
    return ollama_server(_ollama_chat, models=OLLAMA_MODELS, capabilities=("completion", "tools", "thinking", "vision"))


def _ollama_chat(request: Request) -> Response:
    body: dict[str, Any] = request.json()
    if (model := body["model"]) not in OLLAMA_MODELS:
        return Response.json({"error": f"model '{model}' not found"}, 404)
    question = _last_question(body["messages"])
    thought = [{"content": "", "thinking": "Let me think."}] if body.get("think") else []
    if (form := body.get("format")) is not None:
        text = json.dumps(_value({"type": "object"} if form == "json" else form, question))
        lines = ollama_lines(*thought, {"content": text[:9]}, {"content": text[9:]})
    elif body.get("tools") and body["messages"][-1]["role"] == "user":
        function = body["tools"][0]["function"]
        call = {"function": {"name": function["name"], "arguments": _value(function["parameters"], question)}}
        lines = ollama_lines(*thought, {"content": "", "tool_calls": [call]})
    else:
        lines = ollama_lines(*thought, {"content": "Hello"}, {"content": ", how are you?"})
    return Response.stream(lines, content_type="application/x-ndjson")


def _chat(request: Request) -> Response:
    body: dict[str, Any] = request.json()
    question = _last_question(body["messages"])
    model = str(body.get("model") or "sensible")
    form: Mapping[str, Any] = body.get("response_format") or {}
    if body.get("tools") and _calls(body):
        function = body["tools"][0]["function"]
        arguments = _value(function.get("parameters") or {"type": "object"}, question)
        return Response.stream(calling((function["name"], json.dumps(arguments, ensure_ascii=False))))
    if form:
        schema = form.get("json_schema", form).get("schema") or {"type": "object"}
        text = json.dumps(_value(schema, question))
        return Response.stream(answer(text[:9], text[9:20], text[20:], model=model))
    if body.get("logprobs"):
        token = {"token": "Hello", "logprob": -0.1, "bytes": list(b"Hello"), "top_logprobs": []}
        return Response.stream(
            piece({"content": "Hello"}, model=model, logprobs={"content": [token]}) + ending(model=model)
        )
    return Response.stream(answer("Hello", ", how ", "are you?", model=model))


def _calls(body: Mapping[str, Any]) -> bool:
    """Tell whether a tool is called: if it must be, or if the last turn is the user's."""
    choice = body.get("tool_choice")
    return choice == "required" or (choice != "none" and body["messages"][-1]["role"] == "user")


def _last_question(messages: Sequence[Mapping[str, Any]]) -> str:
    contents = [message["content"] for message in messages if message["role"] == "user"]
    return contents[-1] if contents and isinstance(contents[-1], str) else ""


def _value(schema: Mapping[str, Any], question: str) -> Any:
    """Return a value that fits a schema; numbers and quoted words are taken from the question."""
    if "enum" in schema:
        return schema["enum"][0]
    if options := schema.get("anyOf"):
        return _value(options[0], question)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if kind == "object":
        properties = cast("Mapping[str, Any]", schema.get("properties") or {})
        return {name: _value(each, question) for name, each in properties.items()}
    if kind == "array":
        return [_value(schema.get("items") or {}, question)]
    if kind in ("integer", "number"):
        found = re.search(r"\d+", question)
        return int(found.group()) if found else 1
    if kind == "boolean":
        return True
    quoted = re.search(r"'([^']+)'", question)
    return quoted.group(1) if quoted else "something"
