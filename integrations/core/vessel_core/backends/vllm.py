"""vLLM (servers.md §4.1). From 0.11.2 on reasoning is named `reasoning`, both ways."""

from __future__ import annotations

from vessel_core.backends.base import Backend, Evidence, owners
from vessel_core.backends.compatible import model, models, version
from vessel_core.backends.openai_features import FEATURES
from vessel_core.wire import Quirks, openai
from vessel_core.wire.options import VLLM, all_but
from vessel_core.wire.reading import mapping


def recognises(evidence: Evidence) -> bool:
    """Its name in the model list, or its version and its answer to a ping, which is empty."""
    pinged = "/ping" in evidence and evidence["/ping"] is None
    return "vllm" in owners(evidence) or (pinged and "version" in mapping(evidence.get("/version")))


BACKEND = Backend(
    name="vllm",
    title="vLLM",
    aliases=("vllm-openai",),
    env="VLLM_URL",
    urls=("http://localhost:8000",),
    dialect=openai,
    quirks=Quirks(reasoning_field="reasoning", image_urls=True, thinking="template", takes=VLLM, refused=all_but(VLLM)),
    models=models,
    model=model,
    version=version,
    recognises=recognises,
    start="vllm serve MODEL --enable-auto-tool-choice --tool-call-parser hermes",
    health="/health",
    features=FEATURES,
)
