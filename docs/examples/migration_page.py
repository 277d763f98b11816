"""The programs and arguments on the page about coming from another class, made from what the tests run.

`python -m docs.examples.migration_page` prints them; with `--write` they take their place in docs/migration-langchain.md.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from langchain_vessel.options import ALIASES, INSTEAD, MEANT_ANYWAY

from docs.examples.generated import ROOT, Part, markdown_table, run
from tests.langchain.drop_in.test_drop_in import PROGRAMS, REASONS, name_of, renamed

PAGE = ROOT / "docs/migration-langchain.md"


def arguments() -> str:
    """Return what becomes of the other classes' arguments."""
    by_ours: dict[str, list[str]] = {}
    for theirs, ours in ALIASES.items():
        by_ours.setdefault(ours, []).append(theirs)
    renamed_ones = [(_codes(theirs), f"`{ours}`") for ours, theirs in by_ours.items()]
    by_hint: dict[str, list[str]] = {}
    for theirs, hint in INSTEAD.items():
        by_hint.setdefault(hint, []).append(theirs)
    refused = [
        (_codes(theirs) + (" of embeddings" if "vectors" in hint else ""), f"refused. {hint}")
        for hint, theirs in by_hint.items()
    ]
    anyway = (_codes(sorted(MEANT_ANYWAY)), "taken, and needless: it is so anyway")
    rows = [
        *renamed_ones,
        ("`model_kwargs`, `options`", "each under its own name; what is unknown goes into `extra_body`"),
    ]
    return markdown_table(("argument there", "here"), [*rows, anyway, *refused])


def outcomes() -> str:
    """Return which programs run on which server, and why some do not."""
    rows: list[tuple[str, ...]] = []
    for program in PROGRAMS:
        name = name_of(program)
        reasons = [REASONS.get((name, server)) for server in ("scripted", "real")]
        why = dict.fromkeys(reason[1] for reason in reasons if reason)
        anchor = f"[{name.replace('_', ' ')}](#{name.replace('_', '-')})"
        rows.append((anchor, *("✘" if reason else "✔" for reason in reasons), "; ".join(why)))
    return markdown_table(("program", "on the server it was written for", "on llama.cpp", "why not"), rows)


def programs() -> str:
    """Return each program with what changes in it."""
    shown: list[str] = []
    for program in PROGRAMS:
        before, after = program.read_text(encoding="utf-8"), renamed(program)
        lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
        kept = "\n".join(line.rstrip() for line in lines if not line.startswith("?"))
        shown.append(f"### {name_of(program).replace('_', ' ')}\n\n```diff\n{kept}\n```")
    return "\n\n".join(shown)


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


PARTS = tuple(
    Part(name, make, (PAGE,))
    for name, make in (("arguments", arguments), ("outcomes", outcomes), ("programs", programs))
)

if __name__ == "__main__":
    run(*PARTS)
