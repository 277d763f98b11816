"""llama.cpp's `llama-server` (servers.md §1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast
from urllib.parse import quote

from vessel_core.backends.base import Backend, Evidence, Flow, find_model, get_json, items, owners, try_json
from vessel_core.backends.llamacpp_features import FEATURES, routed
from vessel_core.types import Capabilities, ModelInfo, ModelKind
from vessel_core.wire import Quirks, openai
from vessel_core.wire.options import LLAMACPP, all_but
from vessel_core.wire.reading import count, mapping, string

BERT = 3
"""The number of the vocabulary that only models for embeddings and ranking have."""

_UNITS = ((1e9, "B"), (1e6, "M"), (1e3, "K"))


def models() -> Flow[list[ModelInfo]]:
    """List the models; a single-model server has one, a router one for each file."""
    found = items((yield from get_json("/v1/models")), "data")
    if routed(found) or len(found) != 1:
        return [_read(item, {}) for item in found]
    return [_read(found[0], (yield from try_json("/props")))]


def model(name: str | None) -> Flow[ModelInfo]:
    """Describe a model; a single-model server answers with the one it has, whatever the name.

    A router knows what a model can do once that is loaded; to ask it about another would load that one.
    """
    found = items((yield from get_json("/v1/models")), "data")
    if len(found) == 1 and not routed(found):
        return _read(found[0], (yield from try_json("/props")))
    one = find_model([_read(item, {}) for item in found], name)
    item = next((item for item in found if item.get("id") == one.id), None)
    if item is None or one.state != "loaded":
        return one
    return _read(item, (yield from try_json(f"/props?model={quote(one.id, safe='', errors='replace')}&autoload=false")))


def _read(item: Mapping[str, Any], props: Mapping[str, Any]) -> ModelInfo:
    meta, status = mapping(item.get("meta")), mapping(item.get("status"))
    capabilities = _capabilities(props or _shown_by_router(item))
    if meta.get("vocab_type") == BERT:  # its server has a chat template all the same
        capabilities = replace(capabilities, chat=False)
    return ModelInfo(
        id=str(item.get("id")),
        kind=_started_as(status.get("args")) or ("chat" if capabilities.chat else None),
        state=status.get("value") or "loaded",
        context_length=meta.get("n_ctx"),  # what one slot has, not what the model could take
        max_context_length=meta.get("n_ctx_train"),
        embedding_length=meta.get("n_embd"),
        slots=count(props.get("total_slots")),
        size=meta.get("size"),
        parameters=_in_words(count(meta.get("n_params"))),
        quantization=meta.get("ftype") or props.get("model_ftype"),
        vocabulary=count(meta.get("n_vocab")),
        capabilities=capabilities,
    )


def _shown_by_router(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a router tells of a model that isn't loaded, in the form of `/props`; what it leaves out it may not know."""
    taken = mapping(item.get("architecture")).get("input_modalities")
    taken = cast("list[Any]", taken) if isinstance(taken, list) else []
    return {"modalities": {"vision": "image" in taken or None, "audio": "audio" in taken or None}} if taken else {}


def _started_as(arguments: Any) -> ModelKind | None:
    """Read the command that a router starts a model's server with; chat needs no word there."""
    words = {string(word) for word in cast("list[Any]", arguments)} if isinstance(arguments, list) else set[Any]()
    if words & {"--rerank", "--reranking"}:
        return "rerank"
    return "embedding" if words & {"--embedding", "--embeddings"} else None


def _in_words(parameters: int | None) -> str | None:
    """Return a number of parameters as people write it: `8.0B`."""
    for size, unit in _UNITS:
        if (parameters or 0) >= size:
            return f"{(parameters or 0) / size:.1f}{unit}"
    return str(parameters) if parameters else None


def _capabilities(props: Mapping[str, Any]) -> Capabilities:
    """Read what the chat template and the projector can do (`GET /props`)."""
    if not props:
        return Capabilities(structured_output=True, grammar=True, image_urls=True, count_tokens=True)
    caps, modalities = mapping(props.get("chat_template_caps")), mapping(props.get("modalities"))
    template = str(props.get("chat_template") or "")
    return Capabilities(
        chat=True if template else None,
        tools=caps.get("supports_tools"),
        parallel_tool_calls=caps.get("supports_parallel_tool_calls"),
        structured_output=True,
        grammar=True,
        vision=modalities.get("vision"),
        image_urls=True,
        audio=modalities.get("audio"),
        reasoning=("<think>" in template or "enable_thinking" in template) or None,
        count_tokens=True,
        system_role=caps.get("supports_system_role"),
        repeated_roles=False if "alternate" in template else None,
        late_system=False if "must be at the beginning" in template else None,
    )


def version() -> Flow[str | None]:
    """Ask for the build; one that was built without its name says `unknown`, which is no version."""
    build = string((yield from try_json("/props")).get("build_info"))
    return None if build is None or "unknown" in build else build


def recognises(evidence: Evidence) -> bool:
    """Its `Server` header, its name in the model list, or its `/props`."""
    props = mapping(evidence.get("/props"))
    return evidence.get("") == "llama.cpp" or "llamacpp" in owners(evidence) or "build_info" in props or "role" in props


BACKEND = Backend(
    name="llamacpp",
    title="llama.cpp",
    aliases=("llama.cpp", "llama-cpp", "llama_cpp", "llama-server", "llamacpp-server"),
    env="LLAMACPP_URL",
    urls=("http://localhost:8080", "http://localhost:8081"),
    probed=True,
    dialect=openai,
    quirks=Quirks(
        json_object_schema=True,
        image_urls=True,
        image_types=frozenset({"image/png", "image/jpeg", "image/gif", "image/bmp"}),
        takes=LLAMACPP,
        refused=all_but(LLAMACPP),
        continues=True,
        thinking="template",
        schema_with_tools=False,
        forced_by_schema="if_needed",
    ),
    models=models,
    model=model,
    version=version,
    recognises=recognises,
    tells_slots=True,
    start="llama-server -m model.gguf --jinja",
    features=FEATURES,
)
