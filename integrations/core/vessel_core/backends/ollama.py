"""Ollama, by its native API (servers.md §2): its `/v1` ignores options and loses errors inside a stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vessel_core.backends.base import (
    Backend,
    Evidence,
    Flow,
    choose_model,
    get_json,
    items,
    plain_name,
    same_model,
    try_json,
)
from vessel_core.backends.ollama_features import FEATURES
from vessel_core.types import Capabilities, ModelInfo
from vessel_core.wire import Quirks, ollama
from vessel_core.wire.options import OLLAMA, all_but
from vessel_core.wire.reading import mapping, string


def models() -> Flow[list[ModelInfo]]:
    """List what is installed (`/api/tags`), with the context that is really allocated for what is loaded (`/api/ps`)."""
    installed = items((yield from get_json("/api/tags")), "models")
    running = {plain_name(_name(one)): one for one in reversed(items((yield from try_json("/api/ps")), "models"))}
    return [_read(item, running) for item in installed]


def _name(item: Mapping[str, Any]) -> str:
    return str(item.get("model") or item.get("name"))


def _read(item: Mapping[str, Any], running: Mapping[str, Mapping[str, Any]]) -> ModelInfo:
    name = _name(item)
    details = mapping(item.get("details"))
    loaded = running.get(plain_name(name))
    capabilities = read_capabilities(item.get("capabilities"))
    return ModelInfo(
        id=name,
        kind=_kind(capabilities, details),
        state="unloaded" if loaded is None else "loaded",
        context_length=loaded.get("context_length") if loaded else None,
        max_context_length=details.get("context_length"),
        embedding_length=details.get("embedding_length"),
        size=item.get("size"),
        parameters=details.get("parameter_size"),
        quantization=details.get("quantization_level"),
        family=details.get("family"),
        digest=string(item.get("digest")),
        capabilities=capabilities,
    )


def _kind(capabilities: Capabilities, details: Mapping[str, Any]) -> Any:
    if capabilities.embeddings and not capabilities.chat:
        return "embedding"
    return "chat" if capabilities.chat else ("embedding" if "bert" in str(details.get("family")) else None)


def read_capabilities(names: Any) -> Capabilities:
    """Read Ollama's list of capability names; without one nothing is known but what Ollama itself can't do."""
    if not isinstance(names, list) or not names:
        return Capabilities(grammar=False, image_urls=False, audio=False, rerank=False, count_tokens=False)
    return Capabilities(
        chat="completion" in names,
        tools="tools" in names,
        parallel_tool_calls="tools" in names or None,
        structured_output="completion" in names,
        grammar=False,
        vision="vision" in names,
        image_urls=False,
        audio=False,
        reasoning="thinking" in names,
        embeddings="embedding" in names,
        rerank=False,
        infill="insert" in names,
        count_tokens=False,
    )


def model(name: str | None) -> Flow[ModelInfo]:
    """Describe a model by `/api/show`: the maximum context is the model's, the allocated one `/api/ps`'s."""
    found = yield from models()
    known = next((one for one in found if name and same_model(one.id, name)), None)
    known = known or (choose_model(found, "chat") if name is None else None) or ModelInfo(name or "")
    shown = yield from try_json("/api/show", method="POST", body={"model": known.id})
    info = mapping(shown.get("model_info"))
    architecture = info.get("general.architecture")
    capabilities = read_capabilities(shown.get("capabilities"))
    return replace(
        known,
        kind=_kind(capabilities, mapping(shown.get("details"))) or known.kind,
        max_context_length=info.get(f"{architecture}.context_length") or known.max_context_length,
        embedding_length=info.get(f"{architecture}.embedding_length") or known.embedding_length,
        capabilities=capabilities if shown.get("capabilities") else known.capabilities,
    )


def version() -> Flow[str | None]:
    """Ask for the version."""
    return (yield from get_json("/api/version")).get("version")


def recognises(evidence: Evidence) -> bool:
    """Its version or its list, and what is running; others play parts of Ollama, and are recognised before."""
    known = "version" in mapping(evidence.get("/api/version")) or "models" in mapping(evidence.get("/api/tags"))
    return known and "models" in mapping(evidence.get("/api/ps"))


BACKEND = Backend(
    name="ollama",
    title="Ollama",
    aliases=("ollama-native",),
    env="OLLAMA_URL",
    urls=("http://localhost:11434",),
    probed=True,
    dialect=ollama,
    quirks=Quirks(
        reasoning_field="thinking",
        image_urls=False,
        image_types=frozenset({"image/png", "image/jpeg", "image/webp"}),
        schema_with_tools=False,
        takes=OLLAMA,
        refused=all_but(OLLAMA),
    ),
    models=models,
    model=model,
    version=version,
    recognises=recognises,
    start="ollama serve",
    then="ollama pull qwen3",
    health="/api/version",
    features=FEATURES,
)
