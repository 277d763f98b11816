"""How far a bulk run is, shown by rich or tqdm if one of them is installed, else by a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

EVERY = 0.2
LINE_EVERY = 10.0


@dataclass(frozen=True, slots=True)
class BulkProgress:
    """How far a run is: rows `done` of a `total` (`None` if unknown), `skipped` ones and `errors` among them; the `rate` in
    rows a second, and the seconds `left`."""

    done: int
    total: int | None
    skipped: int
    errors: int
    rate: float
    left: float | None

    def __str__(self) -> str:
        total = "" if self.total is None else f" of {self.total:,}"
        left = "" if self.left is None else f", {self.left:.0f} s left"
        errors = f", {self.errors:,} errors" if self.errors else ""
        return f"{self.done:,}{total} rows, {self.rate:.1f}/s{left}{errors}"


Told = Callable[[BulkProgress], None]
Show = Callable[[int, int, int], None]


@contextmanager
def shown_by(progress: bool | Told, total: int | None, what: str) -> Generator[Show]:
    """Return what is told how many rows are done, skipped and errors; `progress` hears of it a few times a second."""
    if progress is False:
        yield lambda done, skipped, errors: None
    elif progress is True:
        with _display(total, what) as tell:
            yield from _watched(tell, total)
    else:
        yield from _watched(progress, total)


def _watched(tell: Told, total: int | None) -> Generator[Show]:
    since = time.monotonic()
    last = [0.0, 0, 0, 0]

    def report(done: int, skipped: int, errors: int) -> None:
        rate = (done - skipped) / max(time.monotonic() - since, 1e-9)
        left = None if total is None or not rate else max(total - done, 0) / rate
        tell(BulkProgress(done, total, skipped, errors, rate, left))

    def show(done: int, skipped: int, errors: int) -> None:
        now = time.monotonic()
        last[1:] = [done, skipped, errors]
        if now - last[0] >= EVERY:
            last[0] = now
            report(done, skipped, errors)

    yield show
    report(*map(int, last[1:]))


@contextmanager
def _display(total: int | None, what: str) -> Generator[Told]:
    try:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        with _tqdm(total, what) as tell:
            yield tell
        return
    from rich.console import Console

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        task = bars.add_task(what, total=total, rate="")

        def tell(progress: BulkProgress, /) -> None:
            errors = f", {progress.errors:,} errors" if progress.errors else ""
            bars.update(task, completed=progress.done, rate=f"{progress.rate:.1f}/s{errors}")

        yield tell


@contextmanager
def _tqdm(total: int | None, what: str) -> Generator[Told]:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        yield _lines()
        return
    with tqdm(total=total, unit="rows") as bar:

        def tell(progress: BulkProgress, /) -> None:
            bar.update(progress.done - bar.n)
            bar.set_description(f"{what}, {progress.errors} errors" if progress.errors else what)

        yield tell


def _lines() -> Told:
    last = [time.monotonic()]

    def tell(progress: BulkProgress, /) -> None:
        if time.monotonic() - last[0] >= LINE_EVERY:
            last[0] = time.monotonic()
            sys.stderr.write(f"{progress}\n")

    return tell
