"""The vocabulary of the demo embedding model: our word list with its endings, and pieces for every other word."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from vessel_demo_model.tokenizer import lexicon

__all__ = ["SPECIAL", "Piece", "pieces"]

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
MARKS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
VOWELS = "aeiou"
#: The word list begins with this many function words.
FUNCTION_WORDS = 106
#: How much a word, the beginning and the rest of an unknown word, a function word and a mark count.
WORD, PIECE, REST, FUNCTION, MARK = 1.0, 0.7, 0.3, 0.05, 0.03
#: Stands before a token that begins a word.
BEGIN = "▁"


@dataclass(frozen=True, slots=True)
class Piece:
    """A token, the features its vector is made of, and how much it counts (0 to 1)."""

    token: str
    features: tuple[str, ...]
    weight: float


def pieces() -> list[Piece]:
    """Return the vocabulary by id. A word is split greedily, its longest known beginning first."""
    found: dict[str, Piece] = {}

    def add(token: str, features: tuple[str, ...], weight: float) -> None:
        found.setdefault(token, Piece(token, features, weight))

    for token in SPECIAL:
        add(token, (token,), MARK)
    for mark in MARKS:
        add(BEGIN + mark, (mark,), MARK)
        add(mark, (mark,), MARK)
    function_words = lexicon()[:FUNCTION_WORDS]
    for word, base in _bases().items():
        add(BEGIN + word, _features(base), FUNCTION if base in function_words else WORD)
    for ending in ("s", "es", "ed", "d", "ing", "er", "ers", "ly", "ment", "ness", "ion", "ions", "al", "able"):
        add(ending, (f"-{ending}",), MARK)
    for piece in _fragments():
        add(BEGIN + piece, (f"{piece}-",), PIECE)
        add(piece, (f"-{piece}",), REST)
    return list(found.values())


def _features(base: str) -> tuple[str, ...]:
    """Return a word's features. Words of one group of synonyms share one, as do long words that begin alike."""
    groups = [f"group {number}" for number, group in enumerate(_synonyms()) if base in group]
    return (base, base, *groups, *groups, *((f"{base[:5]}…",) if len(base) > 6 else ()))


def _fragments() -> list[str]:
    """Return what words that are not in the list are split into: common threes, all pairs, single letters and digits."""
    threes = {word[at : at + 3] for word in lexicon() for at in range(len(word) - 2)}
    pairs = {a + b for a in LETTERS for b in LETTERS} | {a + b for a in DIGITS for b in DIGITS}
    return [*sorted(threes), *sorted(pairs), *LETTERS, *DIGITS]


@cache
def _synonyms() -> tuple[frozenset[str], ...]:
    text = files("vessel_demo_model").joinpath("synonyms.txt").read_text(encoding="utf-8")
    return tuple(frozenset(line.split()) for line in text.splitlines())


def _bases() -> dict[str, str]:
    """Return every word of the list and of the synonyms, and its endings, with the word it belongs to."""
    words = [*lexicon(), *sorted(word for group in _synonyms() for word in group)]
    bases = {word: word for word in words}
    for word in words[FUNCTION_WORDS:]:
        for form in _forms(word):
            bases.setdefault(form, word)
    return bases


def _forms(word: str) -> list[str]:
    """Return the regular forms of a word, without asking whether it is a verb or a noun."""
    if word.endswith("e"):
        return [f"{word}s", f"{word}d", f"{word}r", f"{word}rs", f"{word[:-1]}ing"]
    if word.endswith("y") and len(word) > 2 and word[-2] not in VOWELS:
        return [f"{word[:-1]}ies", f"{word[:-1]}ied", f"{word}ing"]
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return [f"{word}es", f"{word}ed", f"{word}ing", f"{word}er"]
    forms = [f"{word}s", f"{word}ed", f"{word}ing", f"{word}er", f"{word}ers", f"{word}ly"]
    if len(word) > 2 and word[-1] not in f"{VOWELS}wxy" and word[-2] in VOWELS and word[-3] not in VOWELS:
        doubled = word + word[-1]
        forms += [f"{doubled}ed", f"{doubled}ing", f"{doubled}er", f"{doubled}ers"]
    return forms
