"""The demo embedding model and the demo reranker: real `bert` GGUF files that compare words instead of meanings.

A token's vector is made of hashed features of its word: the word without its ending, its first letters, its group of
synonyms. The embedding is the mean of the vectors, weighted so that "the" counts little. The reranker counts which
words of the query come up again later, in the document. Neither knows what a word means.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from vessel_demo_model.gguf_file import Setting, eight_bit, write
from vessel_demo_model.lexical_vocabulary import SPECIAL, Piece, pieces

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix: TypeAlias = NDArray[np.float32]
    Tensors: TypeAlias = dict[str, Matrix | NDArray[np.uint8]]

__all__ = ["write_embedding", "write_rerank"]

WIDTH = 256
CONTEXT = 512
FEED_FORWARD = 32
CODE_WIDTH = 224
#: What the dimensions behind the code of a token hold. The anchors are large and opposite, so that LayerNorm divides every
#: token by nearly the same number. They share no block of 32 with the code, which 8-bit quantization scales as one.
ANCHOR_UP, ANCHOR_DOWN, ORDINARY, POSITION, FOUND_AT, MATCHED, SCORE = range(CODE_WIDTH, CODE_WIDTH + 7)
ANCHOR = 12.0
#: The standard deviation of a position before the first norm, for a code of length `LENGTH`.
LENGTH = 4.0
SPREAD = ((2 * ANCHOR**2 + LENGTH**2) / WIDTH) ** 0.5


def write_embedding(path: Path) -> None:
    """Write the embedding model (about 8 MB), for inputs of up to 512 tokens."""
    import numpy as np

    vocabulary = pieces()
    rows = _codes(vocabulary) * np.array([[piece.weight] for piece in vocabulary], np.float32)
    block = _idle_block(0)
    block["blk.0.layer_output_norm.weight"][CODE_WIDTH:] = 0
    settings: dict[str, Setting] = {"general.name": "vessel demo embeddings", "bert.pooling_type": 1}
    positions = np.zeros((CONTEXT, WIDTH), np.float32)
    write(path, "bert", _settings(vocabulary, 1) | settings, _embeddings(rows, positions) | block)


def write_rerank(path: Path) -> None:
    """Write the reranker (about 9 MB), for a query and a document of up to 512 tokens together."""
    import numpy as np

    vocabulary = pieces()
    rows = _codes(vocabulary)
    rows[:, ORDINARY] = [4.0 if piece.weight < 0.5 else 0.0 for piece in vocabulary]
    positions = np.zeros((CONTEXT, WIDTH), np.float32)
    positions[:, POSITION] = np.arange(CONTEXT) / 128
    score = np.zeros((1, WIDTH), np.float32)
    score[0, SCORE] = 10.0
    tensors: Tensors = {"cls.output.weight": score, "cls.output.bias": np.zeros(1, np.float32)}
    settings: dict[str, Setting] = {
        "general.name": "vessel demo reranker",
        "bert.pooling_type": 4,
        "bert.classifier.output_labels": ["score"],
    }
    blocks = _find_matches() | _average_query()
    write(path, "bert", _settings(vocabulary, 2) | settings, _embeddings(rows, positions) | blocks | tensors)


def _settings(vocabulary: list[Piece], blocks: int) -> dict[str, Setting]:
    tokens = [piece.token for piece in vocabulary]
    return {
        "general.file_type": 7,
        "bert.context_length": CONTEXT,
        "bert.embedding_length": WIDTH,
        "bert.block_count": blocks,
        "bert.feed_forward_length": FEED_FORWARD,
        "bert.attention.head_count": 1,
        "bert.attention.causal": False,
        "bert.attention.layer_norm_epsilon": 1e-12,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if token in SPECIAL else 1 for token in tokens],
        "tokenizer.ggml.token_type_count": 1,
        "tokenizer.ggml.padding_token_id": tokens.index("[PAD]"),
        "tokenizer.ggml.unknown_token_id": tokens.index("[UNK]"),
        "tokenizer.ggml.bos_token_id": tokens.index("[CLS]"),
        "tokenizer.ggml.cls_token_id": tokens.index("[CLS]"),
        "tokenizer.ggml.eos_token_id": tokens.index("[SEP]"),
        "tokenizer.ggml.seperator_token_id": tokens.index("[SEP]"),
        "tokenizer.ggml.mask_token_id": tokens.index("[MASK]"),
    }


def _codes(vocabulary: list[Piece]) -> Matrix:
    """Return a row per token: the sum of its features' hashed signs, of length `LENGTH`, between the anchors."""
    import numpy as np

    rows = np.zeros((len(vocabulary), WIDTH), np.float32)
    for row, piece in zip(rows, vocabulary, strict=True):
        code = np.sum([_signs(feature) for feature in piece.features], axis=0, dtype=np.int64)
        # Sums of whole numbers are exact, so the bytes do not depend on the machine. The mean is taken out because
        # LayerNorm would take it out of every dimension.
        mean = int(code.sum()) / CODE_WIDTH
        length = (int((code * code).sum()) - CODE_WIDTH * mean**2) ** 0.5
        row[:CODE_WIDTH] = (code - mean) * (LENGTH / length)
    return rows


@cache
def _signs(feature: str) -> NDArray[np.int8]:
    import numpy as np

    digest = np.frombuffer(hashlib.shake_128(feature.encode()).digest(CODE_WIDTH // 8), np.uint8)
    return np.unpackbits(digest).astype(np.int8) * 2 - 1


def _embeddings(rows: Matrix, positions: Matrix) -> Tensors:
    import numpy as np

    rows[:, ANCHOR_UP], rows[:, ANCHOR_DOWN] = ANCHOR, -ANCHOR
    return {
        "token_embd.weight": eight_bit(rows),
        "token_types.weight": np.zeros((1, WIDTH), np.float32),
        "position_embd.weight": positions,
        "token_embd_norm.weight": np.ones(WIDTH, np.float32),
        "token_embd_norm.bias": np.zeros(WIDTH, np.float32),
    }


def _idle_block(number: int) -> dict[str, Matrix]:
    """Return a transformer block that passes on what it gets."""
    import numpy as np

    shapes = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (WIDTH, WIDTH))
    shapes |= {"ffn_up": (FEED_FORWARD, WIDTH), "ffn_down": (WIDTH, FEED_FORWARD)}
    block: dict[str, Matrix] = {}
    for name, shape in shapes.items():
        block[f"blk.{number}.{name}.weight"] = np.zeros(shape, np.float32)
        block[f"blk.{number}.{name}.bias"] = np.zeros(shape[0], np.float32)
    for name in ("attn_output_norm", "layer_output_norm"):
        block[f"blk.{number}.{name}.weight"] = np.ones(WIDTH, np.float32)
        block[f"blk.{number}.{name}.bias"] = np.zeros(WIDTH, np.float32)
    return block


def _find_matches() -> dict[str, Matrix]:
    """Return the block that marks each word which comes up again later.

    A token attends to its like, itself among them, with a score of 10 against 0 for a stranger, and takes the mean of
    their positions. Behind its own position means that there is one further on, unless it is a function word.
    """
    import numpy as np

    block = _idle_block(0)
    strength = (10.0 * WIDTH**0.5) ** 0.5 / (LENGTH / SPREAD)
    alike = np.diag([strength] * CODE_WIDTH + [0.0] * (WIDTH - CODE_WIDTH)).astype(np.float32)
    block["blk.0.attn_q.weight"][:] = alike
    block["blk.0.attn_k.weight"][:] = alike
    block["blk.0.attn_v.weight"][0, POSITION] = 1.0
    block["blk.0.attn_output.weight"][FOUND_AT, 0] = 1.0
    # Two steps of the same slope, one subtracted from the other, make a switch between 0 and 1 (GELU is a soft ramp).
    steepness, height = 2000.0, 4.0
    for unit, late in ((0, 0.0), (1, height)):
        up = block["blk.0.ffn_up.weight"][unit]
        up[FOUND_AT], up[POSITION], up[ORDINARY] = steepness, -steepness, -steepness * 0.6
        block["blk.0.ffn_up.bias"][unit] = -height - late
        block["blk.0.ffn_down.weight"][MATCHED, unit] = (1 if unit == 0 else -1) / height
    return block


def _average_query() -> dict[str, Matrix]:
    """Return the block that averages the marks, the first twenty tokens above all: the query comes first."""
    block = _idle_block(1)
    block["blk.1.attn_q.weight"][0, ANCHOR_UP] = WIDTH**0.5 * SPREAD / ANCHOR
    block["blk.1.attn_k.weight"][0, POSITION] = -SPREAD * 128 / 20
    block["blk.1.attn_v.weight"][0, MATCHED] = 1.0
    block["blk.1.attn_output.weight"][SCORE, 0] = 1.0
    return block
