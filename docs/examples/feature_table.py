"""The table servers × features, made from the rows of `vessel_core.backends`.

`python -m docs.examples.feature_table` prints it; with `--write` it takes its place in README.md and docs/servers.md.
"""

from __future__ import annotations

from collections.abc import Callable

from vessel_core.backends import BACKENDS, Backend

from docs.examples.generated import ROOT, Part, markdown_table, run

YES, NO, UNKNOWN = "✓", "–", "?"
RANKS = frozenset({"llamacpp", "vllm", "sglang", "localai"})
"""Servers whose own source has `/v1/rerank`; others are asked, and answer."""

Cell = Callable[[Backend], str]


def has(feature: str) -> Cell:
    """Whether the server has an operation."""
    return lambda backend: YES if feature in backend.features else NO


def ranks(backend: Backend) -> str:
    """Whether the server ranks documents."""
    return NO if "rerank" not in backend.features else YES if backend.name in RANKS else UNKNOWN


def takes(option: str) -> Cell:
    """Whether the server takes an option with a request."""
    return lambda backend: NO if option in backend.quirks.refused else YES


def address(backend: Backend) -> str:
    """Where it is looked for: by itself, or once it is named."""
    ports = " ".join(f":{url.rpartition(':')[2]}" for url in backend.urls)
    return f"`{backend.env}`, {ports if backend.probed else f'({ports})'}" if backend.env else "`base_url=`"


COLUMNS: dict[str, Cell] = {
    "server": lambda backend: backend.title,
    "`backend=`": lambda backend: f"`{backend.name}`",
    "looked for at": address,
    "text completion": has("complete"),
    "reranking": ranks,
    "exact token counts": has("count_chat"),
    "`num_ctx` per request": takes("num_ctx"),
    "load, unload": has("load"),
    "download": has("pull"),
}


def table() -> str:
    """Return the table as Markdown."""
    return markdown_table(COLUMNS, ([cell(backend) for cell in COLUMNS.values()] for backend in BACKENDS))


PART = Part("servers × features", table, (ROOT / "README.md", ROOT / "docs/servers.md"))

if __name__ == "__main__":
    run(PART)
