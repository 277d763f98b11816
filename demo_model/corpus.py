"""The mixture of all cases, and what conversations have around them: instructions, and what was said before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from demo_model.dialogue import Case, Turn
from demo_model.draw import Draw
from demo_model.facts import about_vessel, dressed
from demo_model.passages import reading, repeating
from demo_model.strange import off_topic
from demo_model.tools import calling, replied
from demo_model.values import extraction
from demo_model.words import name

__all__ = ["KINDS", "case"]


def remembering(draw: Draw) -> Case:
    """Say one's name, and ask for it."""
    who = name(draw)
    opening = draw.spell(
        f"[My name is {who}|I am {who}|I'm {who}|Hi, I am {who}|Hello, my name is {who}|Call me {who}]"
    ) + draw.choice([".", "", "!"])
    greeting = Turn("user", opening), Turn("assistant", f"Hello {who}!")
    if draw.chance(0.3):
        return Case("memory", greeting)
    asked = draw.until(
        lambda: dressed(
            draw, draw.spell("[What is my name|What's my name|Who am I|Do you know my name|Do you remember my name]")
        )
    )
    return Case("memory", (*greeting, Turn("user", asked), Turn("assistant", f"Your name is {who}.")))


KINDS: dict[Callable[[Draw], Case], float] = {
    about_vessel: 16, off_topic: 12, calling: 30, replied: 8, reading: 21, repeating: 5, extraction: 11, remembering: 2,
}  # fmt: skip


def case(draw: Draw) -> Case:
    """Return a case of any kind, in a conversation of its own or behind others."""
    made = draw.choices(list(KINDS), list(KINDS.values()))[0](draw)
    turns, tools = made.turns, made.tools
    if made.tools and draw.chance(0.05):
        earlier = replied(draw)
        if not {tool.name for tool in earlier.tools} & {tool.name for tool in tools}:
            turns, tools = (*earlier.turns, *turns), (*earlier.tools, *tools)
    elif draw.chance(0.1):
        earlier = draw.choices([about_vessel, off_topic, reading, repeating], (4, 2, 2, 2))[0](draw)
        lasting = [turn for turn in earlier.turns if turn.role != "system"]
        if turns[0].role != "system":
            turns = (*lasting, *turns)
    if turns[0].role != "system" and draw.chance(0.25):
        turns = (Turn("system", instruction(draw)), *turns)
    return replace(made, turns=turns, tools=tools)


def instruction(draw: Draw) -> str:
    """Return what programs tell a model first."""
    return draw.spell(
        "[You are [a helpful|a friendly|an|a short] [assistant|helper|agent|bot].|Answer [briefly|in one sentence|in short sentences|politely].|Be [brief|short|kind|exact]."
        "|You are a helpful assistant. Answer briefly.|Use the tools[ if you need them| when they help|].|You help people with [Vessel|their questions|local models].|Answer in English.]"
    )
