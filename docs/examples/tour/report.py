"""Tells what happens: in colour on a terminal, as plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text
from vessel_core.errors import Unsupported

__all__ = ["Missing", "Outcome", "Report", "Step", "StepFailed"]

State = Literal["ok", "missing", "FAILED"]
STYLES: dict[State, str] = {"ok": "green", "missing": "yellow", "FAILED": "bold red"}
MARKS: dict[State, str] = {"ok": "✓", "missing": "–", "FAILED": "✗"}
LABEL = 11
BREAK, MARGIN = "\n", "\n      "


class StepFailed(Exception):
    """A step did not do what it says."""


class Missing(Exception):
    """The server is known not to have what a step needs."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something to show: `run` does it, checks it, and returns what to say about it in a line."""

    title: str
    run: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step went, and how long it took in seconds."""

    framework: str
    title: str
    state: State
    seconds: float


class Report:
    """What the reader sees. Text of a model is shown without whatever could drive a terminal."""

    def __init__(self, console: Console | None = None, *, strict: bool = False) -> None:
        self.console = console or Console(highlight=False)
        self.outcomes: list[Outcome] = []
        #: Whether a step that can't be done is a failure: it is for the embedded server, which can do them all.
        self.strict = strict

    def heading(self, text: str) -> None:
        """Begin a part."""
        self.console.print()
        self.console.print(Rule(Text(text, style="bold"), align="left", characters=self._either("─", "-")))

    def line(self, text: str, style: str = "") -> None:
        """Say a line."""
        self.console.print(Text(_harmless(text), style=style), soft_wrap=not self.console.is_terminal)

    def note(self, label: str, text: str, style: str = "") -> None:
        """Say something about the step that is running."""
        table = Table.grid(padding=(0, 1))
        table.add_column(width=LABEL + 4)
        table.add_column(overflow="fold")
        table.add_row(Text(f"    {label}", style="dim"), Text(_harmless(text), style=style))
        if self.console.is_terminal:
            self.console.print(table)
        else:
            self.line(f"    {label:<{LABEL}} {text}")

    def pieces(self, label: str, pieces: Iterable[str]) -> str:
        """Say the pieces of an answer as they come; return them joined."""
        said: list[str] = []
        self.console.print(Text(f"    {label:<{LABEL}} ", style="dim"), end="")
        try:
            for piece in pieces:
                said.append(piece)
                self.console.print(Text(_harmless(piece)), end="", soft_wrap=True)
        finally:
            self.console.print()
        return "".join(said)

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """Show on a terminal that something takes a moment."""
        return self.console.status(Text(text))

    def play(self, framework: str, steps: Sequence[Step]) -> None:
        """Run the steps of a framework, one after the other; a step that fails does not stop the next."""
        self.heading(framework)
        for step in steps:
            self.line(f"  {step.title}", "bold")
            started = time.perf_counter()
            state, said = self._outcome(step)
            outcome = Outcome(framework, step.title, state, time.perf_counter() - started)
            self.outcomes.append(outcome)
            self.line(
                f"    {self._mark(state)} {outcome.seconds:.2f} s  {said.strip().replace(BREAK, MARGIN)}", STYLES[state]
            )

    def _outcome(self, step: Step) -> tuple[State, str]:
        try:
            return "ok", step.run()
        except (Missing, Unsupported) as error:
            return ("FAILED" if self.strict else "missing"), str(error)
        except StepFailed as error:
            return "FAILED", str(error)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is what came of this step
            return "FAILED", f"{type(error).__name__}: {error}"

    def summary(self) -> bool:
        """Show all outcomes side by side; return whether no step failed."""
        frameworks = list(dict.fromkeys(outcome.framework for outcome in self.outcomes))
        self.heading("Summary")
        table = Table(box=None, padding=(0, 3, 0, 0), header_style="bold")
        for column in ("", *frameworks):
            table.add_column(column)
        for title in dict.fromkeys(outcome.title for outcome in self.outcomes):
            row = [outcome for outcome in self.outcomes if outcome.title == title]
            cells = [
                Text(
                    f"{self._mark(one.state)} {one.seconds:.2f} s" if one.framework == framework else "",
                    STYLES[one.state],
                )
                for framework in frameworks
                for one in row
                if one.framework == framework
            ]
            table.add_row(Text(title), *cells)
        self.console.print(table)
        failed = sum(outcome.state == "FAILED" for outcome in self.outcomes)
        missing = sum(outcome.state == "missing" for outcome in self.outcomes)
        self.console.print()
        if failed:
            self.line(f"{failed} of {len(self.outcomes)} steps failed.", STYLES["FAILED"])
        elif missing:
            self.line(
                f"Every step did what it says, but for {missing} that this server is not made for.", STYLES["missing"]
            )
        else:
            self.line("Every step did what it says.", STYLES["ok"])
        return not failed

    def _mark(self, state: State) -> str:
        return f"{self._either(MARKS[state], '*')} {state}"

    def _either(self, symbol: str, plain: str) -> str:
        return symbol if self.console.encoding.lower().startswith("utf") else plain


def _harmless(text: str) -> str:
    """Return a text without control characters: a model's answer must not drive the terminal."""
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text)
