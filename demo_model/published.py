"""Read a finished model back: its vocabulary, and its weights as they are after their rounding."""

from __future__ import annotations

import gzip
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gguf import GGUFReader
from gguf.quants import dequantize
from numpy.typing import NDArray

from demo_model.vocabulary import Vocabulary

__all__ = ["read"]

#: What the file calls the network's own weights; those of a block it calls `blk.0.attn_q.weight` for `blocks.0.attn_q`.
NAMES = {"token_embd": "embedding", "output_norm": "norm"}


def read(file: Path) -> tuple[Vocabulary, dict[str, NDArray[Any]]]:
    """Return the vocabulary and the weights by their names in `Network` of a packed GGUF file that `export` wrote."""
    with TemporaryDirectory() as folder:
        plain = Path(folder, "model.gguf")
        plain.write_bytes(gzip.decompress(file.read_bytes()))
        reader = GGUFReader(plain)
        tokens, merges = (_list(reader, name) for name in ("tokens", "merges"))
        weights = {_name(tensor.name): dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
    return Vocabulary(tuple(tokens), tuple((left, right) for left, right in map(str.split, merges))), weights


def _list(reader: GGUFReader, name: str) -> list[str]:
    field = reader.get_field(f"tokenizer.ggml.{name}")
    if field is None:
        raise ValueError(f"The file has no {name}.")
    return field.contents()


def _name(tensor: str) -> str:
    plain = tensor.removesuffix(".weight")
    return NAMES.get(plain) or plain.replace("blk.", "blocks.")
