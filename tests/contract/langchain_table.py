"""The table in docs/langchain-compared.md: each row a probe, run on scripted servers for Vessel and for its peers.

    python -m tests.contract.langchain_table            # print it; all peers must be installed
    python -m tests.contract.langchain_table --write    # put it onto the page

`make compare` does the latter in the environment of the benchmarks. The tests hold Vessel's column to what is measured then.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec

from docs.examples.generated import ROOT, Part, markdown_table, run
from tests.contract.answers import ANSWERS
from tests.contract.asking import ASKING
from tests.contract.choosing import OPTIONS
from tests.contract.measuring import Row, measure
from tests.contract.serving import SERVING
from tests.contract.stand import PACKAGES, PEERS, VESSEL, Candidate

PAGE = ROOT / "docs/langchain-compared.md"
ROWS: list[Row] = [*ANSWERS, *ASKING, *OPTIONS, *SERVING]


def installed() -> list[Candidate]:
    """Return Vessel, and the peers that are there."""
    there = [peer for peer in PEERS if find_spec(PACKAGES[peer.title].replace("-", "_")) is not None]
    return [VESSEL, *there]


def table(candidates: list[Candidate]) -> str:
    """Measure all rows and return them as Markdown."""
    rows: list[list[str]] = []
    group = ""
    for row in ROWS:
        if row.group != group:
            group = row.group
            rows.append([f"**{group}**", *("" for _ in candidates)])
        rows.append([row.title, *(measure(row, candidate) for candidate in candidates)])
    return markdown_table(["", *(f"`{candidate.title}`" for candidate in candidates)], rows)


def measured() -> str:
    """Measure everybody, and return the table and the versions. Raises SystemExit if a peer is not installed."""
    candidates = installed()
    if len(candidates) < 1 + len(PEERS):
        raise SystemExit("Not all peers are installed. Run `make compare`.")
    versions = ", ".join(f"{PACKAGES[peer.title]} {version(PACKAGES[peer.title])}" for peer in PEERS)
    return f"Measured with {versions}.\n\n{table(candidates)}"


if __name__ == "__main__":
    run(Part("compared", measured, (PAGE,)))
