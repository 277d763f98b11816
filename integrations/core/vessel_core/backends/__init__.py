"""The servers Vessel knows, a row each. A new one is a file with a `BACKEND` here and its name in `BACKENDS`."""

from __future__ import annotations

import re
from functools import lru_cache

from vessel_core.backends.base import Backend, Evidence, Flow, parse_backend
from vessel_core.backends.compatible import BACKEND as COMPATIBLE
from vessel_core.backends.koboldcpp import BACKEND as KOBOLDCPP
from vessel_core.backends.litellm import BACKEND as LITELLM
from vessel_core.backends.llamacpp import BACKEND as LLAMACPP
from vessel_core.backends.llamafile import BACKEND as LLAMAFILE
from vessel_core.backends.llamaswap import BACKEND as LLAMASWAP
from vessel_core.backends.lmstudio import BACKEND as LMSTUDIO
from vessel_core.backends.localai import BACKEND as LOCALAI
from vessel_core.backends.mlx import BACKEND as MLX
from vessel_core.backends.ollama import BACKEND as OLLAMA
from vessel_core.backends.sglang import BACKEND as SGLANG
from vessel_core.backends.tabbyapi import BACKEND as TABBYAPI
from vessel_core.backends.textgen import BACKEND as TEXTGEN
from vessel_core.backends.vllm import BACKEND as VLLM

__all__ = ["BACKENDS", "COMPATIBLE", "LLAMACPP", "LMSTUDIO", "OLLAMA", "Backend", "Flow", "find_backend"]

BACKENDS: tuple[Backend, ...] = (
    LLAMACPP,
    LMSTUDIO,
    OLLAMA,
    VLLM,
    SGLANG,
    LOCALAI,
    KOBOLDCPP,
    TABBYAPI,
    TEXTGEN,
    LLAMASWAP,
    LLAMAFILE,
    MLX,
    LITELLM,
    COMPATIBLE,
)
"""The first three are looked for at their default addresses; the last one takes every OpenAI-compatible server."""


@lru_cache(64)
def find_backend(name: str) -> Backend:
    """Return the backend of that name, in any of its spellings; raise `InvalidConfig` if there is none."""
    return parse_backend(name, BACKENDS)


def recognise(evidence: Evidence) -> Backend | None:
    """Return the backend that the evidence is of, `None` if it is nobody's yet.

    Those that play another server are asked before it: llama-swap and LocalAI answer as llama.cpp or Ollama do.
    """
    players = (LLAMASWAP, KOBOLDCPP, LOCALAI)
    others = [backend for backend in BACKENDS[:-1] if backend not in players]
    return next((backend for backend in (*players, *others) if backend.recognises(evidence)), None)


def told_by_header(server: str) -> Backend | None:
    """Return the backend whose `Server` header this is, `None` if it is nobody's own."""
    return recognise({"": server})


def told_by_answer(fingerprint: str, model: str | None) -> Backend | None:
    """Return the backend whose `system_fingerprint` an answer has: Ollama's word, llama.cpp's build, LM Studio's model."""
    if fingerprint == "fp_ollama":
        return OLLAMA
    if re.fullmatch(r"b\d+-[0-9a-f]{6,40}", fingerprint):
        return LLAMACPP
    return LMSTUDIO if fingerprint == model else None
