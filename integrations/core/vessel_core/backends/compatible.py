"""Any other OpenAI-compatible server: what is asked for is sent, and the server answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vessel_core.backends.base import Backend, Evidence, Flow, find_model, get_json, items, try_json
from vessel_core.backends.openai_features import FEATURES
from vessel_core.types import ModelInfo
from vessel_core.wire import openai
from vessel_core.wire.reading import mapping


def read_models(document: Mapping[str, Any]) -> list[ModelInfo]:
    """Read an OpenAI model list, with the context length where a server adds it (vLLM: `max_model_len`)."""
    models: list[ModelInfo] = []
    for item in items(document, "data"):
        length = item.get("max_model_len") or mapping(item.get("meta")).get("n_ctx")
        models.append(ModelInfo(str(item.get("id")), context_length=length, max_context_length=length))
    return models


def models() -> Flow[list[ModelInfo]]:
    """List the models."""
    return read_models((yield from get_json("/v1/models")))


def model(name: str | None) -> Flow[ModelInfo]:
    """Describe a model."""
    return find_model((yield from models()), name)


def version() -> Flow[str | None]:
    """Ask for the version; few have one (vLLM, LocalAI)."""
    return (yield from try_json("/version")).get("version")


def recognises(evidence: Evidence) -> bool:
    """Whether there is a model list at all."""
    return isinstance(mapping(evidence.get("/v1/models")).get("data"), list | None)


BACKEND = Backend(
    name="openai",
    title="OpenAI-compatible server",
    aliases=("openai-compatible", "compatible", "generic", "v1"),
    dialect=openai,
    models=models,
    model=model,
    version=version,
    recognises=recognises,
    health="/v1/models",
    features=FEATURES,
)
