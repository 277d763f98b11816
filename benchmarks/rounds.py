"""Takes the figures: rounds in which every measure has its turn, so that a busy minute touches all of them."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from benchmarks import apart
from benchmarks.figures import Measure, Row
from benchmarks.processes import Process, start_stub, start_worker

Values = dict[Measure, list[float]]


class Bench:
    """The server and the workers of a run."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        stub, self.url = start_stub()
        self._stack.enter_context(stub)
        self._workers: dict[str, Process] = {}

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def worker(self, client: str) -> Process:
        """Return the worker of a client, started if it isn't."""
        if client not in self._workers:
            self._workers[client] = self._stack.enter_context(start_worker(client, self.url))
        return self._workers[client]

    def figures(self, client: str, do: str, arguments: dict[str, object], fresh: bool) -> dict[str, float | str]:
        """Let a client do something once."""
        if not client:
            return {"cpu": getattr(apart, do)(**arguments)}
        if not fresh:
            return self.worker(client).ask(do, **arguments)
        with start_worker(client, self.url) as worker:
            return worker.ask(do, **arguments)

    def take(self, rows: Sequence[Row], rounds: int) -> Values:
        """Return the values of every measure in these rows, one a round."""
        measures = list(dict.fromkeys(measure for row in rows for measure in (row.ours, row.peer) if measure))
        values: Values = {measure: [] for measure in measures}
        for number in range(rounds):
            print(f"  round {number + 1} of {rounds}", end="\r", file=sys.stderr, flush=True)
            for group in _same_work(measures):
                first = group[0]
                figures = self.figures(first.client, first.do, dict(first.arguments), first.fresh)
                if "error" in figures:
                    raise RuntimeError(f"{first.client}, {first.do} {dict(first.arguments)}: {figures['error']}")
                for measure in group:
                    values[measure].append(float(figures[measure.of]) / measure.per)
        return values


def _same_work(measures: Iterable[Measure]) -> list[list[Measure]]:
    """Put together the measures that one piece of work gives."""
    groups: dict[object, list[Measure]] = {}
    for measure in measures:
        groups.setdefault((measure.client, measure.do, measure.arguments), []).append(measure)
    return list(groups.values())


def median(values: Sequence[float]) -> float:
    """Return the middle of a measure's rounds."""
    return statistics.median(values)
