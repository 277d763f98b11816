"""The tables of what LlamaIndex's classes take, made from their fields.

`python -m docs.examples.field_table` prints them; with `--write` they take their place in docs/api/llamaindex.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from llama_index.embeddings.vessel import VesselEmbedding
from llama_index.llms.vessel import Vessel
from llama_index.llms.vessel.connection import ServerConnection
from llama_index.postprocessor.vessel import VesselRerank
from pydantic import BaseModel
from vessel_core.options import OPTION_NAMES

from docs.examples.generated import ROOT, Part, markdown_table, run

OPTION = "an [option](core.md#options)"


def rows(made: type[BaseModel], *, shared: bool) -> Iterator[list[str]]:
    """Yield a row for each field that our classes define: those of every class (`shared`), or the others."""
    types: dict[str, str] = {}
    for base in reversed(made.__mro__):
        if base.__module__.startswith("llama_index.") and ".vessel" in base.__module__:
            types |= {name: str(kind) for name, kind in vars(base).get("__annotations__", {}).items()}
    for name, field in made.model_fields.items():
        if name not in types or (name in ServerConnection.model_fields) is not shared:
            continue
        default = (
            "" if field.is_required() or field.default_factory or field.default is None else f"`{field.default!r}`"
        )
        said = field.description or (OPTION if name in OPTION_NAMES else "")
        kind = types[name].replace(
            "|", "&#124;"
        )  # a bar in a cell: readers of Markdown differ on how to escape it in a code
        yield [f"`{name}`", f"<code>{kind}</code>", default.replace("'", '"'), said]


def table(made: type[BaseModel], *, shared: bool = False) -> str:
    """Return the table of a class as Markdown."""
    return markdown_table(["field", "type", "default", "what it is"], rows(made, shared=shared))


PAGE = (ROOT / "docs/api/llamaindex.md",)
PARTS = (
    Part("fields of all", partial(table, Vessel, shared=True), PAGE),
    *(
        Part(f"fields of {made.__name__}", partial(table, made), PAGE)
        for made in (Vessel, VesselEmbedding, VesselRerank)
    ),
)

if __name__ == "__main__":
    run(*PARTS)
