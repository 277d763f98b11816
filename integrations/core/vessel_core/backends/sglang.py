"""SGLang (servers.md §4.1). Its errors are flat, and older builds repeat ids and finishes (quirks 38, 40, 53)."""

from __future__ import annotations

from vessel_core.backends.base import Backend, Evidence, owners
from vessel_core.backends.compatible import model, models, version
from vessel_core.backends.openai_features import FEATURES
from vessel_core.wire import Quirks, openai
from vessel_core.wire.options import REPETITION
from vessel_core.wire.reading import mapping


def recognises(evidence: Evidence) -> bool:
    """Its name in the model list, or what it tells of its model."""
    return "sglang" in owners(evidence) or "model_path" in mapping(evidence.get("/model_info"))


BACKEND = Backend(
    name="sglang",
    title="SGLang",
    aliases=(),
    env="SGLANG_URL",
    urls=("http://localhost:30000",),
    dialect=openai,
    quirks=Quirks(takes=REPETITION, image_urls=True, thinking="template"),
    models=models,
    model=model,
    version=version,
    recognises=recognises,
    start="python -m sglang.launch_server --model-path MODEL",
    health="/health",
    features=FEATURES,
)
