"""text-generation-webui (servers.md §4.1). Whole tool calls come in the finish chunk (quirk 39)."""

from __future__ import annotations

from vessel_core.backends.base import Backend, Evidence, owners
from vessel_core.backends.compatible import model, models, version
from vessel_core.backends.openai_features import FEATURES
from vessel_core.wire import Quirks, openai


def recognises(evidence: Evidence) -> bool:
    """Its name in the model list."""
    return "user" in owners(evidence)


BACKEND = Backend(
    name="textgen",
    title="text-generation-webui",
    aliases=("text-generation-webui", "oobabooga", "textgen-webui"),
    env="TEXTGEN_URL",
    urls=("http://localhost:5000",),
    dialect=openai,
    quirks=Quirks(thinking="effort"),
    models=models,
    model=model,
    version=version,
    recognises=recognises,
    start="python server.py --api",
    health="/v1/models",
    features=FEATURES,
)
