"""The vocabulary: a byte-level BPE in which a word is cut alike whether a blank stands before it or not.

So a copy of "visit Reykjavik" into `"city": "Reykjavik"` repeats the very tokens: merges among letters come first, and the
blank is joined last, to the first piece of the most common words alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

__all__ = ["CONTROL", "END", "PAD", "VISIBLE", "Vocabulary", "learn"]

PAD, END = "<|endoftext|>", "<|im_end|>"
CONTROL = (PAD, "<|im_start|>", END)
VISIBLE = ("<tools>", "</tools>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
SIZE = 1536
#: How many tokens are a word with the blank before it.
WITH_BLANK = 320
BLANK = "Ġ"


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id, the special ones last, and the merges that make them."""

    tokens: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """What cuts a text into them."""
        ordinary = self.tokens[: -len(CONTROL + VISIBLE)]
        made = Tokenizer(models.BPE(vocab={token: at for at, token in enumerate(ordinary)}, merges=list(self.merges)))
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        made.add_special_tokens([AddedToken(token, normalized=False) for token in (*CONTROL, *VISIBLE)])
        return made

    def id(self, token: str) -> int:
        """Return the id of a token."""
        return self.tokens.index(token)

    def to_json(self) -> str:
        """Write it down."""
        return json.dumps({"tokens": self.tokens, "merges": self.merges})

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """Read what `to_json` wrote."""
        kept = json.loads(text)
        return cls(tuple(kept["tokens"]), tuple((left, right) for left, right in kept["merges"]))


def learn(texts: Iterable[str]) -> Vocabulary:
    """Learn the vocabulary from texts without special tokens."""
    cutter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = Counter(word for text in texts for word, _ in cutter.pre_tokenize_str(text))
    bare: Counter[str] = Counter()
    for word, count in words.items():
        bare[word.removeprefix(BLANK)] += count
    special = CONTROL + VISIBLE
    letters = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE - len(special) - WITH_BLANK,
        initial_alphabet=sorted(cutter.alphabet()),
        special_tokens=[],
        show_progress=False,
    )
    letters.train_from_iterator((word for word, count in bare.items() if word for _ in range(count)), trainer)
    model = json.loads(letters.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    first: Counter[str] = Counter()
    for word, count in words.items():
        rest = word.removeprefix(BLANK)
        if word.startswith(BLANK) and rest and not rest[0].isupper() and not rest[0].isdigit():
            first[letters.encode(rest).tokens[0]] += count
    common = [token for token, _ in first.most_common(WITH_BLANK)]
    merges = [tuple(pair) for pair in model["merges"]] + [(BLANK, token) for token in common]
    return Vocabulary((*tokens, *(BLANK + token for token in common), *special), tuple((a, b) for a, b in merges))
