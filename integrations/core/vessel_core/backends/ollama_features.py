"""What Ollama has beside chat and embeddings: raw completion, and models that come, go and change."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

from vessel_core.backends.base import Flow, items, refuse_other_than, same_model, tell, try_json
from vessel_core.errors import ProtocolError, ResponseError, Unsupported
from vessel_core.merging import merged
from vessel_core.options import ChatOptions
from vessel_core.types import Progress
from vessel_core.watching import Follow, Steps, read_status
from vessel_core.wire import MAX_LINE, Call, Reply, ReplyStream
from vessel_core.wire.completion import CompletionStream, encode_ollama, read_ollama
from vessel_core.wire.failures import json_body
from vessel_core.wire.options import OLLAMA, RUNNER, written
from vessel_core.wire.reading import count, mapping

LOADING = RUNNER | {"keep_alive"}
"""What a model can be loaded with."""

CREATING = frozenset(
    {"adapters", "files", "from", "license", "messages", "parameters", "quantize", "system", "template"}
)
"""What a model can be made of, by Ollama's documentation of `/api/create`."""


def allocated(model: str | None, runner: Mapping[str, Any]) -> Flow[int | None]:
    """Return the context that is really allocated for a model, in tokens; `None` where Ollama doesn't say.

    A model that isn't loaded is loaded with the options of its `runner`, as the chat to come would do: until then nobody
    knows. One that runs in Ollama's cloud never is.
    """
    context = yield from _allocated(model)
    if context is None and model and not model.endswith("cloud"):
        with suppress(ResponseError, Unsupported, ProtocolError):  # the chat itself will say what is wrong
            json_body((yield _load(model, runner, {})))
        context = yield from _allocated(model)
    return context


def _allocated(model: str | None) -> Flow[int | None]:
    running = items((yield from try_json("/api/ps")), "models")
    loaded = (one for one in running if model and same_model(str(one.get("model") or one.get("name")), model))
    return count(mapping(next(loaded, None)).get("context_length"))


def pull(model: str, options: Mapping[str, Any], extra: Mapping[str, Any]) -> Steps:
    """Fetch a model from its registry; `insecure` lets it be one without TLS."""
    refuse_other_than({"insecure"}, options, "Ollama fetches no model")
    yield _followed("/api/pull", model, merged(options, extra))


def create(model: str, options: Mapping[str, Any], extra: Mapping[str, Any]) -> Steps:
    """Make a model of another one: `from`, `system`, `template`, `parameters`, `quantize`…"""
    refuse_other_than(CREATING, options, "Ollama makes no model")
    yield _followed("/api/create", model, merged(options, extra))


def _followed(path: str, model: str, fields: Mapping[str, Any]) -> Follow:
    call = Call("POST", path, {"model": model, "stream": True, **fields}, stream=True)
    return Follow(call, read_status, "success")


def load(model: str, options: Mapping[str, Any], extra: Mapping[str, Any], _limit: float | None) -> Steps:
    """Load a model: an empty chat does it. `num_ctx` and `keep_alive` are kept for it; what is no option of the runner is
    refused."""
    refuse_other_than(LOADING, options, "Ollama loads no model")
    yield Progress("loading")
    reply = yield _load(model, options, extra)
    json_body(reply or Reply(500))
    yield Progress("loaded")


def _load(model: str, options: Mapping[str, Any], extra: Mapping[str, Any]) -> Call:
    body: dict[str, Any] = {"model": model, "messages": [], "stream": False}
    body |= written(cast("ChatOptions", options), OLLAMA)
    return Call("POST", "/api/chat", merged(body, extra), stream=True)


def unload(model: str) -> Flow[None]:
    """Unload a model now."""
    yield from tell("/api/chat", {"model": model, "messages": [], "stream": False, "keep_alive": 0})


def copy(model: str, to: str) -> Flow[None]:
    """Give a model a second name."""
    yield from tell("/api/copy", {"source": model, "destination": to})


def delete(model: str) -> Flow[None]:
    """Remove a model from the disk."""
    yield from tell("/api/delete", {"model": model}, method="DELETE")


def completion_stream(limit: int = MAX_LINE, tops: int = 0) -> ReplyStream:
    """Read `/api/generate`."""
    return CompletionStream(read_ollama, lines=True, limit=limit, tops=tops)


FEATURES: Mapping[str, Any] = {
    "allocated": allocated,
    "complete": encode_ollama,
    "completion_stream": completion_stream,
    "copy": copy,
    "create": create,
    "delete": delete,
    "load": load,
    "pull": pull,
    "unload": unload,
}
