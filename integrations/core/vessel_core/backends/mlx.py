"""mlx-lm (servers.md §4.1): HTTP/1.0, no embeddings; exceptions come as 404. It is known by name only."""

from __future__ import annotations

from vessel_core.backends.base import Backend, unrecognised
from vessel_core.backends.compatible import model, models, version
from vessel_core.wire import Quirks, openai
from vessel_core.wire.options import REPETITION

BACKEND = Backend(
    name="mlx",
    title="mlx-lm",
    aliases=("mlx-lm", "mlx_lm", "mlx-server"),
    env="MLX_URL",
    urls=("http://localhost:8080",),
    dialect=openai,
    quirks=Quirks(takes=REPETITION, reasoning_field="reasoning", image_urls=False, thinking="template"),
    models=models,
    model=model,
    version=version,
    recognises=unrecognised,
    start="mlx_lm.server --model MODEL",
    health="/health",
)
