"""The eyes of the demo chat model: an image encoder that measures the mean red, green and blue of a picture's parts.

It is a `clip` GGUF with the gemma3 projector, which the server loads as `mmproj`. Nothing is trained: the patch
embedding is a mean, the one transformer block adds nothing, and the projection puts the three means where the chat
model looks for them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vessel_demo_model.behaviour import Place
from vessel_demo_model.chat import CONSTANT, FLAG, WIDTH
from vessel_demo_model.gguf_file import Setting, write

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["write_vision"]

SIDE, PATCH, POOLED = 64, 8, 2  # pixels, pixels, patches: 16 tokens a picture
EYE_WIDTH = 16
#: Red, green, blue, and a constant that is much larger, so that the norm before the projection changes little.
ONE = 3
ONE_VALUE = 6.0


def write_vision(path: Path) -> None:
    """Write the image encoder (about 20 kB)."""
    settings: dict[str, Setting] = {
        "general.name": "vessel demo eyes",
        "general.file_type": 1,
        "clip.has_vision_encoder": True,
        "clip.projector_type": "gemma3",
        "clip.use_gelu": True,
        "clip.vision.image_size": SIDE,
        "clip.vision.patch_size": PATCH,
        "clip.vision.embedding_length": EYE_WIDTH,
        "clip.vision.feed_forward_length": EYE_WIDTH,
        "clip.vision.projection_dim": WIDTH,
        "clip.vision.block_count": 1,
        "clip.vision.attention.head_count": 2,
        "clip.vision.attention.layer_norm_epsilon": 1e-6,
        "clip.vision.projector.scale_factor": POOLED,
        "clip.vision.image_mean": [0.5, 0.5, 0.5],
        "clip.vision.image_std": [0.5, 0.5, 0.5],
    }
    write(path, "clip", settings, _patches() | _idle_block() | _projection())


def _patches() -> dict[str, NDArray[np.float16] | NDArray[np.float32]]:
    import numpy as np

    mean = np.zeros((EYE_WIDTH, 3, PATCH, PATCH), np.float16)
    for channel in range(3):
        mean[channel, channel] = 1 / PATCH**2
    bias = np.zeros(EYE_WIDTH, np.float32)
    bias[ONE] = ONE_VALUE
    positions = np.zeros(((SIDE // PATCH) ** 2, EYE_WIDTH), np.float32)
    return {"v.patch_embd.weight": mean, "v.patch_embd.bias": bias, "v.position_embd.weight": positions}


def _idle_block() -> dict[str, NDArray[np.float16] | NDArray[np.float32]]:
    import numpy as np

    tensors: dict[str, NDArray[np.float16] | NDArray[np.float32]] = {}
    for name in ("attn_q", "attn_k", "attn_v", "attn_out", "ffn_up", "ffn_down"):
        tensors[f"v.blk.0.{name}.weight"] = np.zeros((EYE_WIDTH, EYE_WIDTH), np.float16)
        tensors[f"v.blk.0.{name}.bias"] = np.zeros(EYE_WIDTH, np.float32)
    for name in ("ln1", "ln2"):
        tensors[f"v.blk.0.{name}.weight"] = np.ones(EYE_WIDTH, np.float32)
        tensors[f"v.blk.0.{name}.bias"] = np.zeros(EYE_WIDTH, np.float32)
    return tensors


def _projection() -> dict[str, NDArray[np.float16] | NDArray[np.float32]]:
    """Return the way from the encoder's places to the chat model's, undoing the norm in between."""
    import numpy as np

    rms = ((ONE_VALUE**2 + 2) / EYE_WIDTH) ** 0.5  # with 2 for a colour whose channels are about ±0.8
    matrix = np.zeros((EYE_WIDTH, WIDTH), np.float16)
    for channel, place in enumerate((Place.RED, Place.GREEN, Place.BLUE)):
        matrix[channel, place] = FLAG * rms
    matrix[ONE, Place.CONSTANT] = CONSTANT * rms / ONE_VALUE
    matrix[ONE, Place.IS_IMAGE] = FLAG * rms / ONE_VALUE
    return {"mm.input_projection.weight": matrix, "mm.soft_emb_norm.weight": np.ones(EYE_WIDTH, np.float32)}
