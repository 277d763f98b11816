"""What a client can do, step by step: flows that yield calls and are sent replies, so that sync and async share each line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vessel_core.backends.base import Flow
from vessel_core.errors import InvalidRequest
from vessel_core.request import refuse_unsupported
from vessel_core.target import Target
from vessel_core.types import Capabilities, ChatRequest, Embeddings, ModelInfo, ServerInfo
from vessel_core.wire import Call, ReplyStream


def chat(target: Target, request: ChatRequest) -> Flow[tuple[Call, ReplyStream]]:
    """Choose the model, check what the server is known not to have, and write the call."""
    server = target.server
    if request.model is None:
        request = replace(request, model=(yield from target.choose("chat")))
    refuse_unsupported(request, server.backend.title, server.backend.quirks)
    call = server.backend.dialect.encode_chat(request, server.backend.quirks)
    return call, server.backend.dialect.ChatStream(request, server.backend.quirks)


def embed(target: Target, texts: Sequence[str], model: str | None, dimensions: int | None) -> Flow[Embeddings]:
    """Embed texts, in one request, in order."""
    if isinstance(texts, str):
        raise InvalidRequest("texts is one string; embed takes a list of them.", hint=f"Pass [{texts[:30]!r}].")
    for at, text in enumerate(texts):
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidRequest(f"texts[{at}] is a {type(text).__name__}, not a text.")
        if not text.strip():
            raise InvalidRequest(
                f"texts[{at}] is empty: servers refuse the whole batch for it (llama.cpp) or drop it (Ollama)."
            )
    if not texts:
        return Embeddings([])
    dialect = target.server.backend.dialect
    if model is None:
        model = yield from target.choose("embedding")
    reply = yield dialect.encode_embed(texts, model, dimensions)
    return dialect.decode_embed(reply.body, len(texts), dimensions)


def models(target: Target) -> Flow[list[ModelInfo]]:
    """List the models."""
    return (yield from target.server.backend.models())


def capabilities(target: Target, model: str | None) -> Flow[Capabilities]:
    """Say what a model can do on this server."""
    return (yield from target.describe(model or (yield from target.choose("chat")))).capabilities


def model_info(target: Target, model: str | None) -> Flow[ModelInfo]:
    """Describe a model, by default the one that would be used."""
    return (yield from target.describe(model or (yield from target.choose("chat"))))


def health(target: Target) -> Flow[bool]:
    """Say whether the server is up and a model can be used."""
    reply = yield Call("GET", target.server.backend.health)
    return reply.status < 300


def info(target: Target) -> Flow[ServerInfo]:
    """Say how the server is: its version and models."""
    backend, root = target.server.backend, target.server.address.root
    version = yield from backend.version()
    return ServerInfo(backend.name, root, True, version, tuple((yield from backend.models())))
