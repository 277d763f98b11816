"""What is generated on the pages of the docs: each part stands between two marks, and is written anew between them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Part", "markdown_table", "run"]

ROOT = Path(__file__).resolve().parents[2]


def markdown_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    names = list(head)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (names, ["---"] * len(names), *rows))


@dataclass(frozen=True, slots=True)
class Part:
    """A part of one page or several, between `<!-- name -->` and `<!-- end of name -->`."""

    name: str
    make: Callable[[], str]
    pages: tuple[Path, ...]

    def within(self, page: str, made: str | None = None) -> str:
        """Return a page's text with this part as it is now, or as it was `made`. Raises ValueError if a mark is missing."""
        begin, end = f"<!-- {self.name} -->", f"<!-- end of {self.name} -->"
        before, found, rest = page.partition(begin)
        _, ended, after = rest.partition(end)
        if not (found and ended):
            raise ValueError(f"The page has no {begin} with an {end} after it.")
        return f"{before}{begin}\n\n{self.make() if made is None else made}\n\n{end}{after}"

    def write(self) -> None:
        """Make it, and put it into its pages."""
        made = self.make()
        for page in self.pages:
            page.write_text(self.within(page.read_text(encoding="utf-8"), made), encoding="utf-8")


def run(*parts: Part) -> None:
    """Print the parts, or with `--write` on the command line put them into their pages."""
    for part in parts:
        if "--write" in sys.argv:
            part.write()
        else:
            sys.stdout.write(part.make() + "\n")
