"""LocalAI (servers.md §4.1). Its list holds `id` and `object` only; an error in a stream is followed by `[DONE]`."""

from __future__ import annotations

from vessel_core.backends.base import Backend, Evidence, items
from vessel_core.backends.compatible import model, models, version
from vessel_core.backends.openai_features import FEATURES
from vessel_core.wire import Quirks, openai
from vessel_core.wire.reading import mapping


def recognises(evidence: Evidence) -> bool:
    """A model list whose items hold nothing else, or its page for discovery."""
    listed = items(mapping(evidence.get("/v1/models")), "data")
    bare = bool(listed) and all(set(item) == {"id", "object"} for item in listed)
    return bare or isinstance(evidence.get("/.well-known/localai.json"), dict)


BACKEND = Backend(
    name="localai",
    title="LocalAI",
    aliases=("local-ai",),
    env="LOCALAI_URL",
    urls=("http://localhost:8080",),
    dialect=openai,
    quirks=Quirks(reasoning_field="reasoning", image_urls=True),
    models=models,
    model=model,
    version=version,
    recognises=recognises,
    start="local-ai run MODEL",
    health="/readyz",
    features=FEATURES,
)
