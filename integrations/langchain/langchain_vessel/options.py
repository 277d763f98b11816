"""The names a caller may use: the core's options, and what other integrations call the same things.

A name that is none of them is refused with the nearest one, so that a misspelt option never changes nothing without a word.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any, cast

from vessel_core import Timeout
from vessel_core.errors import InvalidConfig, InvalidRequest, did_you_mean
from vessel_core.merging import joined, merged
from vessel_core.request import OPTION_NAMES

ALIASES: Mapping[str, str] = {
    # ChatOpenAI, OpenAIEmbeddings
    "model_name": "model",
    "openai_api_key": "api_key",
    "openai_api_base": "base_url",
    "request_timeout": "timeout",
    "max_completion_tokens": "max_tokens",
    "stop_sequences": "stop",
    "default_headers": "headers",
    "reasoning_effort": "reasoning",
    # ChatLiteLLM
    "api_base": "base_url",
    "extra_headers": "headers",
    "num_retries": "max_retries",
    # ChatOllama
    "num_predict": "max_tokens",
    "format": "response_format",
    # llama.cpp's own names
    "n_predict": "max_tokens",
    "typ_p": "typical_p",
    "repetition_penalty": "repeat_penalty",
    # OpenAIEmbeddings, and what most embeddings call it
    "chunk_size": "batch_size",
    "max_concurrency": "concurrency",
    "output_dimensionality": "dimensions",
    "query_instruction": "query_prefix",
    "embed_instruction": "document_prefix",
}
"""What others call it → what it is called here."""

MEANT_ANYWAY = frozenset(
    {
        "stream_usage",  # usage always comes
        "use_responses_api",
        "validate_model_on_init",  # an unknown model is an error that names the nearest ones, at the first call
        "check_embedding_ctx_length",  # texts go as texts
        "tiktoken_enabled",
        "skip_empty",
        "embedding_ctx_length",
        "tiktoken_model_name",  # the server's tokenizer counts
        "disabled_params",  # nothing is sent that was not asked for
        "stream_options",
    }
)
"""Options of the peers that ask for what happens anyway, or switch off what never happens."""

_OF_THE_CLOUD = "It is a matter of a cloud's, and no local server knows it: leave it out."
_NO_VECTOR = "It has no effect on vectors: leave it out."
_OWN_CLIENT = "Say `headers`, `verify` and `timeout`, or `client=vessel_core.Client(…, http_transport=…)`."
INSTEAD: Mapping[str, str] = {
    **dict.fromkeys(("http_client", "http_async_client", "http_socket_options"), _OWN_CLIENT),
    "default_query": "No local server reads a query: send what it needs by `headers` or `extra_body`.",
    **dict.fromkeys(
        ("show_progress", "show_progress_bar"), "`vessel_core.bulk` embeds a corpus and shows how far it is."
    ),
    "openai_proxy": "The environment's HTTPS_PROXY is followed, for hosts that are not local.",
    "stream_chunk_timeout": "Say `timeout=vessel_core.Timeout(first_token=…, between_tokens=…)`.",
    "custom_llm_provider": "Say `backend=`.",
    **dict.fromkeys(("organization", "openai_organization", "service_tier", "store", "verbosity"), _OF_THE_CLOUD),
    **dict.fromkeys(("use_previous_response_id", "include", "truncation", "context_management"), _OF_THE_CLOUD),
    **dict.fromkeys(("api_version", "openai_api_version", "openai_api_type", "deployment"), _OF_THE_CLOUD),
    **dict.fromkeys(("temperature", "top_k", "top_p", "stop", "mirostat", "mirostat_eta", "mirostat_tau"), _NO_VECTOR),
    **dict.fromkeys(("repeat_last_n", "repeat_penalty"), _NO_VECTOR),
}
"""Options of the peers that can't be taken over, and what to do. Sampling is refused by embeddings alone."""

RUNNER_ONLY = frozenset({"tfs_z"})
"""Options of ChatOllama that only Ollama's runner knows: they travel as `extra_body={"options": {…}}`."""

_ELSE = "What only your server knows goes into `extra_body={…}`."
_OF_THE_OBJECT = frozenset({"headers", "api_key", "base_url", "max_retries"})
_HTTP_KWARGS = ("client_kwargs", "sync_client_kwargs", "async_client_kwargs")


def plain_arguments(given: Mapping[str, Any], known: Iterable[str], owner: str) -> dict[str, Any]:
    """Return a constructor's arguments under our own names; raise `InvalidConfig` on an unknown one."""
    known = frozenset(known)
    plain: dict[str, Any] = {}
    for name, value in given.items():
        ours = name if name in known else ALIASES.get(name, "")
        if ours in known:
            _add(plain, ours, value, name)
        elif name in RUNNER_ONLY and "extra_body" in known:
            _add(plain, "extra_body", {"options": {name: value}}, name)
        elif name == "model_kwargs" and "extra_body" in known:
            for key, member in _named(value or {}, known):
                _add(plain, key, member, name)
        elif name in _HTTP_KWARGS:
            for key, member in _http_arguments(name, value or {}).items():
                _add(plain, key, member, name)
        elif name not in MEANT_ANYWAY:
            others = {alias for alias, ours in ALIASES.items() if ours in known}
            raise InvalidConfig(
                f"{owner} has no argument {name!r}{did_you_mean(name, known | others)}",
                hint=INSTEAD.get(name, _ELSE if "extra_body" in known else None),
            )
    return _as_here(plain)


def _add(plain: dict[str, Any], ours: str, value: Any, name: str) -> None:
    """Add an argument. Dicts are put together; raise `InvalidConfig` for what is given twice with different values."""
    said = f"`{ours}`" if name == ours else f"`{ours}` (once as `{name}`)"
    plain[ours] = joined(plain.get(ours), value, said)


def call_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of one call under our own names; the core refuses what it doesn't know.

    Of two names for one thing the later counts: what is given with a call comes after what was bound. Raises
    `InvalidRequest` for what belongs to the model's object: where the server is, and how it is talked to.
    """
    plain: dict[str, Any] = {}
    for name, value in given.items():
        if name in RUNNER_ONLY:
            found = [("extra_body", {"options": {name: value}})]
        elif name == "options" and isinstance(value, Mapping):
            found = _named(cast("Mapping[str, Any]", value), OPTION_NAMES)
        elif name in MEANT_ANYWAY or name == "stream":
            continue
        elif (ours := ALIASES.get(name, name)) in _OF_THE_OBJECT:
            raise InvalidRequest(f"{name} can't be given with a call.", hint=f"Give `{ours}=` when the model is made.")
        else:
            found = [(ALIASES.get(name, name), value)]
        for ours, member in found:
            plain[ours] = merged(plain.get(ours) or {}, member or {}) if ours == "extra_body" else member
    return _as_here(plain)


def _as_here(plain: dict[str, Any]) -> dict[str, Any]:
    """Write values in the forms of the peers as they are written here."""
    timeout: Any = plain.get("timeout")
    url, reasoning = plain.get("base_url"), plain.get("reasoning")
    if hasattr(timeout, "connect") and hasattr(timeout, "read"):  # httpx.Timeout
        plain["timeout"] = _timeout(timeout.connect, timeout.read)
    elif isinstance(timeout, tuple) and len(parts := cast("tuple[Any, ...]", timeout)) > 1:  # connect, read, and more
        plain["timeout"] = _timeout(parts[0], parts[1])
    if isinstance(url, str) and url.strip() and "://" not in url:
        plain["base_url"] = f"http://{url.strip()}"
    if isinstance(reasoning, Mapping):
        plain["reasoning"] = cast("Mapping[str, Any]", reasoning).get("effort")
    if "max_retries" in plain and plain["max_retries"] is None:
        del plain["max_retries"]
    return plain


def _timeout(connect: float | None, read: float | None) -> Timeout:
    """Return the timeout of who bounds connecting and each read."""
    return Timeout(connect=connect, first_token=read, between_tokens=read, request=read)


def _named(options: Mapping[str, Any], known: Container[str]) -> list[tuple[str, Any]]:
    """Return a dict of options by our names: what is known under its own, the rest as part of the body."""
    found: list[tuple[str, Any]] = []
    for name, value in options.items():
        ours = ALIASES.get(name, name)
        if ours in known:
            found.append((ours, value))
        else:
            found.append(("extra_body", {"options": {name: value}} if name in RUNNER_ONLY else {name: value}))
    return found


def _http_arguments(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what can be taken over from arguments meant for an httpx client."""
    for key in given:
        if key not in ("headers", "timeout", "verify"):
            raise InvalidConfig(
                f"{name}={{{key!r}: …}} is not known.", hint="Use `headers`, `timeout` and `verify`, or pass `client=`."
            )
    return dict(given)
