"""The twenty programs on docs/migration-llamaindex.md: what changes in each when `Vessel` takes the place of another class.

`python -m docs.examples.migration_llamaindex` prints them; with `--write` they take their place on the page. They are the
programs that tests/llama_index/drop_in runs.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from docs.examples.generated import ROOT, Part, run
from tests.llama_index.drop_in.porting import PROGRAMS, ported


def changed(program: str) -> str:
    """Return a whole program as a difference: a line that goes, a line that comes, the rest as it is."""
    before, after = program.splitlines(), ported(program).splitlines()
    lines = difflib.unified_diff(before, after, n=len(before), lineterm="")
    return "\n".join(list(lines)[3:])  # without the names of files and the place


def heading(path: Path) -> str:
    """Return the title of a program, from its file's name."""
    number, name = path.stem.split("_", 1)
    words = name.replace("openai_like", "OpenAILike").replace("ollama", "Ollama").replace("lmstudio", "LMStudio")
    return f"{int(number)}. {words.replace('_', ', ', 1).replace('_', ' ')}"


def programs() -> str:
    """Return all programs as Markdown."""
    return "\n\n".join(f"### {heading(path)}\n\n```diff\n{changed(path.read_text('utf-8'))}\n```" for path in PROGRAMS)


PART = Part("programs", programs, (ROOT / "docs/migration-llamaindex.md",))

if __name__ == "__main__":
    run(PART)
