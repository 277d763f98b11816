"""KoboldCpp (servers.md §4.1). Older builds end lines with CRLF and the stream without a line end (quirks 2, 10)."""

from __future__ import annotations

from vessel_core.backends.base import Backend, Evidence, owners
from vessel_core.backends.compatible import model, models, version
from vessel_core.backends.openai_features import FEATURES
from vessel_core.wire import Quirks, openai
from vessel_core.wire.reading import mapping


def recognises(evidence: Evidence) -> bool:
    """Its `Server` header, its name in the model list, or its own version."""
    named = "ConcedoLlamaForKoboldServer" in str(evidence.get("")) or "koboldcpp" in owners(evidence)
    return named or "version" in mapping(evidence.get("/api/extra/version"))


BACKEND = Backend(
    name="koboldcpp",
    title="KoboldCpp",
    aliases=("kobold", "kobold.cpp"),
    env="KOBOLDCPP_URL",
    urls=("http://localhost:5001",),
    dialect=openai,
    quirks=Quirks(image_urls=False),
    models=models,
    model=model,
    version=version,
    recognises=recognises,
    start="koboldcpp model.gguf",
    health="/v1/models",
    features=FEATURES,
)
