"""Questions about everything else: the model should say that it doesn't know."""

from __future__ import annotations

from demo_model.dialogue import Case, question
from demo_model.draw import Draw
from demo_model.facts import UNKNOWN, dressed
from demo_model.unseen import OFF_TOPIC
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
    phrase,
    place_name,
)

__all__ = ["off_topic"]

FRAMES = """What is the capital of {city}|Who [wrote|painted|invented|discovered|composed|directed|founded] {work}
How [tall|old|far|big|deep|fast|heavy|long|high|rich] is [the {noun}|{name}|{city}]|When [was|did] {name} [born|die|arrive|win]
Why [is|are] the {noun} [{adjective}|so {adjective}]|Where [is|can I find|do I get] [the {noun}|{city}|a {adjective} {noun}]
How do I [{verb} a {noun}|{verb} the {adjective} {noun}|get from {city} to {city2}|learn {common}|cook {noun}]
What [does|did] {name} {verb}[ {time}|]|Who is [{name}|the [president|king|mayor|boss|queen] of {city}]
[What is|What's] {n} [times|plus|minus|divided by] {n2}|Explain {common} [to me|in simple words|briefly]
[Write|Compose] a [poem|story|song|letter|essay] about [{noun}s|{common}|{city}]|Tell me [about {city}|a story|about {common}|the news]
[Translate|Spell|Define|Pronounce] {common}[ into French| into German|]|What [colour|size|shape|kind] is [the|a] {noun}
Is [the {noun} {adjective}|{city} in {city2}|{common} {adjective}]|Are {noun}s {adjective}|Do {noun}s {verb} {noun2}s
Does {name} {verb} the {noun}|Did {name} {verb} {noun2}s {time}|How many {counted} [does a {noun} have|are in {city}|is it to {city}]
How much [does a {noun} cost|is the {noun}|money does {name} have]|What is the {thing} of [{city}|the {noun}|{name}|{common}]
Which {noun} is [the best|the {adjective} one|better]|What happened [in {year}|to {name}|{place}]|[Give|Show] me [a recipe for {noun}|the {thing} of the {noun}]
Who [won|lost|started] the {common} [war|cup|game|race][ in {year}|]|What does {common} mean|What is [a {noun}|{common}|{invented}|the {common} {noun}]
When [does|will] the {noun} [open|close|start|end|arrive]|[Should|Can|May] I {verb} the {noun}[ {time}|]
[What is|Who was|Where is|When was|Why is] {invented}|[Recommend|Suggest] a {noun}|Name three {noun}s|List all {common} {noun}s
What is the [meaning of life|square root of {n}|largest {noun}|smallest {noun}|fastest {noun}|population of {city}|weather tomorrow]
What do you think about {common}|Do you like {noun}s|Can you {verb} a {noun}|Would you {verb} {name}|{common} {noun} {common}
Can {name} {verb} [a {noun}|the {noun} {place}]|How does [a {noun}|{common}|the {common} {noun}] work|Solve {n} + {n2}
Which [country|language|planet|river|animal|team|year] [is|was|has] [the {adjective}|{common}|the largest|{noun}s]
How can I {verb} [{noun}s|my {noun}|{common}|the {thing}]|How [{adjective}|tall|rich|fast] are [you|they|{noun}s]|Where do [you|{noun}s] live
Are you [{adjective}|a {noun}|married|hungry|from {city}]|What is your [{thing}|{noun}|favourite {noun}]|Do you have [a {noun}|{noun}s]|When were you {past}
Tell me about [the {common} {noun}|the {noun}s of {city}|{noun}s|the {adjective} {common}|{name}]|What are {noun}s [for|made of|good for]
Name [a|the {n}|some] [{noun}|{adjective}|{common}] {noun2}s|What is the best {thing}|[Who|What] {past} the {noun}|What is {common} {common}
Which {thing} [is|has] [{name}|the {noun}|{common}]|Is [a|the] {noun} [a|the] {noun2}|Why do {noun}s {verb}|What are the {thing}s of [a {noun}|{common}]
Whose {noun} is [this|that|it]|Will [{name}|the {noun}] {verb}[ {time}|]|I [want|need|like] {noun}s|My {noun} is {adjective}|Was {name} {adjective}""".replace(
    "\n", "|"
)


def _split(frames: str) -> list[str]:
    """Cut at the bars that stand outside of brackets."""
    found, depth = [""], 0
    for letter in frames:
        depth += (letter == "[") - (letter == "]")
        if letter == "|" and not depth:
            found.append("")
        else:
            found[-1] += letter
    return found


PATTERNS = _split(FRAMES)
#: What the evaluation asks is not trained on, should a pattern hit upon it.
ASKED = frozenset(asked.lower().rstrip("?.") for asked in OFF_TOPIC)


def off_topic(draw: Draw) -> Case:
    """Ask what has nothing to do with Vessel."""
    return question(draw.until(lambda: _asked(draw)), UNKNOWN, kind="unknown")


def _asked(draw: Draw) -> str:
    while (text := _plain(draw)).lower() in ASKED:
        pass
    return dressed(draw, text)


def _plain(draw: Draw) -> str:
    if draw.chance(0.2):
        start = draw.choice("What Who When Where Why How Which Is Are Do Does Can Will Tell Explain Give".split())
        words = [
            draw.choice(common()) if draw.chance(0.6) else draw.choice(["the", "a", "of", "is", "in", "to"])
            for _ in range(draw.randint(2, 7))
        ]
        return " ".join([start, *words])
    return fill(draw, draw.choice(PATTERNS))


def fill(draw: Draw, pattern: str) -> str:
    """Write a pattern with words of its kinds."""
    _, verb, past = draw.choice(VERBS).split(":")
    return draw.spell(pattern).format(
        city=place_name(draw), city2=place_name(draw), name=name(draw), noun=draw.one(NOUNS), noun2=draw.one(NOUNS),
        adjective=draw.choice(ADJECTIVES), verb=verb, past=past, time=draw.choice(TIMES), place=draw.choice(PLACES),
        common=draw.one(common()), invented=invented(draw), thing=draw.one(THINGS), counted=draw.choice(COUNTED),
        n=draw.randint(2, 999), n2=draw.randint(2, 99), year=draw.randint(1200, 2030),
        work=f"{draw.one(common()).capitalize()} {draw.choice(['and', 'of', 'the'])} {phrase(draw)}",
    )  # fmt: skip
