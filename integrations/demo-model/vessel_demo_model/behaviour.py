"""What the demo chat model does, said as logits: a bias per token, a change where a flag is up, a target after a token.

`BEST` is what the next word of a sentence gets. Whatever must not be said is 20 below, whatever must win is 20 above:
at any usual temperature that is certain. `chat.py` turns these numbers into weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, auto
from itertools import pairwise
from typing import Literal

from vessel_demo_model import phrases
from vessel_demo_model.tokenizer import CONTROL, END, VISIBLE, Vocabulary

__all__ = ["FLAGGED", "Behaviour", "Place", "Variant", "behaviour", "value_code"]

#: "plain" never thinks, "thinking" opens `<think>` itself, "thinking_forced" finds it opened by its template.
Variant = Literal["plain", "thinking", "thinking_forced"]

BEST = 20.0
UNSAID = -12.0
NEVER = -40.0
DIGITS = "0123456789"


class Place(IntEnum):
    """What each dimension of the residual stream holds; the rest holds the code of the current token."""

    CONSTANT = 0
    # Flags that a token carries itself.
    IS_TOOLS = auto()
    IS_CALL = auto()
    IS_RESPONSE = auto()
    IS_THINK = auto()
    IS_THINK_END = auto()
    IS_BOTH = auto()
    IS_IMAGE = auto()
    RED = auto()
    GREEN = auto()
    BLUE = auto()
    QUOTE = auto()
    # What the attention heads found among the tokens so far: 1 if the marker is there, else 0.
    SEEN_TOOLS = auto()
    SEEN_CALL = auto()
    SEEN_RESPONSE = auto()
    SEEN_THINK = auto()
    SEEN_THINK_END = auto()
    SEEN_BOTH = auto()
    SEEN_IMAGE = auto()
    SEEN_RED = auto()
    SEEN_GREEN = auto()
    SEEN_BLUE = auto()
    CALL_SHARE = auto()  # calls / (calls + lists of tools): 1/2 after one call, 2/3 after two
    # A value of ours, as it stands in a text (behind a blank) and in JSON; from `VALUE_CODE` on, which one it is or was.
    IS_VALUE = auto()
    JSON_VALUE = auto()
    VALUE_CODE = auto()


#: The tokens that carry a flag.
FLAGGED = {
    "<tools>": Place.IS_TOOLS,
    "<tool_call>": Place.IS_CALL,
    "<tool_response>": Place.IS_RESPONSE,
    "<think>": Place.IS_THINK,
    "</think>": Place.IS_THINK_END,
    "Ġboth": Place.IS_BOTH,
    '"': Place.QUOTE,
}


def value_code(value: str) -> list[int]:
    """Return the signs that stand for one of our values, at right angles to those of the others (a row of Hadamard's)."""
    values = phrases.VALUES
    row = values.index(value)
    return [1 - 2 * ((row & column).bit_count() % 2) for column in range(len(values))]


@dataclass(slots=True)
class Behaviour:
    """The logits wanted: a bias by token, plus `places` where a flag is up; `after` right behind another token."""

    vocabulary: Vocabulary
    bias: dict[str, float] = field(default_factory=dict[str, float])
    places: dict[tuple[str, int], float] = field(default_factory=dict[tuple[str, int], float])
    after: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])

    def follow(self, before: tuple[str, ...], token: str, logit: float = BEST) -> None:
        """Give `token` this logit right after each of `before`."""
        for previous in before:
            self.after[previous, token] = logit

    def say(self, sentence: str) -> None:
        """Make the words of a sentence follow each other."""
        words = self.vocabulary.words(sentence)
        for word in words:
            self.bias.setdefault(word, -8.0)
        for this, following in pairwise(words):
            self.follow((this,), following)


def behaviour(vocabulary: Vocabulary, variant: Variant) -> Behaviour:
    """Return what this variant of the model does."""
    wanted = Behaviour(vocabulary)
    wanted.bias = dict.fromkeys(vocabulary.tokens, UNSAID) | dict.fromkeys((*CONTROL, *VISIBLE), NEVER)
    for sentence in (*phrases.ANSWERS, *phrases.AFTER_TOOL, phrases.PICTURE.format("red")):
        for word in vocabulary.words(sentence):
            wanted.bias[word] = -8.0
    # Only the first and the last token of an answer differ between the variants.
    start = ("</think>",) if variant == "thinking_forced" else ("Ċ", "</think>")
    _answer(wanted, start)
    _picture(wanted, start)
    _call_tools(wanted, start)
    _write_json(wanted)
    if variant != "plain":
        _think(wanted, opens=variant == "thinking")
    return wanted


def _answer(wanted: Behaviour, start: tuple[str, ...]) -> None:
    """Write one of our sentences, seldom two, and stop; another one once a tool has replied."""
    wanted.bias[END] = -9.0
    wanted.follow((".",), END, BEST + 1)
    for sentence in phrases.ANSWERS:
        wanted.say(sentence)
        first = sentence.split(" ")[0]
        wanted.bias[first] = -20.0
        wanted.follow(start, first)
        again = f"Ġ{first}"
        wanted.bias[again] = -8.0
        wanted.follow((again,), wanted.vocabulary.words(sentence)[1])
        wanted.follow((".",), again, BEST - 2)
        for opening in (first, again):
            wanted.places[opening, Place.SEEN_RESPONSE] = -20.0
            wanted.places[opening, Place.SEEN_IMAGE] = -20.0
    for sentence in phrases.AFTER_TOOL:
        wanted.say(sentence)
        first = sentence.split(" ")[0]
        wanted.bias[first] = -20.0
        wanted.follow(start, first, 0.0)
        wanted.places[first, Place.SEEN_RESPONSE] = BEST


def _picture(wanted: Behaviour, start: tuple[str, ...]) -> None:
    """Name the colour of a picture: the corner of the colour cube that is nearest to its mean."""
    words = wanted.vocabulary.words(phrases.PICTURE.format("red"))
    wanted.say(phrases.PICTURE.format("red"))
    wanted.bias[words[0]] = -20.0
    wanted.follow(start, words[0], 0.0)
    wanted.places[words[0], Place.SEEN_IMAGE] = BEST
    wanted.places[words[0], Place.SEEN_RESPONSE] = -20.0
    for colour, corner in phrases.COLOURS.items():
        word = f"Ġ{colour}"
        # Red, green and blue are the common ones: a half-lit green must not pass for black.
        wanted.bias[word] = -8.0
        advantage = {"red": 4.0, "green": 4.0, "blue": 4.0, "black": -4.0}.get(colour, 0.0)
        wanted.follow((words[-3],), word, BEST + advantage)
        wanted.follow((word,), ".")
        for place, channel in zip((Place.SEEN_RED, Place.SEEN_GREEN, Place.SEEN_BLUE), corner, strict=True):
            wanted.places[word, place] = 8.0 * channel


def _call_tools(wanted: Behaviour, start: tuple[str, ...]) -> None:
    """Call a tool first thing when there are some, twice after the word "both", and never once one has replied."""
    call = "<tool_call>"
    wanted.bias[call] = -180.0
    wanted.places[call, Place.SEEN_TOOLS] = 120.0
    wanted.places[call, Place.SEEN_RESPONSE] = -200.0
    wanted.follow(start, call, -80.0)
    # Behind a call: 20 - 60 = -40 as a rule, +40 with "both", -20 with "both" behind the second call.
    wanted.follow(("</tool_call>",), call, -100.0)
    wanted.places[call, Place.SEEN_BOTH] = 80.0
    wanted.places[call, Place.SEEN_CALL] = 120.0
    wanted.places[call, Place.CALL_SHARE] = -360.0
    # Where calls are forbidden no grammar makes one out of the tag: then the tag is all it says.
    wanted.follow(("</tool_call>", call), END)
    wanted.follow(("}",), "</tool_call>", BEST + 10)


def _write_json(wanted: Behaviour) -> None:
    """Keep JSON short: one word per text, one digit per number, closed as soon as the grammar lets it."""
    for blank in ("Ġ", "Ċ", "ĉ", "č"):
        wanted.bias[blank] = -20.0
    for word in phrases.VALUES:
        wanted.bias[word] = -8.0
        wanted.places[word, Place.QUOTE] = BEST + 8
        for place, sign in enumerate(value_code(word), Place.VALUE_CODE):
            wanted.places[word, place] = 12.0 * sign / len(phrases.VALUES)
    wanted.places['"', Place.JSON_VALUE] = BEST + 3
    for digit in DIGITS:
        wanted.bias[digit] = -8.0
        for closing, logit in (("}", 12.0), ("]", 13.0), (",", 10.0)):
            wanted.follow((digit,), closing, logit)
        wanted.follow((":", "["), digit, 6.0)
    wanted.bias |= {'"': -3.0, "{": -4.0, "}": -6.0, "]": -5.0, "-": -20.0}
    wanted.follow((":",), '"', 10.0)
    wanted.follow(("[", "{"), '"', 12.0)
    wanted.follow((",",), '"', 15.0)
    wanted.follow(("}",), "}", 5.0)
    for closing, logit in (("}", 10.0), ("]", 12.0), (",", 6.0)):
        wanted.places[closing, Place.QUOTE] = logit
    # Behind the name of a tool or a key nothing but its end is wanted, so that "get" does not become another word.
    wanted.places['"', Place.SEEN_CALL] = 4.0


def _think(wanted: Behaviour, *, opens: bool) -> None:
    """Think one sentence, close the tag, then answer or call a tool."""
    openings = {f"{mark}{sentence.split(' ')[0]}" for sentence in phrases.ANSWERS for mark in ("", "Ġ")}
    for token, hold in ((END, 60.0), ("<tool_call>", 150.0), *((opening, 20.0) for opening in sorted(openings))):
        wanted.places[token, Place.SEEN_THINK] = -hold
        wanted.places[token, Place.SEEN_THINK_END] = hold
    for sentence in phrases.THOUGHTS:
        wanted.say(sentence)
        first = sentence.split(" ")[0]
        wanted.bias[first] = -20.0
        wanted.follow(("<think>",), first)
    wanted.bias["</think>"] = -60.0
    wanted.follow((".",), "</think>", -20.0)
    wanted.places["</think>", Place.SEEN_THINK] = 60.0
    wanted.places["</think>", Place.SEEN_THINK_END] = -60.0
    if opens:
        wanted.bias["<think>"] = -60.0
        wanted.follow(("Ċ",), "<think>", 160.0)
        wanted.places["<think>", Place.SEEN_THINK] = -220.0
        wanted.places["<think>", Place.SEEN_THINK_END] = -220.0
