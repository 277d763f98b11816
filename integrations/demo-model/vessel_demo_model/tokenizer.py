"""The vocabulary of the demo chat model: a small byte-level BPE trained on our own sentences and word list."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from vessel_demo_model import phrases

__all__ = ["CONTROL", "END", "VISIBLE", "Vocabulary", "lexicon", "vocabulary"]

END = "<|im_end|>"
#: Hidden in the output (llama.cpp's token type 3).
CONTROL = ("<|endoftext|>", "<|im_start|>", END, "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
#: Shown in the output, where the server's parser finds them (llama.cpp's token type 4).
VISIBLE = (
    "<think>",
    "</think>",
    "<tools>",
    "</tools>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
)
SIZE = 1280


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens by id, in the byte-level spelling (`Ġ` is a leading space), and the merges that make them."""

    tokens: tuple[str, ...]
    merges: tuple[str, ...]

    def id(self, token: str) -> int:
        """Return the id of a token; raises `ValueError` if it is not one."""
        return self.tokens.index(token)

    def words(self, sentence: str) -> list[str]:
        """Split a sentence into the tokens the model writes it with: whole words, and marks by themselves."""
        parts: list[str] = []
        for place, word in enumerate(sentence.split(" ")):
            bare = word.rstrip(".,")
            parts += [f"Ġ{bare}" if place else bare, *word[len(bare) :]]
        return parts


@cache
def lexicon() -> tuple[str, ...]:
    """Return our word list: common English words, the function words first."""
    return tuple(files("vessel_demo_model").joinpath("words.txt").read_text(encoding="utf-8").split())


def sentences() -> list[str]:
    """Return every sentence the model can write."""
    pictures = [phrases.PICTURE.format(colour) for colour in phrases.COLOURS]
    return [*phrases.ANSWERS, *phrases.AFTER_TOOL, *phrases.THOUGHTS, *pictures]


@cache
def vocabulary() -> Vocabulary:
    """Train the vocabulary. The same text gives the same merges on every machine."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE - len(CONTROL) - len(VISIBLE),
        special_tokens=[],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_training_text(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    learned: dict[str, int] = model["vocab"]
    merges = tuple(" ".join(pair) for pair in model["merges"])
    return Vocabulary(tokens=(*sorted(learned, key=learned.__getitem__), *CONTROL, *VISIBLE), merges=merges)


def _training_text() -> list[str]:
    """What the merges are learned from.

    Our sentences count often, so that each of their words becomes one token. No mark stands next to a mark, so JSON is
    written one mark at a time and the model can see where in it it is.
    """
    spoken = [token.replace("Ġ", " ") for line in sentences() for token in Vocabulary((), ()).words(line)]
    openings = [f" {line.split(' ')[0]}" for line in phrases.ANSWERS]
    values = [f"{before}{value}" for value in phrases.VALUES for before in ("", " ")]
    return [*[*spoken, *openings, *values, " both"] * 40, *(f" {word}" for word in lexicon())]
