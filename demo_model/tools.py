"""Tools: ones that everybody writes, ones that nobody wrote before, and what to say once they have replied."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from demo_model.dialogue import Call, Case, Tool, Turn
from demo_model.draw import Draw
from demo_model.facts import about_vessel, dressed
from demo_model.known_tools import PLACED, Asked, known_tool
from demo_model.passages import sentence
from demo_model.strange import off_topic
from demo_model.values import stated, value_of
from demo_model.words import ADJECTIVES, NOUNS, THINGS, common, invented, phrase, place_name

__all__ = ["calling", "replied"]

ACTIONS = """get fetch find read load list show create add update delete remove send start stop open close book order cancel
check count compute convert measure plan schedule search track turn set reset save archive export import publish approve
reject assign merge rename move copy print scan clean lock unlock ping restart deploy validate refresh sort filter invite
notify activate register submit upload download describe estimate rank select switch""".split()


def calling(draw: Draw, *, known: bool | None = None) -> Case:
    """Ask for a tool among others, sometimes for two things at once, or for what no tool is needed for."""
    known = draw.chance(0.5) if known is None else known
    if draw.chance(0.12):
        return _needless(draw)
    make = known_tool if known else _generic
    asked = [make(draw)]
    if draw.chance(0.25) and len(asked[0][2].arguments) < 2:
        another = _again(draw, asked[0]) or make(draw)
        if len(another[2].arguments) < 2 and (another[0] == asked[0][0] or _apart(another[0], [asked[0][0]])):
            asked.append(another)
    text = dressed(draw, asked[0][1])
    if len(asked) == 2:
        text = _both(draw, asked[0][1], asked[1][1])
    kind = "two calls" if len(asked) == 2 else "known tool" if known else "unseen tool"
    return Case(
        kind,
        (Turn("user", text + draw.choice(["", "", "", " Use the tool.", " Use a tool."])),
         Turn("assistant", calls=tuple(call for _, _, call in asked))),
        _among(draw, [tool for tool, _, _ in asked], known),
    )  # fmt: skip


def _both(draw: Draw, first: str, second: str) -> str:
    """Ask for two things in one sentence or two."""
    second = second[0].lower() + second[1:]
    joint = draw.choice([" and ", ", and ", " and also ", " and then ", ", then ", "? And "])
    return first + joint + second + draw.choice(["?", ".", ""])


def _among(draw: Draw, needed: list[Tool], known: bool) -> tuple[Tool, ...]:
    """Put the tools that are needed among others."""
    tools = {tool.name: tool for tool in needed}
    for _ in range(draw.choice((0, 0, 0, 1, 1, 2))):
        tool = (known_tool if known else _generic)(draw)[0]
        if _apart(tool, tools.values()):
            tools[tool.name] = tool
    listed = [_fuller(draw, tool) for tool in tools.values()]
    draw.shuffle(listed)
    return tuple(listed)


def _apart(tool: Tool, others: Iterable[Tool]) -> bool:
    """Tell whether a request for this tool can't be one for the others."""
    return all(
        tool.name != other.name and tool.description != other.description and (tool.sort or "-") != other.sort
        for other in others
    )


def _fuller(draw: Draw, tool: Tool) -> Tool:
    """Now and then, add a parameter that may be left out, as it is, or describe the tool at length."""
    parameters, about = tool.parameters, tool.description
    if draw.chance(0.12):
        extra = replace(value_of(draw, draw.one(THINGS))[0], optional=True)
        if extra.name not in {one.name for one in parameters}:
            parameters = (*parameters, extra)
    if draw.chance(0.1):
        about = f"{about} {sentence(draw).text}"
    return replace(tool, parameters=parameters, description=about)


def _needless(draw: Draw) -> Case:
    """Ask what no tool is for."""
    case = draw.choice([about_vessel, off_topic])(draw)
    tools = [draw.choice([known_tool, _generic])(draw)[0]]
    return Case(case.kind, case.turns, tuple(tools))


def _again(draw: Draw, asked: Asked) -> Asked | None:
    """Ask the same tool once more, about something else."""
    tool, _, call = asked
    if draw.chance(0.3) or [one.type for one in tool.parameters] != ["string"]:
        return None
    value = place_name(draw) if tool.name in PLACED else phrase(draw)
    return tool, draw.choice([value, f"for {value}", f"of {value}"]), Call(call.name, {tool.parameters[0].name: value})


def _generic(draw: Draw) -> Asked:
    """Make up a tool: a verb, a noun, and parameters that the request states."""
    verb = draw.one(ACTIONS) if draw.chance(0.8) else invented(draw, longest=2)
    noun = _thing(draw)
    title = draw.choice(
        [f"{verb}_{noun}", f"{verb}_{noun}", f"{verb}{noun.capitalize()}", f"{noun}_{verb}", f"{verb}_the_{noun}"]
    )
    keys = draw.some(THINGS, draw.choice((1, 1, 1, 1, 2, 2, 3)))
    if draw.chance(0.2):
        keys[0] = f"{noun}_{draw.choice(['id', 'name', 'type', 'number'])}"
    parameters, values = zip(*(value_of(draw, key) for key in keys), strict=True)
    about = f"{verb.capitalize()} {draw.choice(['a', 'the', 'one'])} {draw.choice(['', '', draw.choice(ADJECTIVES) + ' '])}{noun}."
    tool = Tool(title, about, parameters)
    call = Call(title, dict(zip(keys, values, strict=True)))
    article = draw.choice(["the", "a", "my", "this"])
    if len(keys) == 1 and isinstance(values[0], str) and not parameters[0].choices and draw.chance(0.6):
        value = values[0]
        text = draw.spell(
            f"[{verb} {article} {noun} [for|of|in|at|from|called|named|to|with|on|about] {value}|[what is|show me|give me|tell me] {article} {noun}"
            f" [of|for|in|at] {value}|{verb} {value}|{verb} {noun} {value}|{noun} [of|for|in] {value}|I [want|need] {article} {noun} [of|for|in] {value}"
            f"|[can|could] you {verb} {article} {noun} [for|of|in|to] {value}]"
        )
    else:
        with_values = stated(draw, parameters, values)
        text = draw.spell(
            f"[{verb} {article} {noun}|{verb} {noun}|I want to {verb} {article} {noun}|can you {verb} {article} {noun}|use {title}|call {title}]"
        )
        text += draw.choice([" with ", " with ", ": ", ", "]) + with_values
    return tool, text[0].upper() + text[1:] if draw.chance(0.8) else text, call


def _thing(draw: Draw) -> str:
    return (
        draw.one(NOUNS) if draw.chance(0.5) else draw.one(common()) if draw.chance(0.6) else invented(draw, longest=2)
    )


def replied(draw: Draw) -> Case:
    """Let the tools reply, and say the result."""
    case = calling(draw)
    while not case.turns[-1].calls:
        case = calling(draw)
    results = [_result(draw, call) for call in case.turns[-1].calls]
    turns = [Turn("tool", text) for text, _ in results]
    answer = " ".join(said for _, said in results)
    return Case("tool result", (*case.turns, *turns, Turn("assistant", answer)), case.tools)


def _result(draw: Draw, call: Call) -> tuple[str, str]:
    """Return what a tool may reply, and how that is told."""
    value: Any = next(iter(call.arguments.values()), "it")
    style = draw.choice("sentence sentence weather fragment number json error".split())
    if style == "sentence":
        text = sentence(draw).text if draw.chance(0.7) else f"{phrase(draw).capitalize()} for {value}."
        return text, text
    if style == "weather":
        sky, degrees = (
            draw.choice("sunny cloudy rainy windy foggy snowing clear warm cold stormy".split()),
            draw.randint(-20, 40),
        )
        text = draw.spell(
            f"[It is {sky} in {value}, {degrees} degrees.|{sky}, {degrees} degrees|{degrees} degrees and {sky}|The weather in {value} is {sky}.|{degrees}°C, {sky}]"
        )
        return text, text if text.endswith(".") else f"The result is {text}."
    if style == "json":
        return _json(draw)
    if style == "error":
        text = f"Error: {draw.choice([phrase(draw), phrase(draw), 'not found', 'no connection', 'timeout'])}"
        return text, f"The tool failed. {text}."
    text = (
        str(draw.choice((draw.randint(0, 99), draw.randint(0, 99999), round(draw.uniform(0, 99), 2))))
        if style == "number"
        else phrase(draw)
    )
    return text, f"The result is {text}."


def _json(draw: Draw) -> tuple[str, str]:
    """Return an object, and its fields in a sentence."""
    fields = {draw.one(THINGS): value_of(draw, "x", plain=True)[1] for _ in range(draw.randint(1, 3))}
    said = [f"{key} is {value}" for key, value in fields.items()]
    return json.dumps(fields, ensure_ascii=False), f"The {', the '.join(said)}."
