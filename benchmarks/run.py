"""`python -m benchmarks.run [--quick] [--write] [FIGURE …]`: measure, and print the table.

`--write` writes results, table and plots into docs/benchmarks/ as well; a run of everything does so by itself. Of what was not
measured, what is there stays.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from benchmarks import figures, report
from benchmarks.figures import Row
from benchmarks.processes import ROOT
from benchmarks.rounds import Bench, Values
from benchmarks.wire import words

FOLDER = ROOT / "docs/benchmarks"
PAGE = ROOT / "docs/benchmarks.md"
BEGIN, END = "<!-- the table, written by `make bench` -->\n", "<!-- the end of the table -->\n"
CHECKED = "text-2000"


def groups(quick: bool, rounds: int) -> list[tuple[list[Row], int]]:
    """Return rows that take turns, with the number of their rounds: fewer for what takes long."""
    few = max(1, rounds // 3)
    return [
        (figures.per_token() + figures.sharp(), rounds),
        (figures.paced(), few),
        (figures.per_call(), rounds),
        (figures.embeddings(), few),
        (figures.concurrent(200 if quick else 2000), few),
        (figures.growth(16000 if quick else 64000), few + 2),
        (figures.adding(), few),
        (figures.start(), rounds),
    ]


def check(bench: Bench, rows: list[Row]) -> None:
    """Make sure that every client gives the whole answer, before any is measured."""
    for client in dict.fromkeys(measure.client for row in rows for measure in (row.ours, row.peer) if measure):
        figures = bench.worker(client).ask("check", model=CHECKED, text="".join(words(2000)))
        if "error" in figures:
            raise RuntimeError(f"{client}: {figures['error']}")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, small sizes")
    parser.add_argument("--rounds", type=int, help="how often each is measured (9, or 3 if quick)")
    parser.add_argument("--write", action="store_true", help="write into docs/ all the same")
    parser.add_argument("figures", nargs="*", help="such as P1 P7; all if left out")
    asked = parser.parse_args()
    values: Values = {}
    for rows, rounds in groups(asked.quick, asked.rounds or (3 if asked.quick else 9)):
        chosen = [row for row in rows if not asked.figures or row.figure in asked.figures]
        if not chosen:
            continue
        with Bench() as bench:
            if chosen[0].ours.do in ("stream", "astream"):
                check(bench, chosen)
            values |= bench.take(chosen, rounds)
        print(report.as_text([report.result(row, values) for row in chosen]), flush=True)
    if (asked.quick or asked.figures) and not asked.write:
        return
    results = FOLDER / "results.json"
    if asked.figures:
        values = report.from_json(results.read_text()) | values
    lines = [
        report.result(row, values)
        for rows, _ in groups(asked.quick, 1)
        for row in rows
        if row.ours in values and (row.peer is None or row.peer in values)
    ]
    FOLDER.mkdir(exist_ok=True)
    results.write_text(report.as_json(lines, values))
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + report.as_markdown(lines) + END + rest.partition(END)[2])
    from benchmarks.plots import draw

    draw([asdict(line) for line in lines])
    print(f"Written to {FOLDER.relative_to(ROOT)}/.", file=sys.stderr)


if __name__ == "__main__":
    main()
