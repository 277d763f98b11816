"""What only llama.cpp's server has: its tokenizer, fill-in-the-middle, slots, metrics, LoRA adapters, the router's models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vessel_core.backends.base import Flow, get_json, items
from vessel_core.backends.openai_features import FEATURES as OPENAI_FEATURES
from vessel_core.errors import BadRequest, InvalidRequest
from vessel_core.types import ChatRequest, TokenCount
from vessel_core.watching import Steps, until_loaded
from vessel_core.wire import Call, Quirks, ReplyStream
from vessel_core.wire.completion import CompletionStream, encode_llamacpp, read_llamacpp
from vessel_core.wire.openai_request import encode_chat
from vessel_core.wire.reading import count, mapping


def tokenize(text: str, model: str | None) -> Flow[list[int]]:
    """Return the token ids of a text, without the ones a template adds."""
    body: dict[str, Any] = {"content": text, "add_special": False}
    document = yield from get_json("/tokenize", method="POST", body=body | ({"model": model} if model else {}))
    return [int(token) for token in document.get("tokens") or ()]


def detokenize(tokens: Sequence[int], model: str | None) -> Flow[str]:
    """Return the text of token ids."""
    body: dict[str, Any] = {"tokens": list(tokens)}
    document = yield from get_json("/detokenize", method="POST", body=body | ({"model": model} if model else {}))
    return str(document.get("content", ""))


def count_chat(request: ChatRequest, quirks: Quirks) -> Flow[TokenCount]:
    """Count the tokens of a chat with its template and tools."""
    call = encode_chat(request, quirks)
    path = "/v1/chat/completions/input_tokens"
    document = yield from get_json(path, method="POST", body=_without_stream(call))
    return TokenCount(count(document.get("input_tokens")) or 0)


def apply_template(request: ChatRequest, quirks: Quirks) -> Flow[str]:
    """Return the prompt that the model's template makes of a chat."""
    call = encode_chat(request, quirks)
    document = yield from get_json("/apply-template", method="POST", body=_without_stream(call))
    return str(document.get("prompt", ""))


def _without_stream(call: Call) -> dict[str, Any]:
    return {name: value for name, value in mapping(call.body).items() if name not in ("stream", "stream_options")}


def slots() -> Flow[list[Mapping[str, Any]]]:
    """Return the state of each slot."""
    return items((yield from get_json("/slots")), "data")


def metrics() -> Flow[dict[str, float]]:
    """Return the server's counters by name (it must be started with `--metrics`)."""
    reply = yield Call("GET", "/metrics")
    found: dict[str, float] = {}
    for line in reply.body.decode("utf-8", "replace").splitlines():
        name, _, value = line.rpartition(" ")
        if name and not line.startswith("#"):
            found[name] = float(value)
    return found


def lora_adapters() -> Flow[list[Mapping[str, Any]]]:
    """Return the LoRA adapters: `id`, `path`, `scale`."""
    return items((yield from get_json("/lora-adapters")), "data")


def scale_lora(scales: Mapping[int, float]) -> Flow[None]:
    """Set the scale of LoRA adapters by id, for every request that does not set its own; the server ignores unknown ids."""
    if not scales:
        raise InvalidRequest("No LoRA scale was given.")
    known = [adapter.get("id") for adapter in (yield from lora_adapters())]
    if unknown := [key for key in scales if key not in known]:
        raise InvalidRequest(
            f"The server has no LoRA adapter {unknown[0]}; its ids are {known}.", hint="Start it with `--lora FILE`."
        )
    yield Call("POST", "/lora-adapters", [{"id": key, "scale": scale} for key, scale in scales.items()])


def load(model: str, _options: Mapping[str, Any]) -> Steps:
    """Load a model of a router; one that runs already is loaded."""
    try:
        yield Call("POST", "/models/load", {"model": model})
    except BadRequest as error:
        if "already running" not in error.message:
            raise
    yield from until_loaded(model)


def unload(model: str) -> Flow[None]:
    """Unload a model of a router; one that does not run is unloaded."""
    try:
        yield Call("POST", "/models/unload", {"model": model})
    except BadRequest as error:
        if "not running" not in error.message:
            raise


def completion_stream() -> ReplyStream:
    """Read `/v1/completions` or `/infill`."""
    return CompletionStream(read_llamacpp)


FEATURES: Mapping[str, Any] = {
    **OPENAI_FEATURES,
    "apply_template": apply_template,
    "complete": encode_llamacpp,
    "completion_stream": completion_stream,
    "count_chat": count_chat,
    "detokenize": detokenize,
    "load": load,
    "lora_adapters": lora_adapters,
    "metrics": metrics,
    "scale_lora": scale_lora,
    "slots": slots,
    "tokenize": tokenize,
    "unload": unload,
}
