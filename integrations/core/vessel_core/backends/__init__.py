"""The servers Vessel knows, a row each. A new one is a file with a `BACKEND` here and its name in `BACKENDS`."""

from __future__ import annotations

from vessel_core.backends.base import Backend, Flow, parse_backend
from vessel_core.backends.compatible import BACKEND as COMPATIBLE
from vessel_core.backends.llamacpp import BACKEND as LLAMACPP
from vessel_core.backends.lmstudio import BACKEND as LMSTUDIO
from vessel_core.backends.ollama import BACKEND as OLLAMA

__all__ = ["BACKENDS", "COMPATIBLE", "LLAMACPP", "LMSTUDIO", "OLLAMA", "Backend", "Flow", "find_backend"]

BACKENDS: tuple[Backend, ...] = (LLAMACPP, LMSTUDIO, OLLAMA, COMPATIBLE)
"""In the order in which a server is recognised; the last one takes every OpenAI-compatible server."""


def find_backend(name: str) -> Backend:
    """Return the backend of that name, in any of its spellings; raise `InvalidConfig` if there is none."""
    return parse_backend(name, BACKENDS)
