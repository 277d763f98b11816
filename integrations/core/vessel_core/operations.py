"""What a client can do, step by step: flows that yield calls and are sent replies, so that sync and async share every line."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import replace
from typing import Any

from vessel_core.backends.base import Flow, ask_health
from vessel_core.chatting import LONG_PROMPT, allocated
from vessel_core.choosing import choose, describe, listed
from vessel_core.counting import estimate_chat, estimate_text
from vessel_core.errors import AuthFailed, InvalidRequest, ModelLoading, VesselError
from vessel_core.hiding import hidden
from vessel_core.merging import said
from vessel_core.options import ChatOptions, checked_extra
from vessel_core.request import refuse_unsupported
from vessel_core.retry import Wait
from vessel_core.target import Target
from vessel_core.types import (
    ChatRequest,
    Message,
    ModelInfo,
    ModelKind,
    Progress,
    Ranked,
    ServerInfo,
    Timeout,
    TokenCount,
)
from vessel_core.watching import Steps, Waiting, until_well
from vessel_core.wire import Call, ReplyStream
from vessel_core.wire.answering import answer_choice, conflicts, with_answer_tool
from vessel_core.wire.completion import CompletionRequest, CutStream, GapStream
from vessel_core.wire.turns import arranged

OF_ONE_HOST = frozenset(
    {
        *("load", "unload", "pull", "create", "copy", "delete", "metrics", "lora_adapters", "scale_lora"),
        *("slots", "save_slot", "restore_slot", "erase_slot"),
    }
)
"""The operations that concern one host, and can't be asked of several."""


def complete(target: Target, request: CompletionRequest) -> Flow[tuple[Call, ReplyStream]]:
    """Write a raw completion, or one that fills a gap."""
    backend = target.server.backend
    encode = backend.feature("complete", "complete text without a chat template")
    if request.model is None:
        request = replace(request, model=(yield from choose(target, "chat")))
    options = request.options or ChatOptions()
    refuse_unsupported(options, backend.title, target.quirks)
    request = replace(request, options=target.steady(request.model, options, request.extra_body))
    call = encode(request, target.quirks)
    if tops := (request.options or {}).get("top_logprobs"):
        call = replace(call, tops=tops)
    reply: ReplyStream = backend.feature("completion_stream", "complete text")(limit=target.limits.line, tops=call.tops)
    if request.suffix is not None and "count_gap" in backend.features:
        count_gap: Callable[[CompletionRequest], Flow[int]] = backend.features["count_gap"]
        return call, GapStream(reply, request, (yield from count_gap(request)))
    if "allocated" not in backend.features or estimate_text(request.prompt + (request.suffix or "")) <= LONG_PROMPT:
        return call, reply
    return call, CutStream(reply, request, (yield from allocated(target, request.model, request.options or {})))


# ------------------------------------------------------------ ranking


def rerank(
    target: Target, query: str, documents: Iterable[str], model: str | None, top_n: int | None
) -> Flow[list[Ranked]]:
    """Rank documents by how well they answer a query, best first."""
    ranking: Callable[..., Flow[list[Ranked]]] = target.server.backend.feature("rerank", "rank documents")
    if isinstance(documents, str):
        raise InvalidRequest(
            "documents is one string; rerank takes a list of them.", hint=f"Pass [{documents[:30]!r}]."
        )
    documents = list(documents)
    if not documents:
        return []
    if model is None:
        model = yield from choose(target, "rerank")
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
    model = request.model or (yield from choose(target, "chat"))
    quirks = target.quirks_of(model)
    if conflicts(request, quirks):
        request = with_answer_tool(request, answer_choice(request, quirks))
    return replace(request, model=model, messages=arranged(request.messages, quirks))


# ------------------------------------------------------------ models and servers


def feature(target: Target, name: str, needs: str, *arguments: Any) -> Generator[Any, Any, Any]:
    """Follow an operation that not every server has: a flow, or the steps of one that is watched."""
    call: Callable[..., Generator[Any, Any, Any]] = _of_host(target, name, needs)
    return (yield from call(*arguments))


def of_model(target: Target, model: str | None, name: str, needs: str, *arguments: Any) -> Flow[Any]:
    """Follow an operation that not every server has and that is about a model, by default the one that would be used."""
    call: Callable[..., Flow[Any]] = _of_host(target, name, needs)
    return (yield from call(*arguments, model or (yield from choose(target, "chat"))))


def _of_host(target: Target, name: str, needs: str) -> Callable[..., Any]:
    """Return an operation that not every server has; one that concerns a single host can't be asked of several."""
    if target.pool is not None and name in OF_ONE_HOST:
        hint = "Ask one of them: client.at(0)."
        raise InvalidRequest(f"This client has several hosts, and can't {needs}.", hint=hint)
    return target.server.backend.feature(name, needs)


def load(target: Target, model: str, options: Mapping[str, Any], timeout: Timeout | float | None) -> Steps:
    """Load a model, as long as the call or the client waits for one."""
    given, extra = _given(options)
    given = target.steady(model, given, extra)
    yield from feature(target, "load", "load a model", model, given, extra, target.within(timeout).timeout.load)


def pull(target: Target, model: str, options: Mapping[str, Any]) -> Steps:
    """Fetch a model."""
    yield from feature(target, "pull", "fetch a model", model, *_given(options))


def create(target: Target, model: str, options: Mapping[str, Any]) -> Steps:
    """Make a model of another one; `from_` is named so because `from` is a word of Python's."""
    given, extra = _given(options)
    named = {name.rstrip("_"): value for name, value in given.items()}
    yield from feature(target, "create", "create a model", model, named, extra)


def _given(options: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the options that say something, and what goes into the body as it is."""
    given = said(options)
    return given, checked_extra(given.pop("extra_body", None))


def models(target: Target) -> Flow[list[ModelInfo]]:
    """List the models."""
    return (yield from listed(target))


def model_info(target: Target, model: str | None, kind: ModelKind = "chat") -> Flow[ModelInfo]:
    """Describe a model, by default the one that would be used."""
    return (yield from describe(target, model or (yield from choose(target, kind))))


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
        models = yield from listed(target)
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
    """Follow a server until it answers and its model is loaded; one that was named and that nobody loads is loaded now."""
    backend, model = target.server.backend, target.model
    describe_it: Callable[..., Generator[Any, Any, ModelInfo]] = backend.model
    yield from until_well(backend.health, waiting)
    loads = model is not None and target.pool is None and "load" in backend.features
    while loads and (state := (yield from describe_it(model)).state) not in ("loaded", "sleeping"):
        if state == "loading":
            yield waiting.after(ModelLoading(f"The model {model!r} is still loading.", hint="See the server's log."))
            yield Wait(waiting.pause)
        else:
            yield from feature(target, "load", "load a model", model, target.steady(model, {}), {}, waiting.left)
            loads = False
    yield Progress("ready")
