"""The table in docs/llamaindex-compared.md: each row a test of the conformance suite, run for Vessel and for its peers.

    python -m tests.contract.llama_index_table            # print it; all peers must be installed
    python -m tests.contract.llama_index_table --write    # put it onto the page

`make compare-llamaindex` does the latter, in an environment of its own.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from importlib.metadata import version
from typing import Any

import pytest

from docs.examples.generated import ROOT, Part, markdown_table, run
from tests.llama_index.conformance import (
    EmbeddingConformance,
    LLMConformance,
    OpenAIEmbeddingConformance,
    OpenAIWireConformance,
    ParallelToolConformance,
    StructuredConformance,
    ThinkingConformance,
    VisionConformance,
    WireConformance,
)
from tests.llama_index.conformance.llm import Made

PAGE = ROOT / "docs/llamaindex-compared.md"
YES, NO, NONE = "✔", "✘", "–"

#: The columns, by the names that the test classes give, with what the page calls them.
COLUMNS = {
    "Vessel": "`Vessel`",
    "OpenAILike": "`OpenAILike`",
    "LMStudio": "`LMStudio`",
    "Vessel, Ollama": "`Vessel` at Ollama",
    "Ollama": "`Ollama`",
}
PEERS = (
    *("llama-index-llms-openai-like", "llama-index-llms-lmstudio", "llama-index-llms-ollama"),
    *("llama-index-embeddings-openai-like", "llama-index-embeddings-ollama"),
)
#: The parts of the table: what their suites derive from, and the suites that hold their rows.
GROUPS: dict[str, tuple[type[Any], Sequence[type[Any]]]] = {
    "Byte by byte": (WireConformance, [OpenAIWireConformance]),
    "On a real llama.cpp server": (
        Made,
        [LLMConformance, ThinkingConformance, ParallelToolConformance, StructuredConformance, VisionConformance],
    ),
    "Embeddings": (EmbeddingConformance, [OpenAIEmbeddingConformance]),
}


class Marks:
    """A plugin of pytest's that keeps the mark of each test, by group, name and column."""

    def __init__(self) -> None:
        self.of: dict[tuple[str, str, str], str] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Keep a mark: one failure, while it is set up, run or torn down, is one."""
        report = yield
        kind: Any = item.cls
        group = next(title for title, (base, _) in GROUPS.items() if issubclass(kind, base))
        place = (group, item.originalname, kind.column)
        self.of[place] = NO if report.failed else self.of.get(place, YES)
        return report


def names_of(suites: Iterable[type[Any]]) -> list[str]:
    """Return the names of the tests of some classes, as they were ordered."""
    found: dict[str, None] = {}
    for suite in suites:
        for base in reversed(suite.__mro__):
            found |= dict.fromkeys(name for name in vars(base) if name.startswith("test_"))
    return list(found)


def title(test: str) -> str:
    """Return what a test holds, as a sentence."""
    return test.removeprefix("test_").replace("_", " ")


def measure() -> Marks:
    """Run the suite for all columns."""
    marks, file = Marks(), "tests/contract/llama_index_candidates.py"
    options = ["-o", "filterwarnings=ignore", "-o", "timeout=60", "-q", "--tb=no", "-p", "no:cacheprovider"]
    code = pytest.main([str(ROOT / file), *options], plugins=[marks])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise SystemExit(f"The suite could not be run (pytest: {code}).")
    return marks


def table(marks: Marks) -> str:
    """Return what was measured as Markdown."""
    lines: list[list[str]] = []
    for group, (_, suites) in GROUPS.items():
        rows = {test: [marks.of.get((group, test, column), NONE) for column in COLUMNS] for test in names_of(suites)}
        totals = [
            f"{held.count(YES)} of {len(held) - held.count(NONE)}" if set(held) != {NONE} else NONE
            for held in zip(*rows.values(), strict=True)
        ]
        lines.append([f"**{group}**", *(f"**{total}**" for total in totals)])
        lines += [[title(test), *held] for test, held in rows.items()]
    return markdown_table(["", *COLUMNS.values()], lines)


def measured() -> str:
    """Measure everybody, and return the table and the versions."""
    versions = ", ".join(f"{peer} {version(peer)}" for peer in ("llama-index-core", *PEERS))
    return f"Measured with {versions}.\n\n{table(measure())}"


if __name__ == "__main__":
    run(Part("compared", measured, (PAGE,)))
