"""The settings of a chat model: the core's options as fields, under the names LangChain users know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator
from vessel_core.request import OPTION_NAMES, checked_options
from vessel_core.types import Reasoning

from langchain_vessel.connection import ServerFields
from langchain_vessel.options import call_options
from langchain_vessel.structured import to_response_format
from langchain_vessel.tools import to_tool_choice, to_tools


class ChatSettings(ServerFields):
    """How a chat model answers. `None` means the server's own default.

    - `temperature`, `top_p`, `top_k`, `min_p`, `typical_p`, `seed` and the penalties: sampling
    - `max_tokens`: the longest answer, in tokens; `stop`: texts that end it
    - `reasoning`: whether to think first, or how hard (`"low"` … `"max"`)
    - `logprobs`, `top_logprobs` (0–20), `n` (choices, in `generate` and `batch`; a stream has the first)
    - `num_ctx` (tokens), `keep_alive` (seconds or `"5m"`): Ollama's; `ttl` (seconds): LM Studio's
    - `grammar` (GBNF), `cache_prompt`, `id_slot`: llama.cpp's
    - `response_format`: the form of each answer, as `with_structured_output` takes it
    - `extra_body`: merged into the request as it is
    - `streaming`: `True` makes `invoke` stream to callbacks, `False` makes `stream` come in one piece
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    typical_p: float | None = None
    seed: int | None = None
    stop: list[str] | str | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repeat_penalty: float | None = None
    repeat_last_n: int | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    n: int | None = None
    reasoning: Reasoning | None = None
    num_ctx: int | None = None
    keep_alive: int | str | None = None
    ttl: int | None = None
    grammar: str | None = None
    cache_prompt: bool | None = None
    id_slot: int | None = None
    response_format: Any = Field(default=None, repr=False)
    extra_body: dict[str, Any] | None = None
    streaming: bool = False

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _name_tokens(cls, value: Any) -> Any:
        return {str(token): bias for token, bias in value.items()} if isinstance(value, Mapping) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - checked by the field

    def chosen_options(self) -> dict[str, Any]:
        """Return the options that say something; an empty `stop` says nothing."""
        values = self.__dict__
        return {name: value for name in OPTION_NAMES if (value := values[name]) is not None and value != []}

    def request_fields(self, stop: list[str] | None, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what one call asks of the core: the settings, then what was bound or given with the call."""
        call = call_options(given)
        tools = to_tools(call.pop("tools", None), call.pop("strict", None))
        fields: dict[str, Any] = {"model": self.model, **self.chosen_options(), **call}
        if stop:
            fields["stop"] = stop
        fields["tools"] = tools
        fields["tool_choice"] = to_tool_choice(call.get("tool_choice"), tools)
        fields["response_format"] = to_response_format(call.get("response_format", self.response_format))
        fields["extra_body"] = {**(self.extra_body or {}), **(call.get("extra_body") or {})} or None
        return fields

    def answer_settings(self) -> dict[str, Any]:
        """Return everything here that changes an answer: it is part of the key of LangChain's cache."""
        shown: dict[str, Any] = {**self._where(), **self.chosen_options()}
        for name in ("response_format", "extra_body"):
            if (value := self.__dict__[name]) is not None:
                shown[name] = value
        return shown


def check_options(settings: ChatSettings) -> None:
    """Raise `InvalidRequest` for an option with a value that can't be right."""
    checked_options(settings.chosen_options())
