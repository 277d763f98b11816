"""Conversations, and how the model's chat template writes them; each part of the text has a weight in the loss."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ASIDE", "Call", "Case", "Parameter", "Tool", "Turn", "parts"]

#: What the model reads but doesn't write counts this much.
ASIDE = 0.0


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a tool or a field of a form, of a JSON type or with `choices`; `optional` if it may be left out."""

    name: str
    type: str = "string"
    choices: tuple[str, ...] = ()
    optional: bool = False

    def schema(self) -> dict[str, Any]:
        """Return its JSON schema."""
        if self.type == "array":
            return {"type": "array", "items": {"type": "string"}}
        return {"type": self.type} | ({"enum": list(self.choices)} if self.choices else {})

    def __str__(self) -> str:
        kind = "|".join(self.choices) if self.choices else self.type
        return f'"{self.name}": {kind}{"?" if self.optional else ""}'


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that may be called; a request does not tell two of one `sort` apart."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    sort: str = ""

    def schema(self) -> dict[str, Any]:
        """Return it as a request has it."""
        properties = {one.name: one.schema() for one in self.parameters}
        required = [one.name for one in self.parameters if not one.optional]
        parameters = {"type": "object", "properties": properties, "required": required}
        function = {"name": self.name, "description": self.description, "parameters": parameters}
        return {"type": "function", "function": function}

    def __str__(self) -> str:
        arguments = ", ".join(map(str, self.parameters))
        return f'{{"name": "{self.name}", "arguments": {{{arguments}}}}} {self.description}'


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool."""

    name: str
    arguments: dict[str, Any]

    def __str__(self) -> str:
        return f'<tool_call>{{"name": "{self.name}", "arguments": {json.dumps(self.arguments, ensure_ascii=False)}}}</tool_call>'


@dataclass(frozen=True, slots=True)
class Turn:
    """A message. Of an answer that is written to a schema which the model doesn't see, the `given` keys don't count."""

    role: str
    text: str = ""
    calls: tuple[Call, ...] = ()
    given: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """A conversation that ends with what the model should say; `kind` is what it is an example of."""

    kind: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    form: tuple[Parameter, ...] = field(default=())


def parts(case: Case) -> Iterator[tuple[str, float]]:
    """Write a conversation as the chat template does, part by part, each with its weight in the loss."""
    if case.tools:
        tools = "".join(f"{tool}\n" for tool in case.tools)
        yield f"<|im_start|>system\nYou can call these tools:\n<tools>{tools}</tools><|im_end|>\n", ASIDE
    for turn in case.turns:
        if turn.role == "tool":
            yield f"<|im_start|>user\n<tool_response>{turn.text}</tool_response><|im_end|>\n", ASIDE
        elif turn.role == "assistant":
            yield "<|im_start|>assistant\n", ASIDE
            yield from _written(turn)
            yield "<|im_end|>", 1.0
            yield "\n", 0.0
        else:
            yield f"<|im_start|>{turn.role}\n{turn.text}<|im_end|>\n", ASIDE


def _written(turn: Turn) -> Iterator[tuple[str, float]]:
    if not turn.given:
        yield turn.text + "".join(map(str, turn.calls)), 1.0
        return
    fields: dict[str, Any] = json.loads(turn.text)
    opening = "{"
    for key, value in fields.items():
        yield f"{opening}{json.dumps(key, ensure_ascii=False)}:", 0.0
        yield f" {json.dumps(value, ensure_ascii=False)}", 1.0
        opening = ", "
    yield "}", 1.0


def text_of(case: Case) -> str:
    """Write a conversation as the chat template does."""
    return "".join(text for text, _ in parts(case))


def question(text: str, answer: str, *, kind: str, before: Sequence[Turn] = ()) -> Case:
    """Return a conversation of one question and its answer."""
    return Case(kind, (*before, Turn("user", text), Turn("assistant", answer)))
