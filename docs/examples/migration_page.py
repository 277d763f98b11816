"""The programs and arguments on the page about coming from another class, made from what the tests run.

`python docs/examples/migration_page.py` prints them; with `--write` they take their place in docs/migration-langchain.md.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from langchain_vessel.options import ALIASES, INSTEAD, MEANT_ANYWAY  # noqa: E402 - as those below

from tests.langchain.drop_in.test_drop_in import PROGRAMS, REASONS, name_of, renamed  # noqa: E402 - found by the line above

PAGE = ROOT / "docs/migration-langchain.md"
BEGIN, END = "<!-- {} -->", "<!-- end of {} -->"


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
    return _table(("argument there", "here"), [*rows, anyway, *refused])


def outcomes() -> str:
    """Return which programs run on which server, and why some do not."""
    rows: list[tuple[str, ...]] = []
    for program in PROGRAMS:
        name = name_of(program)
        reasons = [REASONS.get((name, server)) for server in ("scripted", "real")]
        why = dict.fromkeys(reason[1] for reason in reasons if reason)
        anchor = f"[{name.replace('_', ' ')}](#{name.replace('_', '-')})"
        rows.append((anchor, *("✘" if reason else "✔" for reason in reasons), "; ".join(why)))
    return _table(("program", "on the server it was written for", "on llama.cpp", "why not"), rows)


def programs() -> str:
    """Return each program with what changes in it."""
    shown: list[str] = []
    for program in PROGRAMS:
        before, after = program.read_text(encoding="utf-8"), renamed(program)
        lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
        kept = "\n".join(line.rstrip() for line in lines if not line.startswith("?"))
        shown.append(f"### {name_of(program).replace('_', ' ')}\n\n```diff\n{kept}\n```")
    return "\n\n".join(shown)


PARTS = {"arguments": arguments, "outcomes": outcomes, "programs": programs}


def with_parts(page: str) -> str:
    """Return the page with its generated parts as they are now."""
    for name, make in PARTS.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n\n{make()}\n\n{end}{rest.partition(end)[2]}"
    return page


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print the parts, or write them into the page."""
    if "--write" not in sys.argv:
        sys.stdout.write("\n\n".join(make() for make in PARTS.values()) + "\n")
        return
    PAGE.write_text(with_parts(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
