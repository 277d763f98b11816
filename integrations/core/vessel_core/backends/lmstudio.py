"""LM Studio (servers.md §3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from vessel_core.backends.base import Backend, Evidence, Flow, find_model, get_json, items, owners, try_json
from vessel_core.backends.compatible import read_models
from vessel_core.backends.lmstudio_features import FEATURES
from vessel_core.types import Capabilities, ModelInfo, ModelKind
from vessel_core.wire import Quirks, openai
from vessel_core.wire.options import LMSTUDIO, all_but
from vessel_core.wire.reading import count, mapping

_KINDS: dict[str, ModelKind] = {"llm": "chat", "vlm": "chat", "embedding": "embedding", "embeddings": "embedding"}


def models() -> Flow[list[ModelInfo]]:
    """List the models by the typed REST API: 0.4.0 and later, else the older one, else the plain list (quirk 85)."""
    if found := items((yield from try_json("/api/v1/models")), "models"):
        return [_read_v1(item) for item in found]
    if found := items((yield from try_json("/api/v0/models")), "data"):
        return [_read_v0(item) for item in found]
    return read_models((yield from get_json("/v1/models")))


def _read_v1(item: Mapping[str, Any]) -> ModelInfo:
    loaded = items(item, "loaded_instances")
    config = mapping(loaded[0].get("config") if loaded else None)
    caps = mapping(item.get("capabilities"))
    kind = _KINDS.get(str(item.get("type")))
    return ModelInfo(
        id=str(item.get("key")),
        kind=kind,
        state="loaded" if loaded else "unloaded",
        context_length=config.get("context_length"),
        max_context_length=item.get("max_context_length"),
        slots=count(config.get("parallel")),
        size=item.get("size_bytes"),
        parameters=item.get("params_string"),
        quantization=mapping(item.get("quantization")).get("name"),
        family=item.get("architecture"),
        capabilities=Capabilities(
            chat=kind == "chat",
            tools=caps.get("trained_for_tool_use") or None,  # untrained models get a default tool format
            structured_output=kind == "chat",
            grammar=False,
            vision=caps.get("vision"),
            image_urls=False,
            reasoning=bool(caps["reasoning"]) if "reasoning" in caps else None,
            embeddings=kind == "embedding",
            rerank=False,
            count_tokens=False,
        ),
    )


def _read_v0(item: Mapping[str, Any]) -> ModelInfo:
    kind = _KINDS.get(str(item.get("type")))
    names = item.get("capabilities")
    caps = cast("list[Any]", names) if isinstance(names, list) else []
    return ModelInfo(
        id=str(item.get("id")),
        kind=kind,
        state="loaded" if item.get("state") == "loaded" else "unloaded",
        context_length=item.get("loaded_context_length"),
        max_context_length=item.get("max_context_length"),
        quantization=item.get("quantization"),
        family=item.get("arch"),
        capabilities=Capabilities(
            chat=kind == "chat",
            tools="tool_use" in caps or None,
            structured_output=kind == "chat",
            grammar=False,
            vision=item.get("type") == "vlm",
            image_urls=False,
            embeddings=kind == "embedding",
            rerank=False,
            count_tokens=False,
        ),
    )


def model(name: str | None) -> Flow[ModelInfo]:
    """Describe a model."""
    return find_model((yield from models()), name)


def version() -> Flow[str | None]:
    """LM Studio does not tell its version over HTTP."""
    return None
    yield  # a flow of no requests


def recognises(evidence: Evidence) -> bool:
    """Its REST lists, its name in the plain list, or the error it has for every unknown route."""
    if any("loaded_instances" in item for item in items(mapping(evidence.get("/api/v1/models")), "models")):
        return True
    if any("state" in item for item in items(mapping(evidence.get("/api/v0/models")), "data")):
        return True
    unknown = (str(mapping(document).get("error", "")) for path, document in evidence.items() if path)
    return "organization_owner" in owners(evidence) or any(text.startswith("Unexpected endpoint") for text in unknown)


BACKEND = Backend(
    name="lmstudio",
    title="LM Studio",
    aliases=("lm-studio", "lm_studio", "lm studio", "lms"),
    env="LMSTUDIO_URL",
    urls=("http://localhost:1234",),
    probed=True,
    dialect=openai,
    quirks=Quirks(
        json_object=False,
        image_urls=False,
        forced_by_schema="if_needed",
        image_types=frozenset({"image/png", "image/jpeg"}),
        takes=LMSTUDIO,
        refused=all_but(LMSTUDIO, "min_p", "logprobs", "top_logprobs", "n"),
    ),
    models=models,
    model=model,
    version=version,
    recognises=recognises,
    tells_slots=True,
    start="lms server start",
    then="lms load",
    health="/v1/models",
    features=FEATURES,
)
