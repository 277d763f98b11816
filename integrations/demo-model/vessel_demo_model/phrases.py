"""The sentences of the demo chat model.

The model says nothing else: its weights hold which word may follow which, read from these lines. Words shared by two
lines are crossings where it may change over, so keep every word at one depth: a word that came back later would make
a loop.
"""

from __future__ import annotations

__all__ = ["AFTER_TOOL", "ANSWERS", "COLOURS", "PICTURE", "THOUGHTS", "VALUES"]

#: Plain answers. Each may open an answer or follow another.
ANSWERS = (
    "Hello from a small demo model.",
    "Greetings from one tiny demo server.",
    "Vessel connects your program with local servers.",
    "Nothing leaves this machine while we talk.",
    "Short replies keep every test quick.",
    "Words come singly and follow their neighbours.",
    "Real knowledge needs bigger weights.",
    "Names would only be guesses.",
    "My sentences were written beforehand.",
)

#: What it answers once a tool has replied.
AFTER_TOOL = (
    "Here is the result that was asked for.",
    "Done because it replied as expected.",
)

#: What it answers about a picture; the colour takes the place of the braces.
PICTURE = "The picture looks {}."

#: Colour names and the corner of the (red, green, blue) cube each stands at, channels from -1 to 1.
COLOURS = {
    "red": (1, -1, -1),
    "green": (-1, 1, -1),
    "blue": (-1, -1, 1),
    "yellow": (1, 1, -1),
    "purple": (1, -1, 1),
    "white": (1, 1, 1),
    "black": (-1, -1, -1),
}

#: What it thinks before an answer, in the thinking variants.
THOUGHTS = (
    "Let me consider what people want to know here.",
    "First understand each request then answer briefly.",
)

#: What it writes where JSON leaves a text open: the ones that the conversation names, else any. There are 16, as many as
#: the model has places to tell them apart.
VALUES = (
    "Berlin",
    "Boston",
    "Cairo",
    "Delhi",
    "Dublin",
    "Lima",
    "Lisbon",
    "London",
    "Madrid",
    "Oslo",
    "Paris",
    "Prague",
    "Rome",
    "Sydney",
    "Tokyo",
    "Vienna",
)
