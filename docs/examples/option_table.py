"""The table options × servers, made from `vessel_core.options` and the rows of `vessel_core.backends`.

`python -m docs.examples.option_table` prints it; with `--write` it takes its place in docs/servers.md.
"""

from __future__ import annotations

from vessel_core.backends import BACKENDS, COMPATIBLE, Backend, find_backend
from vessel_core.options import ChatOptions

from docs.examples.generated import ROOT, Part, markdown_table, run

SHOWN = (*BACKENDS[:3], find_backend("vllm"), COMPATIBLE)
OWN_WAYS = {
    "reasoning": {"template": "`chat_template_kwargs`", "effort": "`reasoning_effort`", "think": "`think`"},
    "strict": {
        "ollama": "`truncate`",
        "llamacpp": "it refuses by itself, but for what is around a gap",
    },
}


def cell(backend: Backend, option: str) -> str:
    """Return what a server calls an option, `–` if it is refused, `?` if it is sent and the server answers."""
    own = backend.name == "ollama"
    if option == "reasoning":
        return OWN_WAYS["reasoning"]["think" if own else backend.quirks.thinking]
    if option == "strict":
        return OWN_WAYS["strict"].get(backend.name, "it refuses by itself")
    if option in backend.quirks.refused:
        return "–"
    return f"`{backend.quirks.takes[option]}`" if option in backend.quirks.takes else "?"


def table() -> str:
    """Return the table as Markdown, one row an option."""
    rows = [[f"`{name}`", *(cell(backend, name) for backend in SHOWN)] for name in ChatOptions.__annotations__]
    return markdown_table(["option", *(backend.title for backend in SHOWN)], rows)


PART = Part("options × servers", table, (ROOT / "docs/servers.md",))

if __name__ == "__main__":
    run(PART)
