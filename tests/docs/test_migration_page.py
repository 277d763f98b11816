"""The page about coming from another class of LangChain's is made from the programs that the tests run."""

from __future__ import annotations

from docs.examples.migration_page import PAGE
from tests.langchain.drop_in.test_drop_in import PROGRAMS, renamed


def test_the_page_shows_each_program_as_it_is_run() -> None:
    blocks = [block.partition("\n```")[0] for block in PAGE.read_text(encoding="utf-8").split("```diff\n")[1:]]
    after = ["\n".join(line[2:] for line in block.splitlines() if not line.startswith("- ")) for block in blocks]
    assert after == [renamed(program).rstrip("\n") for program in PROGRAMS]
