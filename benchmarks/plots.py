"""The pictures of the docs, PNG and SVG, from the results of a full run: `python -m benchmarks.plots`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.processes import ROOT

FOLDER = ROOT / "docs/benchmarks"
OURS, THEIRS = "#2a6f97", "#b9b9b9"
WIDTH = 5
"""Inches: one chart below the other, so that a telephone shows its words as large as they are."""

FLOORS = ("langchain-core", "lists of floats", "httpx + orjson", "httpx's transport + orjson")
"""What no client can go below: neither ours nor a peer's."""

Lines = Sequence[Mapping[str, Any]]


def bars(
    axes: Axes, names: Sequence[str], values: Sequence[float], ours: Sequence[bool], title: str, unit: str
) -> None:
    """Draw one horizontal bar a client, the figure beside it."""
    axes.barh(names, values, color=[OURS if mine else THEIRS for mine in ours], height=0.65)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(unit, fontsize=9)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    for place, value in enumerate(values):
        axes.text(value, place, f" {value:,.0f}" if value >= 10 else f" {value:.2g}", va="center", fontsize=9)
    axes.margins(x=0.15)


def _values(lines: Lines, figure: str, what: str) -> dict[str, tuple[float, bool]]:
    """Return each client's figure, and whether it is ours; the first of equal names counts."""
    found: dict[str, tuple[float, bool]] = {}
    for line in lines:
        if line["figure"] == figure and line["what"] == what:
            found.setdefault(line["client"], (line["ours"], line["client"] not in FLOORS))
            if line["peer"]:
                found.setdefault(line["peer"], (line["theirs"], False))
    return found


def _draw(axes: Axes, found: Mapping[str, tuple[float, bool]], title: str, unit: str) -> None:
    bars(axes, list(found), [value for value, _ in found.values()], [mine for _, mine in found.values()], title, unit)


def tokens(lines: Lines) -> Figure:
    """Draw P1: what a streamed token costs."""
    figure, axes = plt.subplots(2, 1, figsize=(WIDTH, 8))
    for place, do in enumerate(("stream", "astream")):
        what = f"µs a token, {do}"
        found: dict[str, tuple[float, bool]] = {}
        for row in ("P1", "P1b", "P1d"):
            found |= _values(lines, row, what)
        _draw(axes[place], found, f"CPU a streamed token, {do}", "µs")
    figure.tight_layout()
    return figure


def vectors(lines: Lines) -> Figure:
    """Draw P4: 2,048 vectors of 1,024 numbers."""
    figure, axes = plt.subplots(2, 1, figsize=(WIDTH, 4.6))
    for place, (of, unit) in enumerate((("cpu", "s"), ("memory", "MB"))):
        found = {**_values(lines, "P4", of), **_values(lines, "P4", f"{of}, arrays")}
        _draw(axes[place], found, f"2,048 × 1,024 embeddings: {of}", unit)
    figure.tight_layout()
    return figure


def crowd(lines: Lines) -> Figure:
    """Draw P5: many streams at once."""
    figure, axes = plt.subplots(2, 1, figsize=(WIDTH, 4.2))
    for place, (what, unit) in enumerate((("µs a token", "µs"), ("peak memory", "MB"))):
        _draw(axes[place], _values(lines, "P5", what), f"Streams at once: {what}", unit)
    figure.tight_layout()
    return figure


PICTURES = {"tokens": tokens, "embeddings": vectors, "concurrency": crowd}


def draw(lines: Lines, folder: Path = FOLDER) -> None:
    """Write all pictures."""
    mpl.rcParams["svg.hashsalt"] = "vessel"
    for name, picture in PICTURES.items():
        made = picture(lines)
        made.savefig(folder / f"{name}.png", dpi=110, metadata={"Software": None})
        made.savefig(folder / f"{name}.svg", metadata={"Date": None})
        plt.close(made)


if __name__ == "__main__":
    draw(json.loads((FOLDER / "results.json").read_text())["table"])
