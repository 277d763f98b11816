"""The options of a request: one spelling for every server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, Strict, with_config
from typing_extensions import TypedDict

from vessel_core.errors import InvalidRequest

if TYPE_CHECKING:
    from pydantic_core import ValidationError

Reasoning = bool | Literal["none", "minimal", "low", "medium", "high", "max"]

Bias = Annotated[Annotated[float, Strict()] | Literal[False], Field(union_mode="left_to_right")]
"""What is added to a token's chance, or `False`: it is never written."""


@with_config(ConfigDict(extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False))
class ChatOptions(TypedDict, total=False):
    """Sampling and control, spelled one way for every server. Absent or `None` means the server's own default.

    An option that a server is known not to have is refused before anything is sent; `docs/servers.md` shows which. What only
    one server knows and is not here goes into `extra_body`.

    Of every server:

    - `max_tokens` bounds the answer, thoughts included; `stop` is a text, or a list of texts, that ends it
    - `temperature`, `top_p`, `top_k`, `min_p`, `typical_p`, `seed`, the three penalties and `repeat_last_n` (tokens)
    - `logit_bias` maps token ids to a bias, or to `False`: never that token; `n` asks for several choices
    - `logprobs`, `top_logprobs` (0–20, per token)
    - `reasoning` switches thinking on or off, or gives an effort
    - `strict` makes a prompt that the server had to cut a `ContextOverflow`

    llama.cpp's samplers: `top_n_sigma`, `xtc_*`, `dynatemp_*`, `dry_*`, `mirostat` (0–2) with `_tau` and `_eta`, `adaptive_*`,
    `samplers` (names in order, or their letters), `min_keep`, `ignore_eos`; `grammar` is GBNF.

    llama.cpp's control: `cache_prompt`, `id_slot`, `lora` (adapter id → scale), `num_keep` and `num_discard` (tokens),
    `cache_reuse` (tokens), `max_predict_ms`, `chat_template_kwargs`, `reasoning_budget_tokens`, `reasoning_budget_message`,
    `reasoning_format` (`"none"` leaves a thought in the text), `continue_final_message`, `add_generation_prompt`,
    `return_progress`, `timings_per_token`.

    Ollama's: `num_ctx` (tokens), `keep_alive` (seconds or `"5m"`), `num_keep`, `num_batch`, `num_gpu` (layers), `main_gpu`,
    `use_mmap`, `num_thread`, `draft_num_predict`, `truncate` and `shift` (whether a prompt, or an answer, that is too long
    is cut). LM Studio's: `ttl` (seconds), `draft_model`.
    """

    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    typical_p: float | None
    seed: int | None
    stop: str | list[str] | None
    presence_penalty: float | None
    frequency_penalty: float | None
    repeat_penalty: float | None
    repeat_last_n: int | None
    logit_bias: dict[int | str, Bias] | None
    logprobs: bool | None
    top_logprobs: int | None
    n: int | None
    reasoning: Reasoning | None
    strict: bool | None

    top_n_sigma: float | None
    xtc_probability: float | None
    xtc_threshold: float | None
    dynatemp_range: float | None
    dynatemp_exponent: float | None
    dry_multiplier: float | None
    dry_base: float | None
    dry_allowed_length: int | None
    dry_penalty_last_n: int | None
    dry_sequence_breakers: list[str] | None
    mirostat: Literal[0, 1, 2] | None
    mirostat_tau: float | None
    mirostat_eta: float | None
    adaptive_target: float | None
    adaptive_decay: float | None
    samplers: list[str] | str | None
    min_keep: int | None
    ignore_eos: bool | None
    grammar: str | None

    cache_prompt: bool | None
    cache_reuse: int | None
    id_slot: int | None
    lora: dict[int, float] | None
    num_keep: int | None
    num_discard: int | None
    max_predict_ms: int | None
    chat_template_kwargs: dict[str, Any] | None
    reasoning_format: Literal["none", "auto", "deepseek", "deepseek-legacy"] | None
    reasoning_budget_tokens: int | None
    reasoning_budget_message: str | None
    continue_final_message: bool | Literal["content", "reasoning_content"] | None
    add_generation_prompt: bool | None
    return_progress: bool | None
    timings_per_token: bool | None

    num_ctx: int | None
    keep_alive: int | str | None
    num_batch: int | None
    num_gpu: int | None
    main_gpu: int | None
    use_mmap: bool | None
    num_thread: int | None
    draft_num_predict: int | None
    truncate: bool | None
    shift: bool | None

    ttl: int | None
    draft_model: str | None


class EmbedOptions(TypedDict, total=False):
    """What an embedding request may say beside its texts, spelled and refused as the options of a chat.

    `truncate` lets Ollama cut a text that is too long, where it is an error otherwise. The runner's options are Ollama's, and
    `ttl` is LM Studio's. `extra_body` goes into the JSON body as it is.
    """

    truncate: bool | None
    keep_alive: int | str | None
    num_ctx: int | None
    num_batch: int | None
    num_gpu: int | None
    main_gpu: int | None
    use_mmap: bool | None
    num_thread: int | None
    ttl: int | None
    extra_body: Mapping[str, Any] | None


OPTION_NAMES = frozenset(ChatOptions.__annotations__)

NEVER = "A token that must never come has `False` in place of a bias."


def wrong_option(given: Mapping[str, Any], error: ValidationError) -> InvalidRequest:
    """Name an option that is wrong, and all that it could be."""
    errors = error.errors()
    wrong = max(errors, key=lambda each: len(each["loc"]))
    name, *inside = wrong["loc"]
    where = f"{name}[{inside[0]!r}]" if inside and isinstance(given[str(name)], Mapping) else name
    same = (each["msg"] for each in errors if each["loc"][:-1] == wrong["loc"][:-1] and each["input"] is wrong["input"])
    first, *others = (said.replace(", unable to interpret input", "") for said in same)
    wanted = " or ".join([first, *(other.removeprefix("Input should be ") for other in others)])
    hint = NEVER if name == "logit_bias" else "`ChatOptions` says what each option takes."
    return InvalidRequest(f"{where}={wrong['input']!r}: {wanted}.", hint=hint)


def checked_extra(extra_body: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return what goes into the body as it is, if it has the form of one."""
    if not isinstance(extra_body, Mapping | None):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidRequest(f"extra_body is a {type(extra_body).__name__}.", hint="Give the fields of a JSON object.")
    return extra_body or {}
