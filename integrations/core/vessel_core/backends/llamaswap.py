"""llama-swap (servers.md §4.1): a proxy that starts llama-server and others by the model a request names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vessel_core.backends.base import Backend, Evidence, Flow, find_model, get_json, items, owners
from vessel_core.backends.compatible import read_models, version
from vessel_core.backends.openai_features import FEATURES
from vessel_core.types import ModelInfo
from vessel_core.wire import Quirks, openai
from vessel_core.wire.options import LLAMACPP, all_but
from vessel_core.wire.reading import mapping, string


def models() -> Flow[list[ModelInfo]]:
    """List the models it can start, with the state of each."""
    document = yield from get_json("/v1/models")
    listed = items(document, "data")
    return [replace(one, state=_state(item)) for one, item in zip(read_models(document), listed, strict=True)]


def _state(item: Mapping[str, Any]) -> str:
    return string(mapping(item.get("status")).get("value")) or "unloaded"


def model(name: str | None) -> Flow[ModelInfo]:
    """Describe a model."""
    return find_model((yield from models()), name)


def recognises(evidence: Evidence) -> bool:
    """Its name in the model list, or its list of what is running."""
    return "llama-swap" in owners(evidence) or isinstance(mapping(evidence.get("/running")).get("running"), list)


BACKEND = Backend(
    name="llamaswap",
    title="llama-swap",
    aliases=("llama-swap", "llama_swap"),
    env="LLAMASWAP_URL",
    urls=("http://localhost:8080",),
    dialect=openai,
    quirks=Quirks(
        json_object_schema=True,
        image_urls=True,
        thinking="template",
        schema_with_tools=False,
        takes=LLAMACPP,
        refused=all_but(LLAMACPP, "ttl"),
    ),
    models=models,
    model=model,
    version=version,
    recognises=recognises,
    start="llama-swap --config config.yaml",
    health="/health",
    hands_on=True,
    features=FEATURES,
)
