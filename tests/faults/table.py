"""The fault matrix as a table: what goes wrong, what comes of it, and how many of its cells were as expected when last run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.faults.catalogue import CATALOGUE

IN_WORDS: Mapping[int, tuple[str, str]] = {
    1: ("nothing listens", "`ServerUnreachable` in half a second, with the command that starts the server"),
    2: ("nothing listens, and after a second something does", "the answer"),
    3: ("no such host", "`ServerUnreachable`, asked for once"),
    4: ("nobody takes the connection", "`ConnectTimeout` after 3 s"),
    5: ("a name with two addresses, one of them right", "the answer, at once"),
    8: ("a kept connection that went stale", "the answer; the retry is not counted"),
    12: (
        "a certificate nobody signed, of another name, expired; https on a plain port",
        "`ServerUnreachable` that says which, or http://",
    ),
    56: ("arguments of tools: split, cut off, deep, no index, no id", "calls that can run, and invalid ones; no error"),
    58: ("stopping: close, break, drop, failing, cancelling, a timeout, Ctrl-C", "the server hears of it at once"),
    59: ("1,000 calls for ten places, stopped at any moment", "all ten places are free"),
    60: ("100 loops, 8 loops at once, nest_asyncio, LlamaIndex's loops, a notebook's cells", "the answer, each time"),
    61: ("pickle, copy, deepcopy after use", "the answer, of both"),
    62: ("a proxy in the environment", "the answer; the proxy hears nothing"),
    63: ("embeddings: order, count, dimension, null, NaN, base64", "the vectors of their texts, or `ProtocolError`"),
    64: ("100 calls for ten connections; no more files", "all answers, or `ServerUnreachable` that names `ulimit`"),
}
"""The faults that take more than one call to show: what they are, what comes of them."""

FACES = ("core", "langchain", "llama_index")


def fault(number: int) -> tuple[str, str]:
    """Return what goes wrong, and what comes of it."""
    if number in IN_WORDS:
        return IN_WORDS[number]
    rows = [each for each in CATALOGUE if each.number == number]
    outcomes = dict.fromkeys(
        "the answer" if isinstance(row.expected, str) else f"`{row.expected.__name__}`" for row in rows
    )
    most = max(row.posts[1] for row in rows)
    return "; ".join(row.name for row in rows), f"{' or '.join(outcomes)}; {most} request{'s' * (most > 1)}"


def table(cells: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table; `cells` holds, by number and way of asking, how many tests there were and how many passed."""
    lines = [
        "| | what goes wrong | what comes of it | core | LangChain | LlamaIndex |\n",
        "|---|---|---|---|---|---|\n",
    ]
    for number in range(1, 65):
        marks = [_mark(cells[str(number)], face) for face in FACES]
        lines.append(f"| {number} | {' | '.join([*fault(number), *marks])} |\n")
    return "".join(lines)


def _mark(cell: Mapping[str, Any], face: str) -> str:
    """Return two marks, of the sync and the async way."""
    ways = [cell[f"{face} {way}"] for way in ("sync", "async")]
    return " ".join("✓" if passed == total > 0 else f"{passed}/{total}" for passed, total in ways)
