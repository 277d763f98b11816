"""The table servers × features, made from the rows of `vessel_core.backends`.

`python docs/examples/feature_table.py` prints it; with `--write` it takes its place in README.md and docs/servers.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from vessel_core.backends import BACKENDS, Backend

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "docs/servers.md")
BEGIN, END = "<!-- servers × features -->", "<!-- end -->"
YES, NO = "✓", "–"
SHOWN = tuple(backend for backend in BACKENDS if backend.probed or backend is BACKENDS[-1])
"""The servers that are looked for, and what stands for all others."""

Cell = Callable[[Backend], str]


def has(feature: str) -> Cell:
    """Whether the server has an operation."""
    return lambda backend: YES if feature in backend.features else NO


def takes(option: str) -> Cell:
    """Whether the server takes an option with a request."""
    return lambda backend: NO if option in backend.quirks.refused else YES


def always(_: Backend) -> str:
    """Every server does it, or Vessel does it for a server that doesn't."""
    return YES


def images(backend: Backend) -> str:
    """The picture formats the server decodes."""
    return " ".join(sorted(kind.removeprefix("image/") for kind in backend.quirks.image_types))


def addresses(backend: Backend) -> str:
    """Where it is looked for."""
    ports = [f":{url.rpartition(':')[2]}" for url in backend.urls]
    return f"`{backend.env}`, {' '.join(ports)}" if backend.env else "`base_url=`"


ROWS: dict[str, Cell] = {
    "found by, or at localhost": addresses,
    "chat, streamed, with usage": always,
    "tool calls, streamed; one tool forced": always,
    "answers to a JSON schema": always,
    "reasoning apart from the answer": always,
    "pictures": images,
    "embeddings": always,
    "reranking": has("rerank"),
    "text completion": has("complete"),
    "exact token counts": has("count_chat"),
    "context length per request": takes("num_ctx"),
    "load and unload models": has("load"),
    "download models": has("pull"),
}


def table() -> str:
    """Return the table as Markdown."""
    head = ["", *(backend.title for backend in SHOWN)]
    rows = [[name, *(cell(backend) for backend in SHOWN)] for name, cell in ROWS.items()]
    lines = [head, ["---", *("---" for _ in SHOWN)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def with_table(page: str) -> str:
    """Return a page with the table as it is now between its marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}\n{table()}\n{end}{after}"


def main() -> None:
    """Print the table, or write it into the pages."""
    if "--write" not in sys.argv:
        sys.stdout.write(table() + "\n")
        return
    for page in PAGES:
        page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
