"""llamafile (servers.md §4.1): an old llama.cpp server, which it is taken for unless it is named."""

from __future__ import annotations

from vessel_core.backends.base import Backend, unrecognised
from vessel_core.backends.compatible import model, models, version
from vessel_core.backends.openai_features import FEATURES
from vessel_core.wire import Quirks, openai
from vessel_core.wire.options import LLAMACPP, all_but

BACKEND = Backend(
    name="llamafile",
    title="llamafile",
    aliases=(),
    env="LLAMAFILE_URL",
    urls=("http://localhost:8080",),
    dialect=openai,
    quirks=Quirks(
        json_object_schema=True,
        image_urls=True,
        thinking="template",
        schema_with_tools=False,
        takes=LLAMACPP,
        refused=all_but(LLAMACPP),
    ),
    models=models,
    model=model,
    version=version,
    recognises=unrecognised,
    start="./model.llamafile --server",
    health="/health",
    features=FEATURES,
)
