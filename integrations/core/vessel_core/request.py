"""Makes a `ChatRequest` from what a caller passes, and refuses what can't be right before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Unpack, cast

from pydantic_core import ValidationError

from vessel_core.conversation import checked_messages
from vessel_core.errors import InvalidConfig, InvalidRequest, Unsupported, did_you_mean
from vessel_core.merging import said
from vessel_core.options import OPTION_NAMES as OPTION_NAMES
from vessel_core.options import ChatOptions, checked_extra, wrong_option
from vessel_core.types import ChatRequest, Message, ResponseFormat, Timeout, Tool, Usual
from vessel_core.wire import Quirks
from vessel_core.wire.completion import CompletionRequest
from vessel_core.wire.reading import mapping

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@cache
def _options() -> TypeAdapter[ChatOptions]:
    """Return what checks options. It is made by the first request: importing is for everybody, and pydantic's models are
    a third of it."""
    from pydantic import TypeAdapter

    return TypeAdapter(ChatOptions)


FORMAT = "It is {'type': 'json_schema', 'json_schema': {'name': 'answer', 'schema': {…}}}, or {'type': 'json_object'}."


class ChatFields(ChatOptions, total=False):
    """Everything of a chat request but its messages: what `Client.chat` and `Client.stream` take by name.

    `tool_choice` is `"auto"`, `"none"`, `"required"` or a tool's name (OpenAI's object with the name is taken too);
    `extra_body` goes into the JSON body as it is.
    `timeout` is this call's own: a `Timeout`, or the seconds its answer may take to begin.
    """

    model: str | None
    tools: Iterable[Tool] | None
    tool_choice: str | Mapping[str, Any] | None
    parallel_tool_calls: bool | None
    response_format: ResponseFormat | None
    extra_body: Mapping[str, Any] | None
    timeout: Timeout | float | None


class CompletionFields(ChatOptions, total=False):
    """Everything of a raw completion but its texts; `timeout` as in `ChatFields`."""

    model: str | None
    extra_body: Mapping[str, Any] | None
    timeout: Timeout | float | None


def completion_request(prompt: str, suffix: str | None, **fields: Unpack[CompletionFields]) -> CompletionRequest:
    """Return a checked request for a raw completion; raise `InvalidRequest` that names what was wrong."""
    options = {name: value for name, value in fields.items() if name not in ("model", "extra_body", "timeout")}
    return CompletionRequest(
        prompt, suffix, fields.get("model"), checked_options(options), checked_extra(fields.get("extra_body"))
    )


def chat_request(messages: Iterable[Message], **fields: Unpack[ChatFields]) -> ChatRequest:
    """Return a checked request; raise `InvalidRequest` that names what was wrong and where."""
    return _request(messages, **cast("dict[str, Any]", fields))


def _request(
    messages: Iterable[Message],
    *,
    model: str | None = None,
    tools: Iterable[Tool] | None = None,
    tool_choice: str | Mapping[str, Any] | None = None,
    parallel_tool_calls: bool | None = None,
    response_format: ResponseFormat | None = None,
    extra_body: Mapping[str, Any] | None = None,
    timeout: object = None,  # no part of the request: the client has it
    **options: Any,
) -> ChatRequest:
    checked_tools = [checked_tool(tool, f"tools[{at}]") for at, tool in enumerate(tools or ())]
    return ChatRequest(
        messages=checked_messages(list(messages)),
        model=model,
        tools=checked_tools,
        tool_choice=_checked_choice(tool_choice, checked_tools),
        parallel_tool_calls=parallel_tool_calls,
        response_format=_checked_format(response_format),
        options=checked_options(options),
        extra_body=checked_extra(extra_body),
    )


def checked_options(options: Mapping[str, Any]) -> ChatOptions:
    """Return the options that say something, checked by type; raise `InvalidRequest` on an unknown name or a wrong value."""
    given = {name: value for name, value in options.items() if value is not None}
    if not given:
        return ChatOptions()
    for name in given:
        if name not in OPTION_NAMES:
            raise InvalidRequest(
                f"There is no option {name!r}{did_you_mean(name, OPTION_NAMES)}",
                hint="What only this server knows goes into `extra_body={…}`.",
            )
    if given.get("top_logprobs") and "logprobs" not in given:
        given["logprobs"] = True  # llama.cpp answers 400 to the one without the other
    if given.get("top_logprobs") == 0:
        del given["top_logprobs"]  # with 0 alternatives llama.cpp gives no log probabilities at all
    try:
        return _options().validate_python(given)
    except ValidationError as error:
        raise wrong_option(given, error) from None


def refuse_unsupported(options: ChatOptions, server: str, quirks: Quirks) -> None:
    """Raise `Unsupported` naming an option that this server is known not to have. One choice is what any server gives."""
    for name, value in options.items():
        if name in quirks.refused and (name, value) != ("n", 1):
            body = f"{{{name!r}: …}}"
            body = f"{{'options': {body}}}" if server == "Ollama" else body  # for its runner
            raise Unsupported(
                f"{server} has no option {name!r}.",
                hint=f"Leave it out. If your version has it after all: extra_body={body}.",
            )


def checked_timeout(timeout: Timeout | float | None, usual: Timeout | None = None) -> Timeout:
    """Return a timeout that can be one; raise `InvalidConfig` for what can't be.

    A number of seconds is how long an answer may take to begin. The rest, and what a `Timeout` was not given, is as usual.
    """
    usual = usual or Timeout()
    if timeout is None:
        return usual
    if isinstance(timeout, Timeout):
        given = {each.name: getattr(timeout, each.name) for each in fields(timeout)}
        timeout = replace(usual, **{name: value for name, value in given.items() if not isinstance(value, Usual)})
    else:
        timeout = replace(usual, first_token=timeout, request=timeout)
    for each in fields(timeout):
        seconds = getattr(timeout, each.name)
        if seconds is not None and not (isinstance(seconds, int | float) and (seconds > 0 or each.name == "load")):
            raise InvalidConfig(f"timeout: {each.name}={seconds!r} is not above 0.", hint="It is in seconds.")
    return timeout


def checked_tool(tool: Tool, where: str = "tool") -> Tool:
    """Return the tool if it has the form of one."""
    function: Any = tool.get("function") if isinstance(tool, Mapping) else None  # pyright: ignore[reportUnnecessaryIsInstance]
    if not isinstance(function, Mapping):
        raise InvalidRequest(
            f"{where} is no tool.", hint="It needs {'type': 'function', 'function': {'name': …, 'parameters': …}}."
        )
    if not isinstance(name := cast("Mapping[str, Any]", function).get("name"), str) or not name.strip():
        raise InvalidRequest(f"{where} has no name.", hint="Give the function a name the model can call it by.")
    if not isinstance(cast("Mapping[str, Any]", function).get("parameters") or {}, Mapping):
        raise InvalidRequest(f"{where} has parameters that are no JSON schema.", hint="A schema is a JSON object.")
    return cast("Tool", {**tool, "function": said(cast("Mapping[str, Any]", function))})


def _checked_choice(choice: str | Mapping[str, Any] | None, tools: Sequence[Tool]) -> str | None:
    if choice is None:
        return None
    if isinstance(choice, Mapping):
        choice = str(mapping(choice.get("function")).get("name", choice))
    names = [tool["function"]["name"] for tool in tools]
    if choice in ("auto", "none", "required") or choice in names:
        if choice == "required" and not tools:
            raise InvalidRequest("tool_choice is 'required', but no tools were given.", hint="Give `tools`.")
        return choice
    raise InvalidRequest(
        f"tool_choice is {choice!r}, which is none of the tools{did_you_mean(str(choice), names)}",
        hint=f"Choose 'auto', 'none', 'required' or one of {names}.",
    )


def _checked_format(form: ResponseFormat | None) -> ResponseFormat | None:
    """Return the form of the answer if it is one: of a schema in another place llama.cpp says nothing, and binds to none."""
    if form is None:
        return None
    fields = mapping(form)
    kind, named = fields.get("type"), mapping(fields.get("json_schema"))
    if kind not in ("text", "json_object", "json_schema"):
        raise InvalidRequest(f"response_format is {str(form)[:100]!r}, which is none.", hint=FORMAT)
    if kind == "json_schema" and not (isinstance(named.get("name"), str) and isinstance(named.get("schema"), dict)):
        raise InvalidRequest("response_format has no schema where it is looked for, or no name.", hint=FORMAT)
    return cast("ResponseFormat", {**fields, "json_schema": said(named)} if named else said(fields))
