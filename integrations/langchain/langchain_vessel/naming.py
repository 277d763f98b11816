"""Chat models by one string, here and in LangChain's `init_chat_model`."""

from __future__ import annotations

import importlib
from difflib import get_close_matches
from functools import partial
from typing import Any

from vessel_core.backends import BACKENDS, find_backend
from vessel_core.errors import InvalidConfig

from langchain_vessel.chat import ChatVessel
from langchain_vessel.embeddings import VesselEmbeddings

PROVIDERS: dict[str, str] = {"vessel": "auto", "llamacpp": "llamacpp", "lmstudio": "lmstudio"}
"""The providers that `register_providers` adds, and the backend of each. LangChain has its own `ollama`."""


def vessel(name: str = "", **options: Any) -> ChatVessel:
    """Return a chat model by its name, `"backend:model"`, each part of which may be missing.

        vessel()                            # a running server, its loaded model
        vessel("ollama:qwen3:8b")           # Ollama's model qwen3:8b
        vessel("llamacpp", temperature=0)   # the model that llama.cpp has loaded
        vessel("qwen3:8b")                  # no backend of that name: a model, on whatever server runs
        vessel("ollma:qwen3")               # raises: did you mean 'ollama'?
        vessel("http://gpu-box:8080")       # the server there

    `options` are those of `ChatVessel`. Raises `InvalidConfig` for what can't be right.
    """
    name = name.strip()
    backend, model = _parts(name)
    named = {"base_url": name} if "://" in name else {"backend": backend, "model": model}
    options = {**{key: value for key, value in named.items() if value}, **options}
    return ChatVessel(**options)


def _parts(name: str) -> tuple[str | None, str | None]:
    first, _, rest = name.partition(":")
    if first.lower() == "auto":
        return "auto", rest or None
    try:
        return find_backend(first).name if first else None, rest or None
    except InvalidConfig:
        _check_spelling(first, name)
        return None, name


def _check_spelling(first: str, name: str) -> None:
    """Raise `InvalidConfig` for what is nearly a backend's name, as no model is called: another server would answer."""
    known = [spelling for backend in BACKENDS for spelling in (backend.name, *backend.aliases)]
    near = [each for each in known if each[0] == first[0].lower()]
    if meant := get_close_matches(first.lower(), near, n=1, cutoff=0.9):
        raise InvalidConfig(
            f"There is no backend {first!r}: did you mean {meant[0]!r}?",
            hint=f"If a model is called so, say ChatVessel(model={name!r}).",
        )


def register_providers() -> None:
    """Make LangChain's `init_chat_model` and `init_embeddings` know `vessel:`, `llamacpp:` and `lmstudio:`.

        register_providers()
        init_chat_model("llamacpp:qwen3", temperature=0)
        create_agent("vessel:qwen3:8b", tools)

    LangChain's list of providers is closed, so this adds to a private one; passing an object, such as `vessel("…")`, needs
    none of it. Raises `ImportError` if `langchain` is not installed.
    """
    for module, cls, make in (
        ("langchain.chat_models.base", ChatVessel, _chat),
        ("langchain.embeddings.base", VesselEmbeddings, _embeddings),
    ):
        providers: dict[str, Any] = importlib.import_module(module)._BUILTIN_PROVIDERS  # noqa: SLF001 - see above
        for name, backend in PROVIDERS.items():
            providers[name] = ("langchain_vessel", cls.__name__, partial(make, backend))


def _chat(backend: str, cls: type[ChatVessel], **options: Any) -> ChatVessel:
    options.setdefault("backend", backend)
    return cls(**options)


def _embeddings(backend: str, cls: type[VesselEmbeddings], **options: Any) -> VesselEmbeddings:
    options.setdefault("backend", backend)
    return cls(**options)
