"""text-generation-webui (servers.md §4.1). Whole tool calls come in the finish chunk (quirk 39)."""

from __future__ import annotations

from vessel_core.backends.base import Backend, Evidence, items
from vessel_core.backends.compatible import model, models, version
from vessel_core.backends.openai_features import FEATURES
from vessel_core.wire import Quirks, openai
from vessel_core.wire.options import REPETITION
from vessel_core.wire.reading import mapping


def recognises(evidence: Evidence) -> bool:
    """Models of a `user` that were created at 0."""
    listed = items(mapping(evidence.get("/v1/models")), "data")
    return any(item.get("owned_by") == "user" and item.get("created") == 0 for item in listed)


BACKEND = Backend(
    name="textgen",
    title="text-generation-webui",
    aliases=("text-generation-webui", "oobabooga", "textgen-webui"),
    env="TEXTGEN_URL",
    urls=("http://localhost:5000",),
    dialect=openai,
    quirks=Quirks(takes=REPETITION, thinking="effort"),
    models=models,
    model=model,
    version=version,
    recognises=recognises,
    start="python server.py --api",
    health="/v1/models",
    features=FEATURES,
)
