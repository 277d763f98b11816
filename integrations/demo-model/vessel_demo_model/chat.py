"""The demo chat model: a real llama.cpp model whose weights are wired by hand instead of trained.

One layer is enough. Each position holds a constant, through which `output` gives every token its bias; a code for the
current token, through which `output` knows what may follow; and flags. One attention head per marker finds out
whether the marker stands anywhere so far and says so in a `SEEN_…` place, which `output` reads too. So the model
decides by itself: it calls a tool when there are some, answers in words once a tool has replied, names the colour of
a picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from vessel_demo_model import phrases
from vessel_demo_model.behaviour import FLAGGED, Behaviour, Place, Variant, behaviour, value_code
from vessel_demo_model.gguf_file import Setting, write
from vessel_demo_model.tokenizer import CONTROL, END, VISIBLE, Vocabulary, vocabulary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CONSTANT", "FLAG", "WIDTH", "write_chat"]

WIDTH = 176
HEADS, HEAD_WIDTH = 11, 16
FEED_FORWARD = 32
CONTEXT = 32768
#: The constant is much larger than the rest, so that RMSNorm divides every position by nearly the same number.
CONSTANT = 24.0
CODE = 0.75
FLAG = 2.0
CODE_WIDTH = 128
VALUES = len(phrases.VALUES)
CODES = slice(Place.VALUE_CODE + VALUES, Place.VALUE_CODE + VALUES + CODE_WIDTH)
RMS = ((CONSTANT**2 + CODE_WIDTH * CODE**2) / WIDTH) ** 0.5
#: What the last norm leaves of the constant and the flags, which would make all mean-pooled embeddings alike.
QUIET = 1 / 32

#: One head each: the flags it looks for, and where the value of which flag goes.
ATTENTION: tuple[tuple[tuple[Place, ...], Mapping[int, int]], ...] = (
    ((Place.IS_TOOLS,), {Place.IS_TOOLS: Place.SEEN_TOOLS}),
    ((Place.IS_CALL,), {Place.IS_CALL: Place.SEEN_CALL}),
    ((Place.IS_RESPONSE,), {Place.IS_RESPONSE: Place.SEEN_RESPONSE}),
    ((Place.IS_THINK,), {Place.IS_THINK: Place.SEEN_THINK}),
    ((Place.IS_THINK_END,), {Place.IS_THINK_END: Place.SEEN_THINK_END}),
    ((Place.IS_BOTH,), {Place.IS_BOTH: Place.SEEN_BOTH}),
    (
        (Place.IS_IMAGE,),
        {
            Place.IS_IMAGE: Place.SEEN_IMAGE,
            Place.RED: Place.SEEN_RED,
            Place.GREEN: Place.SEEN_GREEN,
            Place.BLUE: Place.SEEN_BLUE,
        },
    ),
    ((Place.IS_TOOLS, Place.IS_CALL), {Place.IS_CALL: Place.CALL_SHARE}),
    ((Place.IS_VALUE,), {place: place for place in range(Place.VALUE_CODE, Place.VALUE_CODE + VALUES)}),
)


def write_chat(path: Path, variant: Variant = "plain") -> None:
    """Write this variant of the chat model (about 1.2 MB)."""
    words = vocabulary()
    wanted = behaviour(words, variant)
    codes = _codes(words, wanted)
    tensors = {
        "token_embd.weight": _embeddings(words, codes),
        "output.weight": _output(wanted, codes),
        "output_norm.weight": _last_norm(),
        **_layer(),
    }
    template = "chat.jinja" if variant == "plain" else f"{variant}.jinja"
    text = files("vessel_demo_model").joinpath("templates", template).read_text(encoding="utf-8")
    write(
        path,
        "llama",
        {**_settings(words), "general.name": f"vessel demo chat, {variant}", "tokenizer.chat_template": text},
        tensors,
    )


def _settings(words: Vocabulary) -> dict[str, Setting]:
    types = [3 if token in CONTROL else 4 if token in VISIBLE else 1 for token in words.tokens]
    return {
        "general.file_type": 1,
        "llama.context_length": CONTEXT,
        "llama.embedding_length": WIDTH,
        "llama.block_count": 1,
        "llama.feed_forward_length": FEED_FORWARD,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-6,
        "llama.rope.dimension_count": HEAD_WIDTH,
        "llama.rope.freq_base": 10000.0,
        "llama.vocab_size": len(words.tokens),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": words.tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": words.merges,
        "tokenizer.ggml.bos_token_id": words.id("<|endoftext|>"),
        "tokenizer.ggml.eos_token_id": words.id(END),
        "tokenizer.ggml.padding_token_id": words.id("<|endoftext|>"),
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.fim_pre_token_id": words.id("<|fim_prefix|>"),
        "tokenizer.ggml.fim_mid_token_id": words.id("<|fim_middle|>"),
        "tokenizer.ggml.fim_suf_token_id": words.id("<|fim_suffix|>"),
    }


def _codes(words: Vocabulary, wanted: Behaviour) -> NDArray[np.float32]:
    """Return one row of ±CODE per token, all of one length.

    Tokens that something follows get rows at right angles to each other (Hadamard's), so that no rule leaks into
    another. The rest get hashed rows, at nearly right angles and the same on every machine.
    """
    import numpy as np

    digests = [hashlib.shake_128(token.encode()).digest(CODE_WIDTH // 8) for token in words.tokens]
    bits = np.unpackbits(np.frombuffer(b"".join(digests), np.uint8).reshape(len(digests), -1), axis=1)
    signs = bits.astype(np.float32) * 2 - 1
    hadamard = np.ones((1, 1), np.float32)
    while len(hadamard) < CODE_WIDTH:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    followed = sorted({before for before, _ in wanted.after})
    signs[[words.id(token) for token in followed]] = hadamard[: len(followed)]
    return signs * CODE


def _embeddings(words: Vocabulary, codes: NDArray[np.float32]) -> NDArray[np.float16]:
    import numpy as np

    rows = np.zeros((len(words.tokens), WIDTH), np.float16)
    rows[:, Place.CONSTANT] = CONSTANT
    rows[:, CODES] = codes
    for token, place in FLAGGED.items():
        rows[words.id(token), place] = FLAG
    for value in phrases.VALUES:
        rows[words.id(value), CODES] = 0  # its flag says all, and nothing may leak into what follows it
        rows[words.id(value), Place.JSON_VALUE] = FLAG
        named = rows[words.id(f"Ġ{value}")]
        named[Place.IS_VALUE] = FLAG
        named[Place.VALUE_CODE : Place.VALUE_CODE + VALUES] = FLAG * np.array(value_code(value))
    return rows


def _layer() -> dict[str, NDArray[np.float16] | NDArray[np.float32]]:
    """Return the attention layer; its feed-forward half adds nothing.

    A head's query is a constant and its key a flag, so it jumps to the tokens with the flag (a score of 40 against 0)
    and gives their value; where there is none it averages over tokens whose value is 0. Rotation by position would
    spoil that, so `rope_freqs` slows it to nothing.
    """
    import numpy as np

    query, key, value, out = (np.zeros((WIDTH, WIDTH), np.float16) for _ in range(4))
    strength = (40.0 * HEAD_WIDTH**0.5) ** 0.5
    for head, (sought, moves) in enumerate(ATTENTION):
        base = head * HEAD_WIDTH
        query[base, Place.CONSTANT] = strength * RMS / CONSTANT
        for flag in sought:
            key[base, flag] = strength * RMS / FLAG
        for row, (source, target) in enumerate(moves.items()):
            value[base + row, source] = RMS / FLAG
            out[target, base + row] = FLAG
    prefix = "blk.0."
    return {
        "rope_freqs.weight": np.full(HEAD_WIDTH // 2, 1e9, np.float32),
        f"{prefix}attn_norm.weight": np.ones(WIDTH, np.float32),
        f"{prefix}attn_q.weight": query,
        f"{prefix}attn_k.weight": key,
        f"{prefix}attn_v.weight": value,
        f"{prefix}attn_output.weight": out,
        f"{prefix}ffn_norm.weight": np.ones(WIDTH, np.float32),
        f"{prefix}ffn_gate.weight": np.zeros((FEED_FORWARD, WIDTH), np.float16),
        f"{prefix}ffn_up.weight": np.zeros((FEED_FORWARD, WIDTH), np.float16),
        f"{prefix}ffn_down.weight": np.zeros((WIDTH, FEED_FORWARD), np.float16),
    }


def _last_norm() -> NDArray[np.float32]:
    import numpy as np

    gain = np.full(WIDTH, QUIET, np.float32)
    gain[CODES] = 1.0
    return gain


def _output(wanted: Behaviour, codes: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return the weights that give the wanted logits: each is divided by what stands in its place when it counts."""
    import numpy as np

    ids = {token: number for number, token in enumerate(wanted.vocabulary.tokens)}
    rows = np.zeros((len(ids), WIDTH), np.float32)
    for token, bias in wanted.bias.items():
        rows[ids[token], Place.CONSTANT] = bias / CONSTANT
    for (token, place), change in wanted.places.items():
        rows[ids[token], place] = change / FLAG
    for (before, token), logit in wanted.after.items():
        code = codes[ids[before]]
        rows[ids[token], CODES] += (logit - wanted.bias[token]) * code / (CODE_WIDTH * CODE**2)
    return (rows * RMS / _last_norm()).astype(np.float16)
