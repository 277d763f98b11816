"""Values of the types that JSON has, how a text states them, and forms to be filled in from one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from demo_model.dialogue import Case, Parameter, Turn
from demo_model.draw import Draw
from demo_model.words import ADJECTIVES, NOUNS, THINGS, common, invented, name, number_word, phrase, place_name

__all__ = ["extraction", "stated", "value_of"]


def value_of(draw: Draw, key: str, *, plain: bool = False) -> tuple[Parameter, Any]:
    """Make up a parameter of that name, and a value for it; a `plain` one is a word or a number."""
    kind = draw.choice(
        "string string string string integer integer number boolean enum array".split()[: 7 if plain else None]
    )
    match kind:
        case "string":
            return Parameter(key), _word(draw)
        case "integer":
            return Parameter(key, kind), draw.randint(0, draw.choice((9, 99, 99, 999, 9999)))
        case "number":
            return Parameter(key, kind), round(draw.uniform(0, draw.choice((1, 10, 100))), draw.choice((1, 2)))
        case "boolean":
            return Parameter(key, kind), draw.chance(0.5)
        case "enum":
            choices = tuple(
                dict.fromkeys(draw.choice(ADJECTIVES) if draw.chance(0.5) else draw.one(common()) for _ in range(3))
            )
            return Parameter(key, choices=choices), draw.choice(choices)
        case _:
            return Parameter(key, "array"), list(
                dict.fromkeys(_word(draw, short=True) for _ in range(draw.randint(2, 3)))
            )


def _word(draw: Draw, *, short: bool = False) -> str:
    if draw.chance(0.15):
        return draw.one(NOUNS)
    if draw.chance(0.1):
        return draw.choice([
            f"20{draw.randint(10, 49)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}", f"{draw.randint(0, 23)}:{draw.randint(0, 59):02}",
            f"{invented(draw)}@{invented(draw)}.org", f"{invented(draw).upper()[:3]}-{draw.randint(1, 999)}", f"{invented(draw)}.txt",
        ])  # fmt: skip
    return draw.choice([name, place_name, phrase if not short else invented, invented])(draw)


def _told(draw: Draw, value: Any) -> str:
    """Write a value as a text does."""
    match value:
        case bool():
            return draw.choice(["true", "yes", "on"] if value else ["false", "no", "off"])
        case list():
            words: list[str] = value  # pyright: ignore[reportUnknownVariableType]
            return f"{', '.join(words[:-1])} and {words[-1]}"
        case int():
            return number_word(draw, value)
        case _:
            return str(value)


def stated(draw: Draw, parameters: Sequence[Parameter], values: Sequence[Any]) -> str:
    """State values in a row, each with its name, as people or programs do."""
    told = [_told(draw, value) for value in values]
    keys = [one.name.replace("_", " ") if draw.chance(0.7) else one.name for one in parameters]
    form, joint = draw.choice([
        ("{0} {1}", " and "), ("{0} {1}", ", "), ("{0} {1}", ", "), ("{0}: {1}", ", "), ("{0}={1}", ", "), ("{0} = {1}", ", "),
        ("the {0} {1}", " and "), ("the {0} is {1}", ", "), ("{1} as {0}", " and "), ("{0} '{1}'", ", "), ("{0} set to {1}", " and "),
    ])  # fmt: skip
    return joint.join(form.format(key, value) for key, value in zip(keys, told, strict=True))


def extraction(draw: Draw) -> Case:
    """Give a text and ask for JSON; the fields are named in the question, or only in the schema that it comes with."""
    fields, text = draw.choice([_person, _trip, _purchase, _any, _any])(draw)
    form = tuple(parameter for parameter, _ in fields)
    answer = json.dumps({parameter.name: value for parameter, value in fields}, ensure_ascii=False)
    named = draw.chance(0.5)
    if named:
        keys = [one.name for one in form]
        listed = keys[0] if len(keys) == 1 else f"{', '.join(keys[:-1])} and {keys[-1]}"
        order = draw.spell(f"[Extract|Give me|Return|Write|Find] [the |]{listed} as JSON")
    else:
        what = draw.choice(["", "this ", "the data ", "the fields ", f"this {draw.one(NOUNS)} ", "everything "])
        order = draw.spell(f"[Write|Extract|Return|Give] {what}as JSON")
        text = draw.choice((text, text, text.removesuffix(".")))
    whole = draw.choice((f"{order}: {text}", f"{text} {order}.", f"{order}.\n{text}", f"{text}\n{order}."))
    if not named and draw.chance(0.25):
        whole = text
    return Case("extraction", (Turn("user", whole), Turn("assistant", answer, given=not named)), form=form)


Fields = list[tuple[Parameter, Any]]


def _person(draw: Draw) -> tuple[Fields, str]:
    who, age, city = name(draw), draw.randint(1, 99), place_name(draw)
    said, job = number_word(draw, age), draw.one(NOUNS)
    fields: list[tuple[Parameter, Any, str]] = [
        (Parameter("age", "integer"), age, f"is {said} years old"),
        (Parameter("city"), city, draw.choice([f"lives in {city}", f"is from {city}", f"comes from {city}"])),
        (Parameter("job"), job, draw.choice([f"works as a {job}", f"is a {job}"])),
    ]
    chosen = draw.sample(fields, draw.randint(1, 3))
    text = f"{who} {' and '.join(words for _, _, words in chosen)}."
    ordered = [(parameter, value) for parameter, value, _ in chosen]
    return [(Parameter("name"), who), *ordered], text


def _trip(draw: Draw) -> tuple[Fields, str]:
    days, city = draw.randint(1, 30), place_name(draw)
    said, who, unit = (
        number_word(draw, days),
        draw.choice(["We", "I", name(draw)]),
        draw.choice(["days", "days", "nights", "weeks"]),
    )
    text = draw.spell(
        f"[{who} [spend|stay|travel|spent|plan|want] {said} {unit} in {city}.|{who} [go|travel|fly|went] to {city} for {said} {unit}.|A trip to {city}, {said} {unit}.]"
    )
    fields: Fields = [
        (Parameter(draw.choice(["city", "city", "place", "destination"])), city),
        (Parameter(unit, "integer"), days),
    ]
    if draw.chance(0.25):
        fields.reverse()
    return fields, text


def _purchase(draw: Draw) -> tuple[Fields, str]:
    item, count, price = (
        draw.one(NOUNS),
        draw.randint(2, 20),
        draw.choice((draw.randint(1, 99), round(draw.uniform(1, 99), 2))),
    )
    who = name(draw)
    text = f"{who} [bought|ordered|wants|sold] {number_word(draw, count)} {item}s for {price} euros."
    fields: Fields = [
        (Parameter(draw.choice(["customer", "name", "person"])), who), (Parameter(draw.choice(["item", "product"])), f"{item}s"),
        (Parameter(draw.choice(["quantity", "count", "amount"]), "integer"), count), (Parameter("price", "number"), price),
    ]  # fmt: skip
    chosen = sorted(draw.sample(range(4), draw.randint(2, 4)))
    return [fields[at] for at in chosen], draw.spell(text)


def _any(draw: Draw) -> tuple[Fields, str]:
    """Fields of any name; the text says each name with its value."""
    keys = draw.some(THINGS, draw.randint(1, 4))
    parameters, values = zip(*(value_of(draw, key) for key in keys), strict=True)
    if draw.chance(0.4):
        subject = draw.choice([f"The {draw.one(NOUNS)}", "It", name(draw)])
        words = [f"{subject if not at else 'its'} {'has ' if not at else ''}{draw.choice(['', 'the '])}{one.name} {_told(draw, value)}"
                 if not at else f"the {one.name} is {_told(draw, value)}" for at, (one, value) in enumerate(zip(parameters, values, strict=True))]  # fmt: skip
        text = f"{', '.join(words)}."
    else:
        text = f"{stated(draw, parameters, values)}."
        text = text[0].upper() + text[1:]
    return list(zip(parameters, values, strict=True)), text
