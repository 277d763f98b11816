"""The options of a chat: as fields of `Vessel`, as arguments of one call, under their own and under others' names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, ClassVar, cast

from llama_index.core.tools.types import BaseTool
from llama_index.llms.vessel.connection import CONNECTION_ALIASES, WITHOUT_MEANING, ServerConnection
from llama_index.llms.vessel.tools import chosen_tool, tool_spec
from pydantic import Field, field_serializer, field_validator
from vessel_core.errors import InvalidRequest, did_you_mean
from vessel_core.merging import merged
from vessel_core.request import OPTION_NAMES, ChatFields
from vessel_core.types import Bias, Reasoning

#: What other classes and servers call the options of a chat.
OPTION_ALIASES = {
    "num_predict": "max_tokens",
    "n_predict": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "num_output": "max_tokens",
    "max_new_tokens": "max_tokens",
    "reasoning_effort": "reasoning",
    "thinking": "reasoning",
    "think": "reasoning",
    "repetition_penalty": "repeat_penalty",
    "stop_sequences": "stop",
    "request_timeout": "timeout",
}
#: Not the server's business: whether a forced call that does not come is an error; the counts are always asked for.
NOT_SENT = frozenset({"validate", "stream_options"})
#: What to do in place of options that other classes have.
HINTS = {
    "extra_headers": "Headers are the same in each call: `Vessel(headers={…})`.",
    "n": "A response of LlamaIndex holds one answer: ask several times.",
}
_CALL_NAMES = frozenset(
    {*OPTION_NAMES, "model", "tools", "tool_choice", "parallel_tool_calls", "response_format", "extra_body", "timeout"}
) - {"n"}


class VesselOptions(ServerConnection):
    """The fields of `Vessel`. `None` means the server's own default, and is not sent."""

    aliases: ClassVar[Mapping[str, str]] = {**CONNECTION_ALIASES, **OPTION_ALIASES, "model_name": "model"}
    without_meaning: ClassVar[Set[str]] = WITHOUT_MEANING | {
        *("prompt_key", "should_use_structured_outputs", "strict", "tokenizer")
    }

    model: str | None = Field(default=None, description="The model's name; the loaded one if it is left out.")

    temperature: float | None = None
    max_tokens: int | None = Field(default=None, description="The longest answer, in tokens.")
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    typical_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repeat_penalty: float | None = None
    repeat_last_n: int | None = None
    logit_bias: dict[str | int, Bias] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    reasoning: Reasoning | None = Field(default=None, description="Thinking on or off, or an effort.")
    num_ctx: int | None = Field(default=None, description="Ollama: the context to allocate, in tokens.")
    keep_alive: int | str | None = Field(default=None, description='Ollama: seconds, or "5m".')
    ttl: int | None = Field(default=None, description="LM Studio: seconds.")
    grammar: str | None = Field(default=None, description="llama.cpp: GBNF.")
    cache_prompt: bool | None = None
    id_slot: int | None = None
    json_mode: bool = Field(default=False, description="Ask for a JSON object in every answer.")
    extra_body: dict[str, Any] = Field(default_factory=dict[str, Any], description="Merged into the JSON body.")
    additional_kwargs: dict[str, Any] = Field(default_factory=dict[str, Any], description="More options, by name.")

    context_window: int | None = Field(
        default=None, gt=0, description="In tokens, where you know better than the server."
    )
    is_chat_model: bool = Field(default=True, description="Told to engines, which then ask by `chat`.")
    is_function_calling_model: bool | None = Field(default=None, description="Whether it calls tools; asked if None.")
    send_reasoning: bool = Field(default=True, description="Send the thinking of earlier answers along.")
    image_root: Path | None = Field(default=None, description="Files of messages must lie below this folder.")

    def __init__(self, /, *args: Any, **arguments: Any) -> None:
        super().__init__(*args, **arguments)
        self.chat_fields({})  # raises for an additional_kwargs that there isn't

    @property
    def model_name(self) -> str | None:
        """The model, by the name it has in other classes."""
        return self.model

    @model_name.setter
    def model_name(self, name: str | None) -> None:
        self.model = name

    @property
    def thinking(self) -> Reasoning | None:
        """`reasoning`, by the name it has in Ollama's class."""
        return self.reasoning

    @thinking.setter
    def thinking(self, reasoning: Reasoning | None) -> None:
        self.reasoning = reasoning

    @field_validator("context_window", mode="before")
    @classmethod
    def _asked_for(cls, tokens: Any) -> Any:
        """Take -1, by which Ollama's class asks its server, as left out."""
        return None if tokens == -1 else tokens

    @field_serializer("image_root")
    def _root_text(self, root: Path | None) -> str | None:
        return None if root is None else str(root)

    @classmethod
    def _hint(cls, name: str) -> str | None:
        return super()._hint(name) or "What only this server knows goes into `extra_body={…}`."

    def chat_fields(self, call: Mapping[str, Any]) -> ChatFields:
        """Return what a request says besides its messages: the object's fields, with the call's own put over them.

        Raises `InvalidRequest` for an option that there isn't.
        """
        own = vars(self)
        fields: dict[str, Any] = {name: own[name] for name in OWN_NAMES}
        fields["extra_body"] = dict(self.extra_body)
        if self.json_mode:
            fields["response_format"] = {"type": "json_object"}
        _put(fields, self.additional_kwargs)
        _put(fields, call)
        if fields.get("tools"):
            fields["tools"] = [tool_spec(tool) if isinstance(tool, BaseTool) else tool for tool in fields["tools"]]
        fields["tool_choice"] = chosen_tool(fields.get("tool_choice"))
        return cast("ChatFields", fields)


#: The options that are fields.
OWN_NAMES: Sequence[str] = ("model", *(name for name in OPTION_NAMES if name in VesselOptions.model_fields))


def _put(fields: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Put options over those there are, by whatever name they come."""
    for name, value in more.items():
        ours = OPTION_ALIASES.get(name, name)
        if name in NOT_SENT or (name, value) == ("n", 1):
            continue
        if ours == "extra_body":
            fields["extra_body"] = merged(fields["extra_body"], value or {})
        elif ours == "options" and isinstance(value, Mapping):
            _put(fields, cast("Mapping[str, Any]", value))
        elif ours in _CALL_NAMES:
            fields[ours] = value
        elif name == "user":
            fields["extra_body"] = {**fields["extra_body"], name: value}
        elif (name, value) == ("format", "json"):  # as Ollama's own API has it
            fields["response_format"] = {"type": "json_object"}
        elif name == "format" and isinstance(value, Mapping):
            schema = dict(cast("Mapping[str, Any]", value))
            fields["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        else:
            close = "." if name in HINTS else did_you_mean(name, [*_CALL_NAMES, *OPTION_ALIASES])
            hint = HINTS.get(name, "What only this server knows goes into `extra_body={…}`.")
            raise InvalidRequest(f"There is no option {name!r}{close}", hint=hint)
