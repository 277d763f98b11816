"""The table options × servers, made from `vessel_core.options` and the rows of `vessel_core.backends`.

`python docs/examples/option_table.py` prints it; with `--write` it takes its place in docs/servers.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

from vessel_core.backends import BACKENDS, COMPATIBLE, Backend, find_backend
from vessel_core.options import ChatOptions

PAGE = Path(__file__).resolve().parents[2] / "docs/servers.md"
BEGIN, END = "<!-- options × servers -->", "<!-- end -->"
SHOWN = (*BACKENDS[:3], find_backend("vllm"), COMPATIBLE)
OWN_WAYS = {
    "reasoning": {"template": "`chat_template_kwargs`", "effort": "`reasoning_effort`", "think": "`think`"},
    "strict": {"always": "it refuses by itself", "ollama": "`truncate`"},
}


def cell(backend: Backend, option: str) -> str:
    """Return what a server calls an option, `–` if it is refused, `?` if it is sent and the server answers."""
    own = backend.name == "ollama"
    if option == "reasoning":
        return OWN_WAYS["reasoning"]["think" if own else backend.quirks.thinking]
    if option == "strict":
        return OWN_WAYS["strict"]["ollama" if own else "always"]
    if option in backend.quirks.refused:
        return "–"
    return f"`{backend.quirks.takes[option]}`" if option in backend.quirks.takes else "?"


def table() -> str:
    """Return the table as Markdown, one row an option."""
    rows = [[f"`{name}`", *(cell(backend, name) for backend in SHOWN)] for name in ChatOptions.__annotations__]
    lines = [["option", *(backend.title for backend in SHOWN)], ["---"] * (len(SHOWN) + 1), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def with_table(page: str) -> str:
    """Return the page with the table as it is now between its marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}\n{table()}\n{end}{after}"


def main() -> None:
    """Print the table, or write it into the page."""
    if "--write" not in sys.argv:
        sys.stdout.write(table() + "\n")
        return
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
