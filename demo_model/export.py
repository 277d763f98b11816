"""Write a checkpoint as the GGUF file that llama.cpp serves, its matrices in four bits."""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from numpy.typing import NDArray

from demo_model.network import Network, Shape
from demo_model.published import read
from demo_model.vocabulary import CONTROL, END, PAD, VISIBLE, Vocabulary

__all__ = ["PLACE", "export"]

#: Where the package has the model.
PLACE = Path(__file__).resolve().parents[1] / "integrations/demo-model/vessel_demo_model/assistant.gguf.gz"
TEMPLATE = Path(__file__).with_name("assistant.jinja")
CONTEXT = 4096
NORMAL, HIDDEN, SHOWN = 1, 3, 4


def export(folder: Path, file: Path, between: Path | None = None) -> None:
    """Write what `folder` has to `file`, packed with gzip; if training began at a finished model, the mean of both may do
    better than either."""
    vocabulary = Vocabulary.from_json((folder / "vocabulary.json").read_text(encoding="utf-8"))
    network = Network(Shape(vocabulary=len(vocabulary.tokens)))
    weights = torch.load(folder / "checkpoint.pt")["network"]
    if between is not None:
        weights = {name: (torch.tensor(weight) + weights[name]) / 2 for name, weight in read(between)[1].items()}
    network.load_state_dict(weights)
    plain = file.with_suffix("")
    writer = GGUFWriter(plain, "qwen3")
    _settings(writer, network.shape)
    _words(writer, vocabulary)
    _tensor(writer, "token_embd.weight", network.embedding)
    _tensor(writer, "output_norm.weight", network.norm)
    for at, block in enumerate(network.blocks):
        for name, weight in block.named_parameters():
            _tensor(writer, f"blk.{at}.{name}.weight", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    plain.unlink()


def _settings(writer: GGUFWriter, shape: Shape) -> None:
    writer.add_name("Vessel demo assistant")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(shape.vocabulary)
    # No answer of its has to be drawn by lot: the likeliest is the one that was learnt.
    writer.add_float32("general.sampling.temp", 0.0)


def _words(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    kinds = dict.fromkeys(CONTROL, HIDDEN) | dict.fromkeys(VISIBLE, SHOWN)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types([kinds.get(token, NORMAL) for token in vocabulary.tokens])
    writer.add_token_merges([" ".join(pair) for pair in vocabulary.merges])
    writer.add_bos_token_id(vocabulary.id(PAD))
    writer.add_eos_token_id(vocabulary.id(END))
    writer.add_pad_token_id(vocabulary.id(PAD))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE.read_text(encoding="utf-8"))


def _tensor(writer: GGUFWriter, name: str, weight: torch.Tensor) -> None:
    values: NDArray[np.float32] = weight.detach().numpy()
    if weight.ndim == 1:
        writer.add_tensor(name, values)
    else:
        packing = GGMLQuantizationType.Q4_0
        writer.add_tensor(name, quantize(values, packing), raw_dtype=packing)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/demo-model"))
    parser.add_argument("--file", type=Path, default=PLACE)
    parser.add_argument("--between", type=Path, metavar="FILE", help="write the mean of the checkpoint and this model")
    given = parser.parse_args()
    export(given.folder, given.file, given.between)
