"""The core's options as fields of a model: one for each, under the name the core has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import field_validator
from vessel_core.request import OPTION_NAMES
from vessel_core.types import Bias, Reasoning

from langchain_vessel.connection import ServerFields


class OptionFields(ServerFields):
    """Sampling and control. `None` means the server's own default; one that a server hasn't got is refused before sending.

    `vessel_core.types.ChatOptions` says what each is, its unit, and which servers have it.
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
    logit_bias: dict[str, Bias] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    n: int | None = None
    reasoning: Reasoning | None = None
    strict: bool | None = None

    top_n_sigma: float | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    dynatemp_range: float | None = None
    dynatemp_exponent: float | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_penalty_last_n: int | None = None
    dry_sequence_breakers: list[str] | None = None
    mirostat: Literal[0, 1, 2] | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    adaptive_target: float | None = None
    adaptive_decay: float | None = None
    samplers: list[str] | str | None = None
    min_keep: int | None = None
    ignore_eos: bool | None = None
    grammar: str | None = None

    cache_prompt: bool | None = None
    cache_reuse: int | None = None
    id_slot: int | None = None
    lora: dict[int, float] | None = None
    num_keep: int | None = None
    num_discard: int | None = None
    max_predict_ms: int | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    reasoning_format: Literal["none", "auto", "deepseek", "deepseek-legacy"] | None = None
    reasoning_budget_tokens: int | None = None
    reasoning_budget_message: str | None = None
    continue_final_message: bool | Literal["content", "reasoning_content"] | None = None
    add_generation_prompt: bool | None = None
    return_progress: bool | None = None
    timings_per_token: bool | None = None

    num_ctx: int | None = None
    keep_alive: int | str | None = None
    num_batch: int | None = None
    num_gpu: int | None = None
    main_gpu: int | None = None
    use_mmap: bool | None = None
    num_thread: int | None = None
    draft_num_predict: int | None = None
    truncate: bool | None = None
    shift: bool | None = None

    ttl: int | None = None
    draft_model: str | None = None

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _name_tokens(cls, value: Any) -> Any:
        """Take token ids as numbers too."""
        return {str(token): bias for token, bias in value.items()} if isinstance(value, Mapping) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - checked by the field

    def chosen_options(self) -> dict[str, Any]:
        """Return the options that say something; an empty `stop` says nothing."""
        given = vars(self).items()
        return {name: value for name, value in given if value is not None and name in OPTION_NAMES and value != []}
