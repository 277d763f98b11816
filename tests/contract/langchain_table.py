"""The table in docs/langchain-compared.md: each row a probe, run on scripted servers for Vessel and for its peers.

    python -m tests.contract.langchain_table            # print it
    python -m tests.contract.langchain_table --write    # put it onto the page; all peers must be installed

`make compare` does the latter in the environment of the benchmarks. The tests hold Vessel's column to what is measured then.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from tests.contract.answers import ANSWERS
from tests.contract.asking import ASKING
from tests.contract.measuring import Row, measure
from tests.contract.serving import SERVING
from tests.contract.stand import PACKAGES, PEERS, VESSEL, Candidate

PAGE = Path(__file__).resolve().parents[2] / "docs/langchain-compared.md"
BEGIN, END = "<!-- compared -->", "<!-- end -->"
ROWS: list[Row] = [*ANSWERS, *ASKING, *SERVING]


def installed() -> list[Candidate]:
    """Return Vessel, and the peers that are there."""
    there = [peer for peer in PEERS if find_spec(PACKAGES[peer.title].replace("-", "_")) is not None]
    return [VESSEL, *there]


def table(candidates: list[Candidate]) -> str:
    """Measure all rows and return them as Markdown."""
    head = ["", *(f"`{candidate.title}`" for candidate in candidates)]
    lines = [_line(head), _line(["---"] * len(head))]
    group = ""
    for row in ROWS:
        if row.group != group:
            group = row.group
            lines.append(_line([f"**{group}**", *("" for _ in candidates)]))
        lines.append(_line([row.title, *(measure(row, candidate) for candidate in candidates)]))
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def with_table(page: str, made: str) -> str:
    """Return the page with this table between its marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    measured = ", ".join(f"{PACKAGES[peer.title]} {version(PACKAGES[peer.title])}" for peer in PEERS)
    return f"{before}{begin}\n\nMeasured with {measured}.\n\n{made}\n\n{end}{after}"


def main() -> None:
    """Print the table, or write it into the page."""
    candidates = installed()
    made = table(candidates)
    if "--write" not in sys.argv:
        sys.stdout.write(made + "\n")
        return
    if len(candidates) < 1 + len(PEERS):
        raise SystemExit("Not all peers are installed. Run `make compare`.")
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), made), encoding="utf-8")


if __name__ == "__main__":
    main()
