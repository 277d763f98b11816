"""A chat, step by step: the request is made fit for the server and its model, then written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

from vessel_core.backends.base import Backend, Flow
from vessel_core.checking import ends_in_form, is_bound, wants_json
from vessel_core.choosing import choose, look_at
from vessel_core.counting import estimate_chat
from vessel_core.errors import InvalidRequest, Unsupported
from vessel_core.pictures import with_pictures
from vessel_core.request import refuse_unsupported
from vessel_core.target import Target
from vessel_core.types import ChatOptions, ChatRequest
from vessel_core.wire import Call, Quirks, ReplyStream
from vessel_core.wire.answering import AnswerStream, answer_choice, conflicts, may_ask_again, with_answer_tool
from vessel_core.wire.forcing import CallOrAgain, ForcedStream, Unthinking, forced_tools
from vessel_core.wire.options import RUNNER
from vessel_core.wire.reading import mapping
from vessel_core.wire.thinking import GrammarStream
from vessel_core.wire.turns import arranged, unusual

logger = logging.getLogger("vessel_core")

LONG_PROMPT = 1000
"""Tokens up to which no server cuts a prompt, so that nothing has to be asked."""

PROJECTOR = "Use one that does, or start llama-server with the model's projector (`--mmproj FILE`)."
OTHERS = {
    "image_url": "Use one that does.",
    "input_audio": "Use one that does, on a server that hands audio on to its model, as llama.cpp's does.",
}


def prepared(target: Target, request: ChatRequest, server: Backend, quirks: Quirks) -> Flow[ChatRequest]:
    """Choose the model, refuse what the server is known not to have, and put the turns as its template takes them."""
    if request.model is None:
        request = replace(request, model=(yield from choose(target, "chat")))
    refuse_unsupported(request.options, server.title, quirks)
    _refuse_two_grammars(request)
    _warn_of_lost_tools(target, request)
    _refuse_media(target, request)
    if unusual(request.messages) and "apply_template" in server.features:
        yield from look_at(target, request.model)
    if target.fetch_image_urls:
        request = yield from with_pictures(request)
    messages = arranged(request.messages, target.quirks_of(request.model), bound=is_bound(request))
    options = target.steady(request.model, request.options, request.extra_body)
    if messages is request.messages and options is request.options:
        return request
    return replace(request, messages=messages, options=options)


def _warn_of_lost_tools(target: Target, request: ChatRequest) -> None:
    """Say, once for a model, that its template is known to show no tools: llama.cpp drops them without a word."""
    seen = target.seen.get(request.model)
    lost = seen is not None and seen.capabilities.tools is False and bool(request.tools)
    if lost and request.model not in target.warned:
        target.warned.add(request.model)
        logger.warning(
            "%r has a chat template that shows no tools to the model: those given may be ignored. Use another model, "
            "or start the server with a template that has them (`--chat-template-file`).",
            request.model,
        )


def _refuse_media(target: Target, request: ChatRequest) -> None:
    """Refuse a picture or a sound for a model that is known to take none."""
    seen = target.seen.get(request.model)
    if seen is None or (seen.capabilities.vision is not False and seen.capabilities.audio is not False):
        return
    for kind, what, takes in (
        ("image_url", "pictures", seen.capabilities.vision),
        ("input_audio", "audio", seen.capabilities.audio),
    ):
        if takes is False and any(_holds(message.get("content"), kind) for message in request.messages):
            own = "apply_template" in target.server.backend.features
            raise Unsupported(f"The model {seen.id!r} takes no {what}.", hint=PROJECTOR if own else OTHERS[kind])


def _holds(content: object, kind: str) -> bool:
    """Tell whether a message has a part of this kind."""
    return isinstance(content, list) and any(mapping(part).get("type") == kind for part in cast("list[Any]", content))


def _refuse_two_grammars(request: ChatRequest) -> None:
    """Refuse a grammar beside what makes one of its own: llama.cpp answers 400 to the one and ignores the other."""
    if not request.options.get("grammar"):
        return
    other = "tools" if request.tools else "response_format" if wants_json(request) else None
    if other is not None:
        raise InvalidRequest(f"`grammar` and `{other}` exclude each other.", hint="Leave one of them out.")


def chat(target: Target, request: ChatRequest) -> Flow[tuple[Call, ReplyStream]]:
    """Make the request fit, write the call, and say how its reply is read."""
    try:
        return (yield from _written(target, request))
    except RecursionError:
        message = "The schema of the answer or of a tool nests too deep to be written."
        raise InvalidRequest(message, hint="Make it flatter.") from None


def _written(target: Target, request: ChatRequest) -> Flow[tuple[Call, ReplyStream]]:
    backend, quirks = target.server.backend, target.quirks
    request = _capped((yield from prepared(target, request, backend, quirks)), quirks)
    if "allocated" in backend.features and estimate_chat(request) > LONG_PROMPT:
        request = replace(request, context_length=(yield from allocated(target, request.model, request.options)))
    if not conflicts(request, quirks):
        return _asked(target, request, quirks)
    choice = answer_choice(request, quirks)
    both = with_answer_tool(request, choice)
    if len(both.tools) == len(request.tools):
        return _asked(target, both, quirks)
    # A model that talks has nothing more to call: it is asked again, for its answer in the form.
    call, reply = _asked(target, both, quirks, replace(request, tool_choice="none") if choice == "auto" else None)
    return call, AnswerStream(reply)


def _asked(
    target: Target, request: ChatRequest, quirks: Quirks, otherwise: ChatRequest | None = None
) -> tuple[Call, ReplyStream]:
    """Write the call, and say how its reply is read.

    Where no tool is called, `otherwise` is asked for; without it, a forced call is asked for again, bound by its schema.
    """
    dialect = target.server.backend.dialect
    call = dialect.encode_chat(request, quirks)
    if tops := request.options.get("top_logprobs"):
        call = replace(call, tops=tops)
    reply: ReplyStream = dialect.ChatStream(request, quirks, together=target.together, limit=target.limits.line)
    if request.options.get("grammar"):
        return call, GrammarStream(reply)
    if otherwise is None and not forced_tools(request):
        return call, reply
    if quirks.forced_by_schema is True:
        return call, ForcedStream(reply, request, quirks)

    def again(thought: bool) -> tuple[Call, ReplyStream]:
        logger.info("The model made no call: it is asked again, bound by a schema.")
        call, reply = _asked(target, otherwise or request, replace(quirks, forced_by_schema=True))
        return call, Unthinking(reply) if thought else reply

    return call, CallOrAgain(reply, again) if may_ask_again(request, quirks) else reply


def _capped(request: ChatRequest, quirks: Quirks) -> ChatRequest:
    """Bound an answer that must come to an end: a model stuck inside a string writes to the end of the context."""
    if not ends_in_form(request) or quirks.max_structured is None or request.options.get("max_tokens") is not None:
        return request
    options = cast("ChatOptions", {**request.options, "max_tokens": quirks.max_structured})
    return replace(request, options=options)


def allocated(target: Target, model: str | None, options: ChatOptions) -> Flow[int | None]:
    """Return how much context there is for the prompt: what the server says, or less if that is what is asked for."""
    asked: Callable[[str | None, Mapping[str, Any]], Flow[int | None]] = target.server.backend.features["allocated"]
    context = yield from asked(model, {name: value for name, value in options.items() if name in RUNNER})
    sizes = [size for size in (context, options.get("num_ctx")) if size is not None]
    return min(sizes, default=None)
