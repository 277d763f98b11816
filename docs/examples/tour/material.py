"""What both frameworks are asked: the questions, the tool, the picture, the form, the passages to search."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field

__all__ = [
    "COLOURS", "FACT", "FACT_QUESTION", "GREETING", "PICTURE_QUESTION", "PUZZLE", "TRIP_REQUEST", "WEATHER_QUESTION",
    "Passage", "Trip", "Weather", "in_base64", "passages", "square",
]  # fmt: skip

DOCS = Path(__file__).resolve().parents[2]
LONGEST = 800

GREETING = "Say hello in one sentence."
FACT_QUESTION = "Which environment variable tells where the Ollama server is?"
#: What a passage must hold to answer that.
FACT = "OLLAMA_URL"
WEATHER_QUESTION = "What is the weather in Lisbon? Use the tool."
PICTURE_QUESTION = "Which colour is this square? Answer in one word."
TRIP_REQUEST = "We spend three days in Lisbon. Write this trip as JSON."
PUZZLE = "A farmer has 17 sheep and all but 9 run away. How many are left?"
COLOURS = {"red": (220, 20, 20), "green": (20, 180, 20), "blue": (20, 20, 220)}


class Trip(BaseModel):
    """A trip to a city."""

    city: str = Field(description="The city that is visited")
    days: int = Field(description="How many days the trip takes")


class Weather:
    """A tool that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def get_weather(self, city: str) -> str:
        """Tell the weather in a city right now."""
        self.asked.append(city)
        return f"It is sunny in {city}, 21 degrees."


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a page of these docs."""

    source: str
    text: str


def passages(folder: Path = DOCS) -> list[Passage]:
    """Cut every page of the docs at its headings, and what is still long at its paragraphs."""
    found: list[Passage] = []
    for page in sorted(folder.glob("*.md")):
        for section in re.split(r"(?m)^(?=##? [A-Z])", page.read_text(encoding="utf-8")):
            found += [Passage(f"docs/{page.name}", text) for text in _pieces(section)]
    return found


def _pieces(section: str) -> list[str]:
    """Return pieces of at most `LONGEST` characters that end at a paragraph or a code block, else at a line."""
    pieces: list[str] = []
    for part in re.findall(r"(?s)```.*?```|(?:(?!\n\n|```).)+", section):
        if part.startswith("```") and len(part) > LONGEST:
            continue  # a block of code stays whole, or stays away
        lines = [part.strip()] if len(part) <= LONGEST else part.splitlines()
        for line in filter(None, lines):
            if pieces and len(pieces[-1]) + len(line) < LONGEST:
                pieces[-1] += f"\n{line}"
            else:
                pieces.append(line[:LONGEST])
    return pieces


def square(colour: str, side: int = 64) -> bytes:
    """Draw a square of one of the `COLOURS`, a PNG file."""
    row = b"\0" + bytes(COLOURS[colour]) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(row * side)) + _chunk(b"IEND")


def in_base64(data: bytes) -> str:
    """Return bytes as base64 text."""
    return base64.b64encode(data).decode()


def _chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
