"""Which option each kind of server takes, and by what name.

A server's table maps our name to its own, with a dot where it stands inside another object (`options.num_predict`). What a
server is known not to have is in its `refused`; what is in neither is sent by our name, and the server answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from vessel_core.options import OPTION_NAMES, ChatOptions, EmbedOptions

NEVER = -100
"""The bias that OpenAI's API documents as a ban."""

EVERYWHERE = frozenset({"reasoning", "strict"})
"""Written in a way of their own by each dialect, never by name."""


CHAT_ONLY = frozenset(
    {
        *("reasoning", "chat_template_kwargs", "continue_final_message", "add_generation_prompt"),
        *("reasoning_format", "reasoning_budget_tokens", "reasoning_budget_message"),
    }
)
"""What belongs to a chat template, so that a raw completion has none of it."""


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in " ".join(names).split()}


_BASIC = _same("max_tokens temperature top_p seed stop presence_penalty frequency_penalty")

OPENAI: Mapping[str, str] = {**_BASIC, **_same("logit_bias logprobs top_logprobs n")}
"""What OpenAI's own API documents."""

LLAMACPP: Mapping[str, str] = {
    **OPENAI,
    **_same("top_k min_p typical_p repeat_penalty repeat_last_n top_n_sigma xtc_probability xtc_threshold"),
    **_same("dynatemp_range dynatemp_exponent dry_multiplier dry_base dry_allowed_length dry_penalty_last_n"),
    **_same(
        "dry_sequence_breakers mirostat mirostat_tau mirostat_eta adaptive_target adaptive_decay samplers min_keep"
    ),
    **_same(
        "ignore_eos grammar cache_prompt id_slot lora chat_template_kwargs reasoning_format reasoning_budget_tokens"
    ),
    **_same("reasoning_budget_message continue_final_message add_generation_prompt return_progress timings_per_token"),
    "num_keep": "n_keep",
    "num_discard": "n_discard",
    "cache_reuse": "n_cache_reuse",
    "max_predict_ms": "t_max_predict_ms",
}
"""llama.cpp's `server-schema.cpp` of August 2026."""

LMSTUDIO: Mapping[str, str] = {**_BASIC, **_same("top_k repeat_penalty logit_bias ttl draft_model")}
"""LM Studio's documented list. `min_p`, `logprobs`, `top_logprobs` and `n` are not on it, but may be taken."""

VLLM: Mapping[str, str] = {
    **OPENAI,
    **_same("top_k min_p chat_template_kwargs continue_final_message add_generation_prompt"),
    "repeat_penalty": "repetition_penalty",
}
"""vLLM's; others it accepts, and only logs."""

REPETITION: Mapping[str, str] = {**OPENAI, **_same("top_k min_p"), "repeat_penalty": "repetition_penalty"}
"""What SGLang, mlx-lm and text-generation-webui call a repeat penalty, by SGLang's `protocol.py` and mlx-lm's `SERVER.md`."""

RUNNER = frozenset({"num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "shift"})
"""What Ollama starts a model's runner with: another value, or none after one, loads the model anew (`needsReload`)."""

_INSIDE = _same(
    "temperature top_p top_k min_p typical_p seed stop presence_penalty frequency_penalty repeat_penalty repeat_last_n",
    "num_ctx num_keep num_batch num_gpu main_gpu use_mmap num_thread draft_num_predict",
)
OLLAMA: Mapping[str, str] = {
    "max_tokens": "options.num_predict",
    **{name: f"options.{name}" for name in _INSIDE},
    **_same("keep_alive logprobs top_logprobs truncate shift"),
}
"""Ollama's native API. Unknown names under its `options` are only logged."""

OLLAMA_ONLY = frozenset({"num_ctx", "keep_alive", "draft_num_predict", "truncate", "shift"}) | RUNNER
"""What no other server has."""


def all_but(taken: Mapping[str, str], *unknown: str) -> frozenset[str]:
    """Return the options that a server with this list has not got; of those in `unknown` nothing is known."""
    return OPTION_NAMES - EVERYWHERE - set(taken) - set(unknown)


def written(options: ChatOptions, taken: Mapping[str, str], inside: str = "") -> dict[str, Any]:
    """Return the fields of a body for the options, by the server's names; one without a name there goes `inside` by ours."""
    body: dict[str, Any] = {}
    for name, value in options.items():
        if name in EVERYWHERE:
            continue
        outer, dot, inner = taken.get(name, f"{inside}{name}").rpartition(".")
        place: dict[str, Any] = body.setdefault(outer, {}) if dot else body
        place[inner] = _formed(name, value, taken)
    return body


def _formed(name: str, value: Any, taken: Mapping[str, str]) -> Any:
    """Return an option's value in the form that servers take it in."""
    if name == "lora":
        return _adapters(value)
    if name == "logit_bias":
        never = False if "samplers" in taken else NEVER  # llama.cpp's `false` is minus infinity
        return {str(token): never if bias is False else bias for token, bias in value.items()}
    return value


def embed_options(options: EmbedOptions | None) -> ChatOptions:
    """Return those of an embedding request's options that are options of a chat as well."""
    given = {name: value for name, value in (options or {}).items() if name in OPTION_NAMES and value is not None}
    return cast("ChatOptions", given)


def _adapters(scales: Mapping[int, float]) -> list[dict[str, float]]:
    """Return the LoRA scales of one request as llama.cpp takes them."""
    return [{"id": key, "scale": scale} for key, scale in scales.items()]
