"""What an answer must be, and whether it is: JSON that was asked for, a call that was forced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from vessel_core.errors import InvalidOutput
from vessel_core.types import ChatReply, ChatRequest
from vessel_core.wire.forcing import forced_tools, misfit_of_call
from vessel_core.wire.jsontext import loads
from vessel_core.wire.reading import beginning, ending
from vessel_core.wire.schemas import misfit

Check = Callable[[ChatReply], None]
"""Raises `InvalidOutput`, with the answer in `partial`, if it is not what was asked for."""

NOT_BOUND = "This server may not bind answers; try another one."
AGAIN = "Ask again, or a larger model."
NOT_FORCED = (
    "Where it takes a schema, `quirks={'forced_by_schema': True}` holds the model to the call. Another server may not "
    "force tools (Ollama does since 0.5): take another model, or ask without forcing one."
)


def must_call(request: ChatRequest) -> bool:
    """Tell whether the answer must be a call."""
    return request.tool_choice not in (None, "auto", "none")


def wants_json(request: ChatRequest) -> bool:
    """Tell whether the answer must be JSON, once no tool is called."""
    return request.response_format is not None and request.response_format["type"] != "text"


def is_bound(request: ChatRequest) -> bool:
    """Tell whether the answer must be JSON or a call."""
    return must_call(request) or wants_json(request)


def ends_in_form(request: ChatRequest) -> bool:
    """Tell whether only a whole answer is one: JSON, a call, or what a grammar says."""
    return is_bound(request) or bool(request.options.get("grammar"))


def check_of(request: ChatRequest) -> Check | None:
    """Return the check of the answer, which is made of each of its alternatives; `None` if it is free.

    Calls beside a schema are no answer yet, and are checked where they are run. A refusal is an answer in no form.
    """
    if must_call(request):
        return partial(_check, partial(_no_call, request))
    if wants_json(request):
        return partial(_check, partial(_no_json, request.response_format or {}))
    return partial(_check, _no_end) if ends_in_form(request) else None


def _check(fault: Callable[[ChatReply], tuple[str, str] | None], reply: ChatReply) -> None:
    for one in (reply, *reply.alternatives):
        if not one.refusal and (wrong := fault(one)) is not None:
            raise InvalidOutput(wrong[0], hint=wrong[1], partial=reply)


def _no_call(request: ChatRequest, reply: ChatReply) -> tuple[str, str] | None:
    """Return what is wrong with an answer that should be a call, and what to do."""
    choice, tools = request.tool_choice, forced_tools(request)
    called = [call["function"]["name"] for call in reply.tool_calls]
    if any(tool["function"]["name"] in called for tool in tools):
        return None
    for call in reply.invalid_tool_calls:
        if choice in ("required", call.name):
            return f"The call of {call.name} can't be run: {call.error}.", "If it was cut off, raise `max_tokens`."
    called += [call.name for call in reply.invalid_tool_calls]
    what = "A tool" if choice == "required" else choice
    if reply.finish == "length":
        return (
            f"{what} had to be called, and the answer was cut off before: {ending(reply.text)}.",
            "Raise `max_tokens`.",
        )
    if not called and (wrong := misfit_of_call(reply.text, tools)) is not None:
        return wrong, AGAIN
    wrote = f"called {', '.join(called)}" if called else f"wrote {beginning(reply.text)}"
    return f"{what} had to be called, and the model {wrote}.", NOT_FORCED


def _no_json(form: Mapping[str, Any], reply: ChatReply) -> tuple[str, str] | None:
    """Return what is wrong with an answer that should be JSON, and what to do."""
    if reply.tool_calls or reply.invalid_tool_calls:
        return None
    if reply.finish == "length":
        return (
            f"The JSON was cut off{_tokens(reply)}: {ending(reply.text)}.",
            "The model may be stuck inside a text; bound it in the schema (`maxLength`), or raise `max_tokens`.",
        )
    try:
        document = loads(reply.text, nan=False)
    except ValueError:
        return f"The answer is no JSON: {beginning(reply.text)}.", NOT_BOUND
    if form.get("type") == "json_object" and not isinstance(document, dict):
        return f"The answer is no JSON object: {beginning(reply.text)}.", NOT_BOUND
    schema = form.get("json_schema", {}).get("schema")
    fault = misfit(document, schema) if schema is not None else None
    return None if fault is None else (f"The answer does not fit the schema: {fault}.", AGAIN)


def _no_end(reply: ChatReply) -> tuple[str, str] | None:
    """Return what is wrong with an answer whose grammar did not come to its end, and what to do."""
    if reply.finish != "length":
        return None
    wrong = f"The answer was cut off{_tokens(reply)}, before its grammar ended: {ending(reply.text)}."
    return wrong, "The grammar may have no end; bound what it repeats (`{1,80}`), or raise `max_tokens`."


def _tokens(reply: ChatReply) -> str:
    return f" after {reply.usage.completion_tokens} tokens" if reply.usage else ""
