"""A structured answer beside tools, where a server's grammar allows only one of them.

On llama.cpp a response schema makes tool calls impossible, and so does Ollama's `format` (servers.md, rule 5). So the
schema travels as one more tool, and a call of that one comes out as the answer's text: one generation, held to the grammar,
whichever way the model decides. Where it can be asked again if it calls nothing, it needn't call: a small model that must
calls its tools without end.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Literal

from vessel_core.errors import InvalidRequest
from vessel_core.types import ChatRequest, Delta, Tool, ToolCallDelta
from vessel_core.wire import Quirks, ReplyStream
from vessel_core.wire.schemas import without_root_ref
from vessel_core.wire.turning import TurningStream

logger = logging.getLogger("vessel_core")

NAME = "final_answer"


def conflicts(request: ChatRequest, quirks: Quirks) -> bool:
    """Tell whether the request asks for JSON and tools at once, of a server that can't have both."""
    wanted = request.response_format is not None and request.response_format["type"] != "text"
    return wanted and bool(request.tools) and request.tool_choice != "none" and not quirks.schema_with_tools


def may_ask_again(request: ChatRequest, quirks: Quirks) -> bool:
    """Tell whether a reply that went another way may be dropped for a second one; several choices are one reply."""
    return quirks.forced_by_schema == "if_needed" and (request.options.get("n") or 1) == 1


def answer_choice(request: ChatRequest, quirks: Quirks) -> Literal["auto", "required"]:
    """Return the choice of tools beside the answer's: a model that can be asked again needn't call one."""
    return "auto" if may_ask_again(request, quirks) else "required"


def with_answer_tool(request: ChatRequest, choice: Literal["auto", "required"] = "required") -> ChatRequest:
    """Return the request with the schema as a tool. If a tool is forced, no answer is wanted yet: the schema is left out."""
    if request.tool_choice not in (None, "auto"):
        return replace(request, response_format=None)
    wanted = (request.response_format or {}).get("json_schema", {}).get("schema")
    schema = without_root_ref(wanted or {"type": "object"})
    if "properties" not in schema and schema.get("type") != "object":
        raise InvalidRequest(
            "A response schema beside tools must be an object's on this server.",
            hint="Put the value into an object: {'type': 'object', 'properties': {'value': …}}.",
        )
    if any(tool["function"]["name"] == NAME for tool in request.tools):
        raise InvalidRequest(
            f"A tool is named {NAME!r}, as the one that carries the response schema.", hint="Rename it."
        )
    description = "Give the final answer to the user, once no other tool is needed."
    answer: Tool = {"type": "function", "function": {"name": NAME, "description": description, "parameters": schema}}
    return replace(request, tools=[*request.tools, answer], tool_choice=choice, response_format=None)


class AnswerStream(TurningStream):
    """Reads a reply in which the answer comes as a call of the answer tool.

    Text before a call is dropped: it is no part of the JSON. Where no call comes at all, the text comes with the finish, so
    that it can be seen what the model wrote instead. If the first call is the answer, it is the whole reply, and the log
    names the calls beside it; if it is a tool, an answer beside it is dropped, since the tools' results aren't known yet.
    """

    def __init__(self, reply: ReplyStream) -> None:
        super().__init__(reply)
        self._answers: dict[int, bool] = {}
        self._names: dict[tuple[int, int], str] = {}
        self._text: dict[int, str] = {}

    def _turn(self, delta: Delta) -> None:
        calls: list[ToolCallDelta] = []
        answer: list[str] = []
        self._text[delta.index] = self._text.get(delta.index, "") + delta.text
        for piece in delta.tool_calls:
            name = self._names.setdefault((delta.index, piece.index), piece.name or "")
            answers = self._answers.setdefault(delta.index, name == NAME)
            if answers and piece.name and name != NAME:
                logger.warning("The model called %s after its final answer in one reply: the call is left out.", name)
            if answers and piece.index == 0:
                answer.append(piece.arguments)
            elif not answers and name != NAME:
                calls.append(piece)
        if delta.finish and delta.index not in self._answers:
            answer.append(self._text[delta.index])
        delta.text, delta.tool_calls = "".join(answer), calls
        if delta.finish == "tool_calls" and self._answers.get(delta.index):
            delta.finish = "stop"
