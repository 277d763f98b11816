"""The page on coming from another class of LlamaIndex shows the programs that the tests run."""

from __future__ import annotations

from docs.examples.migration_llamaindex import changed, programs
from tests.llama_index.drop_in.porting import PROGRAMS, ported


def test_the_page_shows_each_program_that_runs() -> None:
    assert programs().count("```diff") == len(PROGRAMS) == 20


def test_only_lines_that_name_a_class_change() -> None:
    for path in PROGRAMS:
        lines = changed(path.read_text(encoding="utf-8")).splitlines()
        assert ported("\n".join(line[1:] for line in lines if line[0] != "+")) == "\n".join(
            line[1:] for line in lines if line[0] != "-"
        )
        new = [line for line in lines if line[0] == "+"]
        assert new
        assert all("Vessel" in line for line in new)
