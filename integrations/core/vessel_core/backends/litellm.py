"""The LiteLLM proxy (servers.md §4.1). Ids may change inside a stream (quirk 47). It is known by name only."""

from __future__ import annotations

from vessel_core.backends.base import Backend, unrecognised
from vessel_core.backends.compatible import model, models, version
from vessel_core.backends.openai_features import FEATURES
from vessel_core.wire import Quirks, openai

BACKEND = Backend(
    name="litellm",
    title="LiteLLM proxy",
    aliases=("litellm-proxy",),
    env="LITELLM_URL",
    urls=("http://localhost:4000",),
    dialect=openai,
    quirks=Quirks(image_urls=None),
    models=models,
    model=model,
    version=version,
    recognises=unrecognised,
    start="litellm --config config.yaml",
    health="/health/liveliness",
    features=FEATURES,
)
