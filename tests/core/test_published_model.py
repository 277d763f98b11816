"""The shipped model is read back, to go on from it or to take the mean with another: words as they are, weights as rounded."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import vessel_demo_model
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize, quantize

from demo_model.published import read
from demo_model.vocabulary import END, PAD, Vocabulary

SHIPPED = Path(vessel_demo_model.__file__).with_name("assistant.gguf.gz")


def test_the_shipped_model_is_read_with_all_its_words_and_weights() -> None:
    vocabulary, weights = read(SHIPPED)
    assert vocabulary == Vocabulary.from_json(vocabulary.to_json())
    assert (len(vocabulary.tokens), vocabulary.id(END) > vocabulary.id(PAD)) == (1536, True)
    text = "Ollama listens on port 11434."
    assert vocabulary.tokenizer.decode(vocabulary.tokenizer.encode(text).ids) == text
    assert weights["embedding"].shape == (1536, 160)
    assert weights["norm"].shape == (160,)
    blocks = [{name.split(".")[2] for name in weights if name.startswith(f"blocks.{at}.")} for at in range(6)]
    assert blocks[0]
    assert blocks == [blocks[0]] * 5 + [set()]
    assert len(weights) == 2 + 5 * len(blocks[0])
    assert 1.6e6 < sum(weight.size for weight in weights.values()) < 1.8e6
    assert all(np.isfinite(weight).all() and weight.any() for weight in weights.values())


def test_a_matrix_comes_back_as_its_four_bits_hold_it_and_a_vector_as_it_was(tmp_path: Path) -> None:
    matrix = np.random.default_rng(1).normal(size=(3, 64)).astype(np.float32)
    vector = np.arange(64, dtype=np.float32)
    packed = GGMLQuantizationType.Q4_0
    plain, file = tmp_path / "model.gguf", tmp_path / "model.gguf.gz"
    writer = GGUFWriter(plain, "qwen3")
    writer.add_token_list(["a", "b", "ab"])
    writer.add_token_merges(["a b"])
    writer.add_tensor("blk.4.attn_q.weight", quantize(matrix, packed), raw_dtype=packed)
    writer.add_tensor("output_norm.weight", vector)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file.write_bytes(gzip.compress(plain.read_bytes()))
    vocabulary, weights = read(file)
    assert vocabulary == Vocabulary(("a", "b", "ab"), (("a", "b"),))
    assert set(weights) == {"blocks.4.attn_q", "norm"}
    assert np.array_equal(weights["blocks.4.attn_q"], dequantize(quantize(matrix, packed), packed))
    assert np.abs(weights["blocks.4.attn_q"] - matrix).max() < 0.5
    assert np.array_equal(weights["norm"], vector)
