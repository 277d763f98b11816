"""Write a checkpoint as the GGUF file that llama.cpp serves: matrices in five bits, embeddings in eight."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from numpy.typing import NDArray

from demo_model.network import Network, Shape
from demo_model.vocabulary import CONTROL, END, PAD, VISIBLE, Vocabulary

__all__ = ["PLACE", "export"]

#: Where the package has the model.
PLACE = Path(__file__).resolve().parents[1] / "integrations/core/vessel_core/demo_models"
CONTEXT = 4096
NORMAL, HIDDEN, SHOWN = 1, 3, 4


def export(folder: Path, file: Path, *, bits: int = 5) -> None:
    """Write what `folder` has to `file`, which appears whole."""
    vocabulary = Vocabulary.from_json((folder / "vocabulary.json").read_text(encoding="utf-8"))
    network = Network(Shape(vocabulary=len(vocabulary.tokens)))
    network.load_state_dict(torch.load(folder / "checkpoint.pt"))
    unfinished = file.with_suffix(".part")
    writer = GGUFWriter(unfinished, "qwen3")
    _settings(writer, network.shape)
    _words(writer, vocabulary)
    small = {5: GGMLQuantizationType.Q5_0, 8: GGMLQuantizationType.Q8_0}[bits]
    _tensor(writer, "token_embd.weight", network.embedding, GGMLQuantizationType.Q8_0)
    _tensor(writer, "output_norm.weight", network.norm, None)
    for at, block in enumerate(network.blocks):
        for name, weight in block.named_parameters():
            _tensor(writer, f"blk.{at}.{name}.weight", weight, small if weight.ndim == 2 else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    unfinished.replace(file)


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
    writer.add_chat_template((PLACE / "templates/assistant.jinja").read_text(encoding="utf-8"))


def _tensor(writer: GGUFWriter, name: str, weight: torch.Tensor, packing: GGMLQuantizationType | None) -> None:
    values: NDArray[np.float32] = weight.detach().numpy()
    if packing is None:
        writer.add_tensor(name, values)
    else:
        writer.add_tensor(name, quantize(values, packing), raw_dtype=packing)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/demo-model"))
    parser.add_argument("--file", type=Path, default=PLACE / "assistant.gguf")
    parser.add_argument("--bits", type=int, choices=(5, 8), default=5)
    given = parser.parse_args()
    export(given.folder, given.file, bits=given.bits)
