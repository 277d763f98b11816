"""Passages, questions about one of their sentences, and what there is to repeat."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from demo_model.dialogue import Case, Turn, question
from demo_model.draw import Draw
from demo_model.facts import UNKNOWN, about_vessel, dressed
from demo_model.strange import off_topic
from demo_model.words import (
    ADJECTIVES,
    COUNTED,
    NOUNS,
    PLACES,
    THINGS,
    TIMES,
    VERBS,
    common,
    invented,
    name,
    number_word,
    phrase,
    place_name,
)

__all__ = ["ask_context", "reading", "repeating", "sentence"]

ROOT = Path(__file__).resolve().parents[1]
SMALL = set("the a an of to in on at by for from with as is are was were be been being it its this that these those and or but "
            "not no if then than so do does did done has have had he she they we you i me my your our their his her them us".split())  # fmt: skip
ASKING = [
    "What",
    "Who",
    "When",
    "Where",
    "Why",
    "How",
    "Which",
    "How many",
    "How long",
    "How much",
    "What kind of",
    "Tell me about",
]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and a question that it answers."""

    text: str
    asked: str


def sentence(draw: Draw) -> Sentence:
    """Make up a sentence: one with grammar, one of ours with other words in it, or any words in a row."""
    return draw.choices((_framed, _told, _mutated, _salad), (40, 25, 20, 15))[0](draw)


def _noun(draw: Draw) -> str:
    """A thing, with what is before it."""
    noun = draw.one(NOUNS) if draw.chance(0.7) else draw.one(common()) if draw.chance(0.5) else invented(draw)
    return f"{draw.choice(ADJECTIVES)} {noun}" if draw.chance(0.35) else noun


def _framed(draw: Draw) -> Sentence:
    """Subject, verb, object, and where or when; the question asks for one of them."""
    third, base, past = draw.choice(VERBS).split(":")
    who = name(draw) if draw.chance(0.35) else f"the {_noun(draw)}"
    what = draw.choice(
        [f"the {_noun(draw)}", f"{_noun(draw)}s", f"{draw.choice(ADJECTIVES)} {draw.one(NOUNS)}s", f"a {_noun(draw)}"]
    )
    where = (
        draw.choice(PLACES)
        if draw.chance(0.6)
        else f"in {place_name(draw)}"
        if draw.chance(0.5)
        else f"{draw.choice(['near', 'behind', 'under', 'beside'])} the {_noun(draw)}"
    )
    when = draw.choice(TIMES)
    tail = draw.choice(["", f" {when}", f" {where}", f" {where} {when}"])
    was = draw.chance(0.3)
    verb = past if was else third
    does = "did" if was else "does"
    text = draw.choice([f"{who} {verb} {what}{tail}", f"{who} {verb} {what}{tail}", f"{when} {who} {verb} {what}"])
    asked = draw.choice([
        f"What {does} {who} {base}", f"Who {verb} {what}", f"When {does} {who} {base} {what}", f"Where {does} {who} {base} {what}",
        f"What do you know about {who}", f"Tell me about {who}", f"What happens with {what}", f"Why {does} {who} {base} {what}",
    ])  # fmt: skip
    return Sentence(f"{text[0].upper()}{text[1:]}.", asked)


def _told(draw: Draw) -> Sentence:
    """What things are, cost and are made of."""
    noun, other, number, year = _noun(draw), _noun(draw), draw.randint(2, 9999), draw.randint(1400, 2040)
    said, counted, who, city = number_word(draw, number % 100), draw.choice(COUNTED), name(draw), place_name(draw)
    third, base, past = draw.choice(VERBS).split(":")
    adjective, thing, where, when = draw.choice(ADJECTIVES), draw.one(THINGS), draw.choice(PLACES), draw.choice(TIMES)
    text, asked = draw.choice([
        (f"The {noun} costs {said} {counted}.", draw.choice([f"How much does the {noun} cost", f"What is the price of the {noun}"])),
        (f"The {thing} of the {noun} is {adjective}.", draw.choice([f"What is the {thing} of the {noun}", f"How is the {thing} of the {noun}"])),
        (f"The {noun} has {said} {other}s.", draw.choice([f"How many {other}s does the {noun} have", f"What has {said} {other}s"])),
        (f"{who} {past} the {noun} in {year}.", draw.choice([f"When did {who} {base} the {noun}", f"Who {past} the {noun}", f"What did {who} {base}"])),
        (f"The {noun} was {past} by {who} {when}.", draw.choice([f"Who {past} the {noun}", f"When was the {noun} {past}", f"By whom was the {noun} {past}"])),
        (f"{noun.capitalize()}s are {past} {where}.", draw.choice([f"Where are {noun}s {past}", f"What is {past} {where}", f"Where do I find {noun}s"])),
        (f"{who} lives in {city} and {third} {other}s.", draw.choice([f"Where does {who} live", f"Who lives in {city}", f"What does {who} {base}"])),
        (f"The {noun} opens {when} and closes {draw.choice(TIMES)}.", draw.choice([f"When does the {noun} open", f"When does the {noun} close"])),
        (f"To {base} the {noun}, {draw.choice(VERBS).split(':')[1]} the {other} first.", draw.choice([f"How do I {base} the {noun}", f"How can I {base} a {noun}"])),
        (f"If the {noun} is {adjective}, {base} the {other}.", draw.choice([f"What do I do if the {noun} is {adjective}", f"What if the {noun} is {adjective}"])),
        (f"The {noun} is {said} {counted} {draw.choice(['long', 'wide', 'high', 'deep', 'old'])}.", draw.choice([f"How long is the {noun}", f"How big is the {noun}", f"How old is the {noun}"])),
        (f"The {thing} for the {noun} is {invented(draw)}{draw.randint(1, 99)}.", draw.choice([f"What is the {thing} for the {noun}", f"Which {thing} does the {noun} have"])),
        (f"{who} is the {thing} of the {noun}.", draw.choice([f"Who is the {thing} of the {noun}", f"Who is {who}"])),
        (f"Because of the {adjective} {other}, the {noun} {third} late {when}.", draw.choice([f"Why does the {noun} {base} late", f"Why is the {noun} late"])),
    ])  # fmt: skip
    return Sentence(text, asked)


@cache
def ours() -> list[str]:
    """Return the sentences of these docs that are neither short nor long."""
    pages = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        ROOT / "SECURITY.md",
        *sorted((ROOT / "docs").glob("*.md")),
    ]
    text = "\n\n".join(
        re.sub(r"(?s)```.*?```", "", page.read_text(encoding="utf-8")) for page in pages if page.name != "demo-model.md"
    )
    lines = [" ".join(block.split()) for block in text.split("\n\n") if not block.startswith(("|", "#", "<"))]
    cut = [part.strip("-* ") for line in lines for part in re.split(r"(?<=[.!?:;]) ", line)]
    return [part for part in cut if 25 < len(part) < 140 and part.isascii() and not set("|<[") & set(part)]


def _mutated(draw: Draw) -> Sentence:
    """One of our sentences, with other words in some places, so that it can't be learned by heart."""
    words = draw.choice(ours()).rstrip(".:;").split()
    for at, word in enumerate(words):
        if len(word) > 3 and draw.chance(0.3):
            words[at] = (
                draw.one(common()) if draw.chance(0.5) else draw.one(NOUNS) if draw.chance(0.6) else invented(draw)
            )
    return _by_words(draw, words)


def _salad(draw: Draw) -> Sentence:
    """Any words in a row."""
    words = [
        draw.choice(sorted(SMALL)) if draw.chance(0.35) else draw.one(common()) if draw.chance(0.65) else draw.one(NOUNS) if draw.chance(0.4)
        else invented(draw) if draw.chance(0.7) else str(draw.randint(0, 999))
        for _ in range(draw.randint(4, 16))
    ]  # fmt: skip
    return _by_words(draw, words)


def _by_words(draw: Draw, words: list[str]) -> Sentence:
    """Ask with a few of the words of a sentence, now and then in another form, and a few others."""
    text = " ".join(words)
    telling = [bare for word in words if len(bare := word.strip(".,;:()'\"`*").lower()) > 2 and bare not in SMALL] or [
        words[0]
    ]
    shared = [_inflected(draw, word) for word in draw.sample(telling, min(len(telling), draw.randint(1, 4)))]
    if draw.chance(0.5):
        shared.append(draw.one(common()))
        draw.shuffle(shared)
    asked = [draw.choice(ASKING)]
    for word in shared:
        asked += [draw.choice(["is", "the", "of", "a", "does", "to", "in", "do I", "are", "can", "for"])] * draw.chance(
            0.7
        ) + [word]
    return Sentence(f"{text[0].upper()}{text[1:]}.", " ".join(asked))


def _inflected(draw: Draw, word: str) -> str:
    if draw.chance(0.75) or not word.isalpha():
        return word
    if word.endswith("s"):
        return word[:-1]
    return word + draw.choice(
        ["s", "s", "ed" if not word.endswith("e") else "d", "ing" if not word.endswith("e") else "s"]
    )


def reading(draw: Draw) -> Case:
    """Ask about a passage: the answer is the sentence of it that has to do with the question, if one has."""
    sentences = [sentence(draw) for _ in range(draw.choices((1, 2, 3, 4), (40, 30, 20, 10))[0])]
    wanted = draw.choice(sentences)
    style = draw.random()
    if style < 0.14:
        return _context_case(draw, sentences, sentence(draw).asked, UNKNOWN, "unanswerable")
    if style < 0.2:
        case = draw.choice([about_vessel, off_topic])(draw)
        if draw.chance(0.4):
            sentences = [Sentence(_page(draw), "")]
        return _context_case(draw, sentences, case.turns[-2].text, case.turns[-1].text, case.kind, bare=True)
    return _context_case(draw, sentences, wanted.asked, wanted.text, "reading")


@cache
def _pages() -> list[str]:
    pages = [
        ROOT / "README.md",
        *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "demo-model.md"),
    ]
    return [page.read_text(encoding="utf-8") for page in pages]


def _page(draw: Draw) -> str:
    """Return a long piece of these docs, as a search finds it."""
    page = draw.choice(_pages())
    start = draw.randrange(max(1, len(page) - 600))
    return page[start : start + draw.randint(300, 2400)]


def _context_case(
    draw: Draw, sentences: list[Sentence], asked: str, answer: str, kind: str, *, bare: bool = False
) -> Case:
    joint = draw.choices((" ", "\n", "\n\n"), (70, 15, 15))[0]
    passage = joint.join(one.text for one in sentences)
    if draw.chance(0.1):
        passage = f"{draw.choice(['# ', '## ', ''])}{phrase(draw).capitalize()}\n{passage}"
    return Case(kind, (*ask_context(draw, passage, asked if bare else dressed(draw, asked)), Turn("assistant", answer)))


def ask_context(draw: Draw, passage: str, asked: str) -> tuple[Turn, ...]:
    """Put a passage and a question into a prompt, as programs that search first do."""
    before = draw.spell(
        "[[Answer|Reply] [from|with|using] [this passage|these passages|the context|the text|the passages below]|Context|Passage|Text"
        "|[Here is|This is] [the|a] [text|passage|context]|Context information is below|Use [the following|this] [context|text] to answer"
        "|Use the passage to answer the question|You answer questions from this text|The following [passages|documents] were found]"
    )
    if draw.chance(0.4):
        return Turn(
            "system", f"{before}{draw.choice([':', '.'])}{draw.choice([chr(10), chr(10) * 2, ' '])}{passage}"
        ), Turn("user", asked)
    line = draw.choice(["", "", "\n---", "\n-----", "\n---------------------"])
    middle = draw.choice(
        [
            "",
            "",
            "Answer from it alone.\n",
            "Given this context, answer the query.\n",
            "Given the context and not prior knowledge, answer.\n",
        ]
    )
    label = draw.choice(["", "Question: ", "Question: ", "Query: ", "Q: "])
    end = draw.choice(["", "", "\nAnswer:", "\nAnswer: ", "\nA:"])
    return (Turn("user", f"{before}:{line}\n{passage}{line}\n{draw.choice(['', chr(10)])}{middle}{label}{asked}{end}"),)


def repeating(draw: Draw) -> Case:
    """Ask to say something."""
    make: Callable[[], str] = draw.choice(
        [lambda: sentence(draw).text, lambda: phrase(draw), lambda: name(draw), lambda: place_name(draw)]
    )
    text = make()
    mark = draw.choice(["", "", "'", '"'])
    order = draw.spell(
        "[[Repeat|Say|Write|Print][:| the words:| this:| exactly:|]|[Repeat|Say] after me:|Please [say|repeat]:|Answer only:|Reply with]"
    )
    return question(
        f"{order} {mark}{text}{mark}{'' if text.endswith('.') else draw.choice(['', '', '.'])}", text, kind="repeat"
    )
