"""A forced tool call where `tool_choice` is not there or does not bind: an answer bound to the call's schema is read as one.

The tools are sent as well. A schema binds what the model may write but is not shown to it: it is the tools that tell it,
through its own template, what each parameter means. A server that reads the answer as a call by itself is believed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, cast

from vessel_core.types import ChatRequest, Delta, Tool
from vessel_core.wire import Call, Quirks, Reply, ReplyStream
from vessel_core.wire.holding import Held
from vessel_core.wire.jsontext import loads
from vessel_core.wire.reading import mapping
from vessel_core.wire.schemas import inline_refs, misfit
from vessel_core.wire.tool_choice import assembler, forced_tool
from vessel_core.wire.tools import ToolCallAssembler, one_a_call
from vessel_core.wire.turning import TurningStream

PREAMBLE = 200
"""How many characters a model may write before its forced call; one that writes more talks in place of calling."""

NO_PARAMETERS: Mapping[str, Any] = {"type": "object", "properties": {}}


def forced_tools(request: ChatRequest) -> Sequence[Tool]:
    """Return the tools of which one must be called; none if the model is free."""
    named = forced_tool(request.tools, request.tool_choice)
    if named is not None:
        return [named]
    return request.tools if request.tool_choice == "required" else ()


def parameters_of(tool: Tool) -> Mapping[str, Any]:
    """Return the JSON schema of a tool's arguments."""
    return tool["function"].get("parameters") or NO_PARAMETERS


def call_schema(tools: Sequence[Tool]) -> Mapping[str, Any]:
    """Return the schema of a call of one of the tools: its arguments, or `{name, arguments}` if there are several."""
    if len(tools) == 1:
        return parameters_of(tools[0])
    return {"anyOf": [_named_call(tool) for tool in tools]}


def _named_call(tool: Tool) -> dict[str, Any]:
    # References point from the root of a schema, so they would be lost one level down.
    properties = {
        "name": {"type": "string", "enum": [tool["function"]["name"]]},
        "arguments": inline_refs(parameters_of(tool), tool["function"]["name"]),
    }
    return {
        "type": "object",
        "properties": properties,
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def read_call(text: str, tools: Sequence[Tool]) -> tuple[str, dict[str, Any]] | None:
    """Return the tool and the arguments in an answer bound by `call_schema`, `None` if it is no call, or one that misfits."""
    found = _read(text, tools)
    if found is None or misfit(found[1], parameters_of(found[0])):
        return None
    return found[0]["function"]["name"], found[1]


def misfit_of_call(text: str, tools: Sequence[Tool]) -> str | None:
    """Say how a text that is a call of one of the tools does not fit its schema; `None` if it is none, or fits."""
    found = _read(text, tools)
    fault = misfit(found[1], parameters_of(found[0])) if found else None
    return f"The call of {found[0]['function']['name']} does not fit its schema: {fault}." if found and fault else None


def _read(text: str, tools: Sequence[Tool]) -> tuple[Tool, dict[str, Any]] | None:
    try:
        document = loads(text)
    except ValueError:
        document = None
    if isinstance(document, dict):
        name, arguments = _call(mapping(document), tools)
        tool = next((tool for tool in tools if tool["function"]["name"] == name), None)
        if tool is not None and isinstance(arguments, dict):
            return tool, dict(mapping(arguments))
    return None


def _call(document: Mapping[str, Any], tools: Sequence[Tool]) -> tuple[str, Any]:
    """Return name and arguments, also if the model wrote `{name, arguments}` though only arguments were asked for."""
    only = tools[0]["function"]["name"] if len(tools) == 1 else None
    wrapped: object = document.get("arguments", document.get("parameters"))
    if only is None or (document.get("name") == only and isinstance(wrapped, dict) and len(document) == 2):
        return str(document.get("name")), cast("object", wrapped)
    return only, document


class ForcedStream(TurningStream):
    """Reads an answer that is bound by `call_schema` as the call it is.

    The arguments of the only tool are handed on as they come; a call of one of several is read when it is whole. What a
    server that does not bind its answers writes in place of the arguments stays text.
    """

    def __init__(self, reply: ReplyStream, request: ChatRequest, quirks: Quirks) -> None:
        super().__init__(reply)
        self._request, self._quirks = request, quirks
        self._tools = forced_tools(request)
        self._calls: dict[int, ToolCallAssembler] = {}
        self._held: defaultdict[int, Held] = defaultdict(Held)
        self._prose: set[int] = set()

    def _turn(self, delta: Delta) -> None:
        if len(self._tools) == 1 and delta.index not in self._calls and delta.text.lstrip()[:1] not in ("", "{"):
            self._prose.add(delta.index)
        if delta.tool_calls or delta.index in self._prose or not (delta.text or delta.finish):
            return
        calls = self._calls.setdefault(delta.index, assembler(self._request, self._quirks))
        name, arguments = self._piece(delta)
        pieces = [{"index": 0, "function": {"name": None if calls else name, "arguments": arguments}}] if name else []
        delta.tool_calls = calls.feed(pieces)
        text = self._held[delta.index].take() if delta.finish else ""
        delta.text = "" if calls else text
        if delta.finish:
            delta.tool_calls = one_a_call([*delta.tool_calls, *calls.close(delta.finish)])
            delta.finish = "tool_calls" if calls and delta.finish == "stop" else delta.finish

    def _piece(self, delta: Delta) -> tuple[str | None, Any]:
        """Return the tool and the arguments that a delta adds to its call; no tool if it adds nothing yet."""
        if len(self._tools) == 1:
            return (self._tools[0]["function"]["name"] if delta.text else None), delta.text
        self._held[delta.index].add(delta.text)
        if not delta.finish or delta.finish == "length":
            return None, ""
        return read_call(self._held[delta.index].whole(), self._tools) or (None, "")


Asked = tuple[Call, ReplyStream]


class AskAgain(Exception):
    """A reply went another way than it must, and is to be asked for once more: with this call, whose reply is read so."""

    def __init__(self, call: Call, reply: ReplyStream) -> None:
        super().__init__("asked again, bound by a schema")
        self.asked = call, reply

    def flow(self) -> Generator[Call, Reply, Asked]:
        """Return what there is to ask as a flow, which needs to find out nothing first."""
        return self.asked
        yield  # pyright: ignore[reportUnreachable] - a flow of no requests


class CallOrAgain(TurningStream):
    """Reads a forced call; raises `AskAgain` where the model talks in its place, as llama.cpp lets it.

    A short text before the call is held until the call comes. What has been thought is handed on as it comes, and not a
    second time: `again` is told whether there was any.
    """

    def __init__(self, reply: ReplyStream, again: Callable[[bool], Asked]) -> None:
        super().__init__(reply)
        self._again = again
        self._text = ""
        self._thought = self._called = False

    def _turned(self, deltas: list[Delta]) -> list[Delta]:
        if self._called or not deltas:
            return deltas
        thought = self._thought
        for delta in deltas:
            self._turn(delta)
            if self._talks(delta):
                raise AskAgain(*self._again(thought))
        return [delta for delta in deltas if delta != Delta()]

    def _turn(self, delta: Delta) -> None:
        self._text += delta.text
        self._called = self._called or bool(delta.tool_calls)
        self._thought = self._thought or bool(delta.reasoning)
        delta.text = ""
        if self._called or delta.finish:
            delta.text, self._text = self._text, ""

    def _talks(self, delta: Delta) -> bool:
        """Tell whether no call is to come: too long a text, or the end, unless nothing was left to write one with."""
        if self._called:
            return False
        return len(self._text) > PREAMBLE or delta.finish == "stop" or (delta.finish == "length" and bool(delta.text))


class Unthinking(TurningStream):
    """Reads a reply without what was thought, which has been handed on already."""

    def _turn(self, delta: Delta) -> None:
        delta.reasoning = ""
