"""What must be true of an answer, whichever framework brought it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tour.material import COLOURS, FACT, Trip, Weather
from tour.places import Places
from tour.report import Missing, Report, StepFailed

__all__ = ["answered", "fact_found", "kept_apart", "right_colour", "short", "streamed", "tool_used", "valid_trip"]


def short(text: str, longest: int = 110) -> str:
    """Return the beginning of a page's text, on one line."""
    line = " ".join(text.replace("#", "").replace("`", "").split())
    return line if len(line) <= longest else f"{line[:longest]}…"


def answered(text: str) -> None:
    """Fail unless there is an answer."""
    if not text.strip():
        raise StepFailed("The answer is empty.")


def fact_found(places: Places, passages: Sequence[str]) -> None:
    """Fail unless one of the passages holds the fact that was asked for, if they were found by an embedding model."""
    if any(FACT in passage for passage in passages):
        return
    if places.embedding.can.chat and not places.embedded:
        raise Missing(f"{places.embedding.model.id} is no embedding model: none of the passages names {FACT}.")
    raise StepFailed(f"None of the passages names {FACT}.")


def counted(number: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def streamed(arrivals: Sequence[float]) -> str:
    """Say how an answer came; `arrivals` are the seconds after which its pieces did."""
    return f"{counted(len(arrivals), 'piece')}, the first after {arrivals[0] * 1000:.0f} ms"


def tool_used(weather: Weather, results: Sequence[str], answer: str) -> str:
    """Fail unless the tool ran, its result went back to the model, and an answer came after it."""
    if not weather.asked:
        raise StepFailed("The model did not call the tool.")
    if not results or not all("21 degrees" in result for result in results):
        raise StepFailed("The tool's result did not come back to the model.")
    answered(answer)
    return f"the tool ran {counted(len(weather.asked), 'time')}"


def right_colour(answer: str, drawn: str) -> str:
    """Fail unless the answer names the colour that was drawn, and no other of ours."""
    named = set(re.findall(r"[a-z]+", answer.lower())) & set(COLOURS)
    if named != {drawn}:
        raise StepFailed(f"The square is {drawn}; the answer names {', '.join(sorted(named)) or 'no colour'}.")
    return f"it saw {drawn}"


def valid_trip(found: object) -> str:
    """Fail unless the object is of the class that was asked for; pydantic has checked its fields."""
    if not isinstance(found, Trip):
        raise StepFailed(f"A {type(found).__name__} came where a Trip was asked for.")
    return "a valid Trip"


def kept_apart(report: Report, places: Places, thought: str, answer: str) -> str:
    """Fail unless there is a thought and an answer, and neither is part of the other."""
    report.note("thought", thought, "italic dim")
    report.note("answer", answer)
    if not thought.strip():
        if places.thinking.can.reasoning is None:
            raise Missing(f"{places.thinking.model.id} doesn't seem to think before it answers.")
        raise StepFailed("No reasoning came.")
    answered(answer)
    if "think>" in answer or thought.strip() in answer:
        raise StepFailed("Reasoning is mixed into the answer.")
    return f"{len(thought.split())} words of thought, {len(answer.split())} of answer by {places.thinking.model.id}"
