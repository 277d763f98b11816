"""The results of a run: the table as text and as Markdown, and JSON that keeps every round."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version

from benchmarks.figures import Measure, Row

PACKAGES = (
    "httpx",
    "pydantic",
    "langchain-core",
    "langchain-openai",
    "langchain-ollama",
    "openai",
    "llama-index-core",
    "llama-index-llms-openai-like",
    "llama-index-llms-ollama",
)


@dataclass(frozen=True, slots=True)
class Result:
    """A line of the table, measured; `ratio` is ours over the peer's."""

    figure: str
    what: str
    client: str
    peer: str
    ours: float
    theirs: float | None
    ratio: float | None
    aim: float
    met: bool
    unit: str


def result(row: Row, values: Mapping[Measure, Sequence[float]]) -> Result:
    """Return a line from the rounds of its measures."""
    ours = statistics.median(values[row.ours])
    theirs = statistics.median(values[row.peer]) if row.peer else None
    ratio = ours / theirs if theirs else None
    shown = ours if ratio is None else ratio
    met = shown >= row.aim if row.least else shown <= row.aim
    peer = row.peer.client if row.peer and row.peer.client != row.ours.client else ""
    return Result(row.figure, row.what, row.ours.client, peer, ours, theirs, ratio, row.aim, met, row.unit)


def _cells(line: Result) -> list[str]:
    ratio = "" if line.ratio is None else f"{line.ratio:.3f}"
    bound = f"{line.aim:,.0f}" if line.aim >= 100 else f"{line.aim:.3g}"
    aim = f"{'≥' if line.what.startswith('answers') else '≤'} {bound}"
    peer = "" if line.theirs is None else f"{_number(line.theirs)} {line.peer}".strip()
    return [
        line.figure,
        line.what,
        line.client,
        f"{_number(line.ours)} {line.unit}",
        peer,
        ratio,
        aim,
        "yes" if line.met else "NO",
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


HEAD = ["figure", "what", "ours", "measured", "peer", "ratio", "aim", "met"]


def as_text(lines: Sequence[Result]) -> str:
    """Return the table for a terminal."""
    rows = [HEAD, *(_cells(line) for line in lines)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def as_markdown(lines: Sequence[Result]) -> str:
    """Return the table for the docs."""
    rows = [HEAD, ["---"] * len(HEAD), *(_cells(line) for line in lines)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def machine() -> dict[str, str]:
    """Return what the figures were measured on."""
    load = f"{os.getloadavg()[0]:.1f}"
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {load}",
        **{name: version(name) for name in PACKAGES},
    }


def as_json(lines: Sequence[Result], values: Mapping[Measure, Sequence[float]]) -> str:
    """Return everything that was measured."""
    rounds = [{**asdict(measure), "rounds": [round(value, 4) for value in each]} for measure, each in values.items()]
    document = {
        "machine": machine(),
        "arguments": sys.argv[1:],
        "table": [asdict(line) for line in lines],
        "measures": rounds,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def from_json(text: str) -> dict[Measure, list[float]]:
    """Return the rounds of each measure from what `as_json` wrote."""
    values: dict[Measure, list[float]] = {}
    for fields in json.loads(text)["measures"]:
        rounds = fields.pop("rounds")
        fields["arguments"] = tuple(tuple(argument) for argument in fields["arguments"])
        values[Measure(**fields)] = rounds
    return values
