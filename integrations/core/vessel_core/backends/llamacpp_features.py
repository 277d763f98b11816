"""What only llama.cpp's server has: its tokenizer, fill-in-the-middle, slots, metrics, LoRA adapters, the router's models."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote

from vessel_core.backends.base import Flow, get_json, items, refuse_other_than, tell
from vessel_core.backends.openai_features import FEATURES as OPENAI_FEATURES
from vessel_core.counting import estimate_chat
from vessel_core.errors import (
    BadRequest,
    InvalidRequest,
    ModelNotFound,
    ProtocolError,
    ResponseTooLarge,
    Unsupported,
)
from vessel_core.types import ChatRequest, TokenCount
from vessel_core.watching import Steps, until_loaded
from vessel_core.wire import MAX_LINE, Call, Quirks, ReplyStream
from vessel_core.wire.completion import CompletionRequest, CompletionStream, encode_llamacpp, read_llamacpp
from vessel_core.wire.failures import json_body
from vessel_core.wire.openai_request import encode_chat
from vessel_core.wire.reading import count, mapping

UNCUT_BYTES = 510
"""A side of a gap as long as this is not cut with the usual batch: a token has a byte at least."""

MOST_METRICS = 10_000
"""Lines of counters: there are some dozens of them."""

NO_LLAMACPP = "Is the server at this URL llama.cpp's?"


def routed(listed: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether a model list is a router's: each of its models has a state."""
    return bool(listed) and all("status" in item for item in listed)


def tokenize(text: str, model: str | None) -> Flow[list[int]]:
    """Return the token ids of a text, without the ones a template adds."""
    document = yield from get_json("/tokenize", method="POST", body=_for(model, content=text, add_special=False))
    tokens = document.get("tokens") or ()
    found = [count(token) for token in cast("list[Any]", tokens)] if isinstance(tokens, list | tuple) else [None]
    if None in found:
        raise ProtocolError("The reply holds what is no token id.", hint=NO_LLAMACPP)
    return [token for token in found if token is not None]


def count_gap(request: CompletionRequest) -> Flow[int]:
    """Count the tokens around a gap, or return 0 for a text too short to be cut, or of a server that can't tell.

    `/infill` takes three quarters of a batch from the end of what is before the gap, and a quarter from the start of what is
    behind it, without a word (measured: 1,533 and 510 tokens of the usual 2,048).
    """
    sides = [side for side in (request.prompt, request.suffix) if side]
    if sum(len(side.encode("utf-8", "replace")) for side in sides) <= UNCUT_BYTES:
        return 0
    tokens = 0
    try:
        for side in sides:
            tokens += len((yield from tokenize(side, request.model)))
    except Unsupported:
        return 0
    return tokens


def detokenize(tokens: Sequence[int], model: str | None) -> Flow[str]:
    """Return the text of token ids."""
    document = yield from get_json("/detokenize", method="POST", body=_for(model, tokens=list(tokens)))
    return str(document.get("content", ""))


def _for(model: str | None, **body: Any) -> dict[str, Any]:
    """Return a body that names its model, which a router needs."""
    return body if model is None else {**body, "model": model}


def _path_for(path: str, model: str | None) -> str:
    """Return the path of a question about a model, which a router needs to be named."""
    return path if model is None else f"{path}?model={quote(model, safe='', errors='replace')}"


def count_chat(request: ChatRequest, quirks: Quirks) -> Flow[TokenCount]:
    """Count the tokens of a chat with its template and tools. A server too old to do so counts those of the prompt, and one
    that can't do that either leaves an estimate."""
    call = encode_chat(request, quirks)
    path = "/v1/chat/completions/input_tokens"
    try:
        document = yield from get_json(path, method="POST", body=_without_stream(call))
    except Unsupported:
        return (yield from _count_prompt(request, quirks))
    if (tokens := count(document.get("input_tokens"))) is None:
        raise ProtocolError("The reply holds no count of tokens.", hint=NO_LLAMACPP)
    return TokenCount(tokens)


def _count_prompt(request: ChatRequest, quirks: Quirks) -> Flow[TokenCount]:
    try:
        prompt = yield from apply_template(request, quirks)
        return TokenCount(len((yield from tokenize(prompt, request.model))))
    except Unsupported:
        return estimate_chat(request)


def apply_template(request: ChatRequest, quirks: Quirks) -> Flow[str]:
    """Return the prompt that the model's template makes of a chat."""
    call = encode_chat(request, quirks)
    document = yield from get_json("/apply-template", method="POST", body=_without_stream(call))
    return str(document.get("prompt", ""))


def _without_stream(call: Call) -> dict[str, Any]:
    return {name: value for name, value in mapping(call.body).items() if name not in ("stream", "stream_options")}


def slots(model: str | None) -> Flow[list[Mapping[str, Any]]]:
    """Return the state of each slot."""
    return items((yield from get_json(_path_for("/slots", model))), "data")


def save_slot(slot: int, file: str, model: str | None) -> Flow[Mapping[str, Any]]:
    """Keep what a slot has read in a file; return how many tokens and bytes that is."""
    return (yield from _of_slot(slot, "save", _for(model, filename=file)))


def restore_slot(slot: int, file: str, model: str | None) -> Flow[Mapping[str, Any]]:
    """Put what was kept in a file into a slot; return how many tokens and bytes that is."""
    return (yield from _of_slot(slot, "restore", _for(model, filename=file)))


def erase_slot(slot: int, model: str | None) -> Flow[Mapping[str, Any]]:
    """Forget what a slot has read; return how many tokens that was."""
    return (yield from _of_slot(slot, "erase", _for(model)))


def _of_slot(slot: int, action: str, body: Mapping[str, Any]) -> Flow[Mapping[str, Any]]:
    if count(slot) != slot:
        raise InvalidRequest(f"slot={slot!r} is not the number of a slot.", hint="`slots()` shows which there are.")
    return (yield from get_json(f"/slots/{slot}?action={action}", method="POST", body=body))


def metrics(model: str | None) -> Flow[dict[str, float]]:
    """Return the server's counters by name (it must be started with `--metrics`)."""
    reply = yield Call("GET", _path_for("/metrics", model))
    if reply.body.count(b"\n") > MOST_METRICS:
        raise ResponseTooLarge(f"The reply holds more than {MOST_METRICS:,} lines of metrics.", hint=NO_LLAMACPP)
    found: dict[str, float] = {}
    for line in reply.body.decode("utf-8", "replace").split("\n"):
        name, _, value = line.rpartition(" ")
        if name and not line.startswith("#"):
            try:
                found[name] = float(value)
            except ValueError:
                raise ProtocolError("The reply holds no metrics.", hint=NO_LLAMACPP) from None
    return found


def lora_adapters(model: str | None) -> Flow[list[Mapping[str, Any]]]:
    """Return the LoRA adapters: `id`, `path`, `scale`."""
    return items((yield from get_json(_path_for("/lora-adapters", model))), "data")


def scale_lora(scales: Mapping[int, float], model: str | None) -> Flow[None]:
    """Set the scale of LoRA adapters by id, for every request that does not set its own; the server ignores unknown ids.

    A router can't hand this on: it looks for a model's name in a body that is a list.
    """
    if not scales:
        raise InvalidRequest("No LoRA scale was given.")
    known = [adapter.get("id") for adapter in (yield from lora_adapters(model))]
    if unknown := [key for key in scales if key not in known]:
        raise InvalidRequest(
            f"The server has no LoRA adapter {unknown[0]}; its ids are {known}.", hint="Start it with `--lora FILE`."
        )
    try:
        yield from tell("/lora-adapters", [{"id": key, "scale": scale} for key, scale in scales.items()])
    except ModelNotFound as error:
        raise Unsupported(
            "A llama.cpp router can't scale the adapters of its models.", hint="Give `lora={id: scale}` with a request."
        ) from error


def load(model: str, options: Mapping[str, Any], extra: Mapping[str, Any], limit: float | None) -> Steps:
    """Load a model of a router, which has set how; one that runs already is loaded."""
    refuse_other_than((), options, "A llama.cpp router loads no model")
    try:
        yield from tell("/models/load", {"model": model, **extra})
    except BadRequest as error:
        if "already running" not in error.message:
            raise
    except Unsupported as error:
        yield from _why_not(model, error)
    yield from until_loaded(model, limit)


def unload(model: str) -> Flow[None]:
    """Unload a model of a router; one that does not run is unloaded."""
    try:
        yield from tell("/models/unload", {"model": model})
    except BadRequest as error:
        if "not running" not in error.message:
            raise
    except Unsupported as error:
        yield from _why_not(model, error)


def _why_not(model: str, error: Unsupported) -> Generator[Call, Any, None]:
    """Raise what a 404 means: a router's that it has no such model, another server's that it is no router."""
    reply = yield Call("GET", "/v1/models")
    if routed(items(mapping(json_body(reply)), "data")):
        raise ModelNotFound(f"There is no model {model!r} on this server.", response=error.response) from error
    raise Unsupported(
        "This llama-server has one model, and loads and unloads none.",
        hint="Start it as a router: `llama-server --models-dir FOLDER`, without `-m`.",
        response=error.response,
    ) from error


def completion_stream(limit: int = MAX_LINE, tops: int = 0) -> ReplyStream:
    """Read `/v1/completions` or `/infill`."""
    return CompletionStream(read_llamacpp, limit=limit, tops=tops)


FEATURES: Mapping[str, Any] = {
    **OPENAI_FEATURES,
    "apply_template": apply_template,
    "complete": encode_llamacpp,
    "completion_stream": completion_stream,
    "count_chat": count_chat,
    "count_gap": count_gap,
    "detokenize": detokenize,
    "erase_slot": erase_slot,
    "load": load,
    "lora_adapters": lora_adapters,
    "metrics": metrics,
    "restore_slot": restore_slot,
    "save_slot": save_slot,
    "scale_lora": scale_lora,
    "slots": slots,
    "tokenize": tokenize,
    "unload": unload,
}
