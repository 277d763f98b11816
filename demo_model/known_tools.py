"""Tools that everybody writes: the weather, the time, a search, sums, mails, timers, bookings, prices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from demo_model.dialogue import Call, Parameter, Tool
from demo_model.draw import Draw
from demo_model.words import name, number_word, phrase, place_name

__all__ = ["PLACED", "Asked", "known_tool"]

#: A tool, what asks for it, and the call.
Asked = tuple[Tool, str, Call]

WEATHER = ["get_weather", "weather", "current_weather", "get_current_weather", "weather_in", "get_forecast"]
TIME = ["get_time", "current_time", "time_in", "local_time"]
#: Those whose only argument is a place.
PLACED = frozenset({*WEATHER, *TIME})


def known_tool(draw: Draw) -> Asked:
    """Ask for one of them, under any of its names."""
    make = draw.choice(KNOWN)
    tool, text, call = make(draw)
    return replace(tool, sort=make.__name__ if make is not _now else tool.name), text, call


def _weather(draw: Draw) -> Asked:
    title = draw.choice(WEATHER)
    place = Parameter(draw.choice(["city", "city", "location", "place"]))
    city = place_name(draw)
    text = draw.spell(
        "[[What is|What's|How is|Tell me|Show me|Check|Get me] the [weather|weather like|weather now|current weather|forecast] [in|for]"
        f" {city}|Weather in {city}|Is it [raining|sunny|cold|warm|snowing] in {city}|How [warm|cold|hot] is it in {city}"
        f"|Will it rain in {city}|Do I need [an umbrella|a coat] in {city}|I want to know the weather in {city}|What is {city}'s weather]"
    )
    parameters, arguments = [place], {place.name: city}
    if draw.chance(0.25):
        days = draw.randint(1, 14)
        parameters.append(Parameter("days", "integer"))
        arguments |= {"days": days}
        text += f" for {number_word(draw, days)} days"
    elif draw.chance(0.25):
        unit = draw.choice(["celsius", "fahrenheit"])
        parameters.append(Parameter("unit", choices=("celsius", "fahrenheit"), optional=draw.chance(0.5)))
        arguments |= {"unit": unit}
        text += f" in {unit}"
    about = draw.spell(
        "[Tell the weather in a city[ right now|]|Get the [current |]weather[ for a place| of a city|]|The weather of a place]."
    )
    return Tool(title, about, tuple(parameters)), text, Call(title, arguments)


def _time(draw: Draw) -> Asked:
    title, key, city = draw.choice(TIME), draw.choice(["city", "place", "zone"]), place_name(draw)
    text = draw.spell(
        f"[What time is it in {city}|Tell me the time in {city}|What is the [local |current |]time in {city}|How late is it in {city}|Time in {city}]"
    )
    about = draw.spell("[Tell|Get] the [local|current|] time [in|of] a [city|place].")
    return Tool(title, about, (Parameter(key),)), text, Call(title, {key: city})


def _search(draw: Draw) -> Asked:
    where = draw.choice(["docs", "web", "notes", "files", "news", "books", "wiki", "mails"])
    title = draw.choice(["search", f"search_{where}", "find", f"find_{where}", "lookup"])
    key, wanted = draw.choice(["query", "query", "text", "q", "term"]), phrase(draw)
    text = draw.spell(
        f"[Search for {wanted}|Search the {where} for {wanted}|Find {wanted}|Look up {wanted}|Look for {wanted}|Find {where} about {wanted}"
        f"|What do the {where} say about {wanted}|Search {wanted}|Can you find {wanted}|I need {where} about {wanted}]"
    )
    return (
        Tool(title, draw.spell(f"[Search|Look through] the {where}."), (Parameter(key),)),
        text,
        Call(title, {key: wanted}),
    )


def _reckon(draw: Draw) -> Asked:
    title, words = draw.choice([
        ("add", "[What is {a} plus {b}|Add {a} and {b}|Add {a} to {b}|{a} + {b}|What is {a} + {b}|What is the sum of {a} and {b}]"),
        ("multiply", "[What is {a} times {b}|Multiply {a} by {b}|Multiply {a} and {b}|{a} * {b}|What is {a} x {b}|What is the product of {a} and {b}]"),
        ("subtract", "[What is {a} minus {b}|{a} - {b}|What is {a} - {b}|What is the difference of {a} and {b}]"),
        ("divide", "[What is {a} divided by {b}|Divide {a} by {b}|{a} / {b}|What is {a} / {b}]"),
    ])  # fmt: skip
    keys, kind = (
        draw.choice([("a", "b"), ("x", "y"), ("first", "second")]),
        draw.choice(["integer", "integer", "number"]),
    )
    a, b = (draw.randint(0, draw.choice((9, 99, 999, 9999))) for _ in keys)
    text = draw.spell(words).format(a=a, b=b)
    tool = Tool(
        title, draw.spell(f"{title.capitalize()} [two|the] numbers."), tuple(Parameter(key, kind) for key in keys)
    )
    return tool, text, Call(title, dict(zip(keys, (a, b), strict=True)))


def _mail(draw: Draw) -> Asked:
    title, who, what = draw.choice(["send_mail", "send_email", "send_message", "write_to"]), name(draw), phrase(draw)
    keys = draw.choice(["to", "recipient"]), draw.choice(["subject", "text", "message", "body"])
    text = draw.spell(
        f"[Send {who} a [mail|message] about {what}|Write to {who} about {what}|Mail {who} about {what}|Tell {who} about {what}"
        f"|Send a [mail|message] to {who} about {what}|Send a [mail|message] about {what} to {who}|Let {who} know about {what}]"
    )
    tool = Tool(title, draw.spell("Send a [message|mail][ to somebody|]."), tuple(Parameter(key) for key in keys))
    return tool, text, Call(title, dict(zip(keys, (who, what), strict=True)))


def _timer(draw: Draw) -> Asked:
    unit, number = draw.choice(["minutes", "seconds", "hours"]), draw.randint(2, 90)
    said = number_word(draw, number)
    text = draw.spell(
        f"[Set a timer for {said} {unit}|Start a timer of {said} {unit}|Wake me in {said} {unit}|Remind me in {said} {unit}|Timer {said} {unit}]"
    )
    title = draw.choice(["set_timer", "start_timer", "timer"])
    return Tool(title, "Set a timer.", (Parameter(unit, "integer"),)), text, Call(title, {unit: number})


def _book(draw: Draw) -> Asked:
    city, days = place_name(draw), draw.randint(2, 30)
    said, what = number_word(draw, days), draw.choice(["hotel", "room", "flight", "trip", "car"])
    text = draw.spell(
        f"[Book a {what} in {city} for {said} days|I need a {what} in {city} for {said} days|Find me a {what} for {said} days in {city}]"
    )
    tool = Tool(f"book_{what}", f"Book a {what}.", (Parameter("city"), Parameter("days", "integer")))
    return tool, text, Call(tool.name, {"city": city, "days": days})


def _price(draw: Draw) -> Asked:
    item = phrase(draw)
    title, key = (
        draw.choice(["get_price", "price_of", "look_up_price", "stock"]),
        draw.choice(["item", "product", "article"]),
    )
    text = draw.spell(
        f"[How much is {item}|What does {item} cost|What is the price of {item}|Price of {item}|Tell me the price of {item}]"
    )
    return Tool(title, "Tell the price of an item.", (Parameter(key),)), text, Call(title, {key: item})


def _now(draw: Draw) -> Asked:
    title, text, about = draw.choice([
        ("get_date", "[What is the date|Which day is it|What day is today|Tell me the date]", "Tell today's date."),
        ("list_files", "[List the files|Which files are there|Show me my files|What files do I have]", "List the files of a folder."),
        ("get_status", "[What is the status|Is everything running|How is the system|Show me the status]", "Tell whether everything runs."),
        ("roll_dice", "[Roll a die|Roll the dice|Throw a die|Give me a random number]", "Roll a die."),
    ])  # fmt: skip
    return Tool(title, about, ()), draw.spell(text), Call(title, {})


KNOWN: list[Callable[[Draw], Asked]] = [
    _weather,
    _weather,
    _time,
    _search,
    _search,
    _reckon,
    _mail,
    _timer,
    _book,
    _price,
    _now,
]
