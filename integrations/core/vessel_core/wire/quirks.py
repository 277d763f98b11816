"""Where servers of one dialect differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from functools import cache
from typing import TYPE_CHECKING, Literal, get_type_hints

from pydantic_core import ValidationError

from vessel_core.errors import InvalidConfig, did_you_mean
from vessel_core.records import record
from vessel_core.wire.options import OLLAMA_ONLY, OPENAI

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@record
class Quirks:
    """Where servers of one dialect differ. The defaults are what most OpenAI-compatible servers take.

    Any of them can be switched for one client, by name: `Client(…, quirks={"think_opened": True})`.

    What is sent:

    - `reasoning_field`: the field of the history in which the server reads an assistant's reasoning
    - `json_object`: whether `response_format: {"type": "json_object"}` is taken; else it goes as a schema
    - `json_object_schema`: whether a schema may ride beside `json_object`
    - `image_urls`: whether the server fetches http(s) images itself
    - `image_types`: the image formats it decodes
    - `takes`: the options it is known to take, with the names it has for them; `refused`: those it is known not to have
    - `system`: where its template takes system messages: `anywhere`, `first` (one, at the start) or `never`
    - `repeated_roles`: whether its template takes two turns of one role in a row
    - `continues`: whether it goes on with a last turn of the assistant; there may be one only, and no schema or forced call
      binds what follows
    - `thinking`: how `reasoning` is switched: `template` (`chat_template_kwargs`), `effort` (`reasoning_effort`)
    - `schema_with_tools`: whether a response schema may be combined with tools
    - `forced_by_schema`: whether a forced call is bound by its schema in place of `tool_choice`, after which llama.cpp lets a
      model write what it likes first. `if_needed` asks so for a second time, of a model that talked instead of calling: its
      calls are better in the form it was trained on. Bound by a schema, one call comes.
    - `max_structured`: how many tokens an answer may have that must be JSON or a call, if the request has no `max_tokens`; a
      model stuck inside a string would write to the end of the context. `None` is no bound.

    What comes:

    - `finishes`: whether every complete stream has a finish reason or `[DONE]`
    - `think_tags`: whether `<think>` at the start of the text is reasoning
    - `think_opened`: whether the template has opened `<think>` already, so that the text up to `</think>` is reasoning
      (quirk 72). A model whose answer then has no `</think>` seems to think only.
    - `text_calls`: whether calls that are left in the text are read (quirk 64), if tools were sent
    - `repair_arguments`: whether single quotes, trailing commas and Python's constants in arguments are mended (quirk 63);
      they then come whole, at the end of the call, and `ToolCallDelta.repaired` holds what the model wrote
    - `cumulative_arguments`: whether each piece of the arguments repeats those before it (quirk 61)
    """

    reasoning_field: str | None = "reasoning_content"
    json_object: bool = True
    json_object_schema: bool = False
    image_urls: bool | None = None
    image_types: frozenset[str] = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
    takes: Mapping[str, str] = field(default_factory=lambda: OPENAI)
    refused: frozenset[str] = OLLAMA_ONLY
    system: Literal["anywhere", "first", "never"] = "anywhere"
    repeated_roles: bool = True
    continues: bool = False
    thinking: Literal["template", "effort"] = "effort"
    schema_with_tools: bool = True
    forced_by_schema: bool | Literal["if_needed"] = False
    max_structured: int | None = 8192
    finishes: bool = True
    think_tags: bool = True
    think_opened: bool = False
    text_calls: bool = False
    repair_arguments: bool = False
    cumulative_arguments: bool = False

    def __repr__(self) -> str:
        usual = Quirks()
        switched = [f"{name}={value!r}" for name in NAMES if (value := getattr(self, name)) != getattr(usual, name)]
        return f"Quirks({', '.join(switched)})"


NAMES = tuple(field.name for field in fields(Quirks))


@cache
def _types() -> dict[str, TypeAdapter[object]]:
    """Return what checks each quirk, made when one is switched for the first time."""
    from pydantic import TypeAdapter

    return {name: TypeAdapter[object](kind) for name, kind in get_type_hints(Quirks).items()}


def checked_quirks(switched: Mapping[str, object]) -> dict[str, object]:
    """Return the quirks a caller switches; raise `InvalidConfig` on an unknown name or a value of the wrong type."""
    for name in switched:
        if name not in NAMES:
            raise InvalidConfig(
                f"There is no quirk {name!r}{did_you_mean(name, NAMES)}",
                hint="`vessel_core.wire.Quirks` describes all there are.",
            )
    return {name: _checked(name, value) for name, value in switched.items()}


def _checked(name: str, value: object) -> object:
    try:
        # Strict: "false" or 1 in place of a switch is a mistake; but a set may be written as a list.
        return _types()[name].validate_python(value, strict=not isinstance(value, list | set | tuple))
    except ValidationError as error:
        said = error.errors()[0]["msg"]
        raise InvalidConfig(f"quirks: {name}={value!r}: {said}.", hint="`Quirks` says what each of them is.") from None
