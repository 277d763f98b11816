"""TabbyAPI (servers.md §4.1). It wants a key unless it was told otherwise."""

from __future__ import annotations

from vessel_core.backends.base import Backend, Evidence, owners
from vessel_core.backends.compatible import model, models, version
from vessel_core.backends.openai_features import FEATURES
from vessel_core.wire import Quirks, openai


def recognises(evidence: Evidence) -> bool:
    """Its name in the model list."""
    return "tabbyAPI" in owners(evidence)


BACKEND = Backend(
    name="tabbyapi",
    title="TabbyAPI",
    aliases=("tabby", "tabby-api"),
    env="TABBYAPI_URL",
    urls=("http://localhost:5000",),
    dialect=openai,
    quirks=Quirks(image_urls=True, thinking="template"),
    models=models,
    model=model,
    version=version,
    recognises=recognises,
    start="python main.py",
    health="/health",
    features=FEATURES,
)
