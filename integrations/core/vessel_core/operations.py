"""What a client can do, step by step: flows that yield calls and are sent replies, so that sync and async share every line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, cast

from vessel_core.backends.base import Flow, ask_health
from vessel_core.counting import estimate_chat, estimate_text
from vessel_core.errors import AuthFailed, ContextOverflow, InputTooLarge, InvalidRequest, ModelLoading, VesselError
from vessel_core.hiding import hidden
from vessel_core.options import ChatOptions, EmbedOptions
from vessel_core.request import checked_options, refuse_unsupported
from vessel_core.target import Target
from vessel_core.types import (
    ChatRequest,
    Embeddings,
    Message,
    ModelInfo,
    ModelKind,
    Ranked,
    ServerInfo,
    TokenCount,
    Usage,
)
from vessel_core.watching import Steps, Waiting, until_ready
from vessel_core.wire import Call, ReplyStream
from vessel_core.wire.completion import CompletionRequest
from vessel_core.wire.turns import arranged

Blank = Literal["refuse", "space"]

OF_ONE_HOST = frozenset(
    {"load", "unload", "pull", "create", "copy", "delete", "slots", "metrics", "lora_adapters", "scale_lora"}
)
"""The operations that concern one host, and can't be asked of several."""


def complete(target: Target, request: CompletionRequest) -> Flow[tuple[Call, ReplyStream]]:
    """Write a raw completion, or one that fills a gap."""
    backend = target.server.backend
    encode = backend.feature("complete", "complete text without a chat template")
    if request.model is None:
        request = replace(request, model=(yield from target.choose("chat")))
    options = request.options or ChatOptions()
    refuse_unsupported(options, backend.title, target.quirks)
    request = replace(request, options=target.steady(request.model, options, request.extra_body))
    return encode(request, target.quirks), backend.feature("completion_stream", "complete text")(
        limit=target.limits.line
    )


# ------------------------------------------------------------ embeddings and ranking


def checked_texts(texts: Sequence[str], blank: Blank) -> list[str]:
    """Return the texts to embed; a blank one is refused, or becomes a space: servers refuse or drop it (quirk 79)."""
    if isinstance(texts, str):
        raise InvalidRequest("texts is one string; embed takes a list of them.", hint=f"Pass [{texts[:30]!r}].")
    checked: list[str] = []
    for at, text in enumerate(texts):
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types exist
            raise InvalidRequest(f"texts[{at}] is a {type(text).__name__}, not a text.")
        if not text and blank == "refuse":
            raise InvalidRequest(f"texts[{at}] is empty.", hint="Leave it out, or pass blank='space'.")
        checked.append(text or " ")
    return checked


def embed(
    target: Target, texts: Sequence[str], model: str | None, dimensions: int | None, options: EmbedOptions | None = None
) -> Flow[Embeddings]:
    """Embed one batch, in order. A text that is too long is told apart from the rest, whose vectors ride on the error."""
    if model is None:
        model = yield from target.choose("embedding")
    given = {name: value for name, value in (options or {}).items() if value is not None and name != "extra_body"}
    plain = checked_options(given)
    refuse_unsupported(plain, target.server.backend.title, target.quirks)
    kept = cast("EmbedOptions", {**(options or {}), **target.steady(model, plain, (options or {}).get("extra_body"))})
    encode = partial(
        target.server.backend.dialect.encode_embed,
        model=model,
        dimensions=dimensions,
        options=kept,
        quirks=target.quirks,
    )
    found = yield from _embed(target, list(texts), encode, dimensions)
    for at, one in enumerate(found):
        if isinstance(one, InputTooLarge):
            one.index = at
            one.vectors = [None if isinstance(other, InputTooLarge) else other.vectors[0] for other in found]
            raise one
    embedded = [one for one in found if isinstance(one, Embeddings)]
    return joined(embedded)


def _embed(
    target: Target, texts: list[str], encode: Callable[[list[str]], Call], dimensions: int | None
) -> Flow[list[Embeddings | InputTooLarge]]:
    """Return one result for a batch that went well, else one for each text, the long ones found by halving."""
    dialect = target.server.backend.dialect
    try:
        reply = yield encode(texts)
    except (ContextOverflow, InputTooLarge) as error:
        if len(texts) == 1:
            return [too_large(error)]
    else:
        return [dialect.decode_embed(reply.body, len(texts), dimensions)]
    half = len(texts) // 2
    left = yield from _embed(target, texts[:half], encode, dimensions)
    right = yield from _embed(target, texts[half:], encode, dimensions)
    return [*_each(left), *_each(right)]


def too_large(error: ContextOverflow | InputTooLarge) -> InputTooLarge:
    """Return the error of one text: of the two limits it met, the batch's or the context's, none concerns the others."""
    if isinstance(error, InputTooLarge):
        return error
    hint = "Split the text, or start the server with a larger context (llama.cpp `-c`, Ollama `num_ctx=…`)."
    made = InputTooLarge(error.message.replace("prompt", "text", 1), hint=hint, response=error.response, url=error.url)
    made.request_id = error.request_id
    return made


def _each(found: Sequence[Embeddings | InputTooLarge]) -> list[Embeddings | InputTooLarge]:
    """Return one result a text."""
    apart: list[Embeddings | InputTooLarge] = []
    for one in found:
        if isinstance(one, InputTooLarge):
            apart.append(one)
        else:
            apart += [
                Embeddings([vector], one.model, one.usage if at == 0 else None) for at, vector in enumerate(one.rows)
            ]
    return apart


def joined(parts: Sequence[Embeddings]) -> Embeddings:
    """Return the vectors of several batches as one."""
    used = [part.usage for part in parts if part.usage]
    usage = Usage(sum(one.prompt_tokens for one in used), 0, sum(one.total_tokens for one in used)) if used else None
    return Embeddings([vector for part in parts for vector in part.rows], parts[0].model if parts else None, usage)


def batches(texts: Sequence[str], size: int) -> list[Sequence[str]]:
    """Return the texts in batches of `size`."""
    if size < 1:
        raise InvalidRequest(f"batch_size={size} is below 1.")
    return [texts[start : start + size] for start in range(0, len(texts), size)]


def shifted(error: VesselError, by: int) -> VesselError:
    """Return the error of a batch with the place its text has in the whole list."""
    if isinstance(error, InputTooLarge) and error.index is not None:
        error.index += by
        error.message = f"texts[{error.index}]: {error.message}"
    return error


def rerank(
    target: Target, query: str, documents: Sequence[str], model: str | None, top_n: int | None
) -> Flow[list[Ranked]]:
    """Rank documents by how well they answer a query, best first."""
    ranking: Callable[..., Flow[list[Ranked]]] = target.server.backend.feature("rerank", "rank documents")
    if not documents:
        return []
    if model is None:
        model = yield from target.choose("rerank")
    return (yield from ranking(query, documents, model, top_n))


# ------------------------------------------------------------ counting


def count_tokens(target: Target, text: str, model: str | None) -> Flow[TokenCount]:
    """Count by the server's tokenizer, or estimate."""
    if "tokenize" not in target.server.backend.features:
        return estimate_text(text)
    return TokenCount(len((yield from of_model(target, model, "tokenize", "tokenize text", text))))


def count_chat_tokens(target: Target, request: ChatRequest) -> Flow[TokenCount]:
    """Count a chat with its template and tools by the server, or estimate."""
    backend = target.server.backend
    if "count_chat" not in backend.features:
        return estimate_chat(request)
    count: Callable[..., Flow[TokenCount]] = backend.features["count_chat"]
    fitted = yield from fitting(target, request)
    if not (open_calls := fitted.messages[-1].get("tool_calls", ()) if fitted.messages else ()):
        return (yield from count(fitted, target.quirks))
    # A server that goes on with an assistant's turn refuses one that ends in calls, so each gets an empty result.
    results = [Message(role="tool", tool_call_id=call["id"], content="") for call in open_calls]
    counted = yield from count(replace(fitted, messages=[*fitted.messages, *results]), target.quirks)
    return TokenCount(counted, exact=False)


def apply_template(target: Target, request: ChatRequest) -> Flow[str]:
    """Return the prompt that the model's template makes of a chat."""
    applied: Callable[..., Flow[str]] = target.server.backend.feature("apply_template", "show its template's prompt")
    return (yield from applied((yield from fitting(target, request)), target.quirks))


def fitting(target: Target, request: ChatRequest) -> Flow[ChatRequest]:
    """Return a request that is only looked at, with its model chosen and its turns as the template takes them."""
    model = request.model or (yield from target.choose("chat"))
    return replace(request, model=model, messages=arranged(request.messages, target.quirks_of(model)))


# ------------------------------------------------------------ models and servers


def feature(target: Target, name: str, needs: str, *arguments: Any) -> Any:
    """Return the flow or steps of an operation that not every server has."""
    return _of_host(target, name, needs)(*arguments)


def of_model(target: Target, model: str | None, name: str, needs: str, *arguments: Any) -> Flow[Any]:
    """Follow an operation that not every server has and that is about a model, by default the one that would be used."""
    call: Callable[..., Flow[Any]] = _of_host(target, name, needs)
    return (yield from call(*arguments, model or (yield from target.choose("chat"))))


def _of_host(target: Target, name: str, needs: str) -> Callable[..., Any]:
    """Return an operation that not every server has; one that concerns a single host can't be asked of several."""
    if target.pool is not None and name in OF_ONE_HOST:
        hint = "Ask one of them: client.at(0)."
        raise InvalidRequest(f"This client has several hosts, and can't {needs}.", hint=hint)
    return target.server.backend.feature(name, needs)


def load(target: Target, model: str, options: Mapping[str, Any]) -> Steps:
    """Load a model, as long as the client waits for one."""
    return feature(target, "load", "load a model", model, target.steady(model, options), target.timeout.load)


def models(target: Target) -> Flow[list[ModelInfo]]:
    """List the models."""
    return (yield from target.listed())


def model_info(target: Target, model: str | None, kind: ModelKind = "chat") -> Flow[ModelInfo]:
    """Describe a model, by default the one that would be used."""
    return (yield from target.describe(model or (yield from target.choose(kind))))


def health(target: Target) -> Flow[bool]:
    """Say whether the server is up and a model can be used."""
    try:
        yield from ask_health(target.server.backend.health)
    except VesselError:
        return False
    return True


def info(target: Target) -> Flow[ServerInfo]:
    """Say how the server is: its version and models. One that wants a key or is still loading is there all the same."""
    backend, root = target.server.backend, target.server.address.root
    try:
        version = yield from backend.version()
        models = yield from target.listed()
    except (AuthFailed, ModelLoading) as error:
        return ServerInfo(backend.name, root, True, error=hidden(error.message, target.secrets()))
    return ServerInfo(backend.name, root, True, version, tuple(models))


def change(target: Target, name: str, needs: str, *arguments: Any) -> Flow[None]:
    """Follow an operation after which what the server said of its models holds no more."""
    yield from feature(target, name, needs, *arguments)
    target.forget()


def forgetting(target: Target, steps: Steps) -> Steps:
    """Follow what a `change` is that is watched."""
    yield from steps
    target.forget()


def wait_until_ready(target: Target, waiting: Waiting) -> Steps:
    """Follow a server until it answers and its model is loaded."""
    yield from until_ready(target.server.backend.health, waiting)
