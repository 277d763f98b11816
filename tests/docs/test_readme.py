"""The README keeps its promises."""

from __future__ import annotations

import re
import tomllib

import pytest
from vessel_core.backends import BACKENDS

from docs.examples.feature_table import COLUMNS, table
from tests.docs.test_pages import ROOT, blocks

README = ROOT / "README.md"


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) < 120


def test_the_table_has_a_row_for_every_server_and_a_column_for_every_feature() -> None:
    lines = table().splitlines()
    assert [backend.title in line for backend, line in zip(BACKENDS, lines[2:], strict=True)] == [True] * len(BACKENDS)
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 1}


@pytest.mark.parametrize("framework", ["langchain_vessel", "llama_index"])
def test_each_framework_has_an_example_of_at_most_six_lines(framework: str) -> None:
    examples = [code for _, language, code in blocks(README) if language == "python" and framework in code]
    assert examples
    assert all(len([line for line in code.splitlines() if line.strip()]) <= 6 for code in examples)


def test_the_two_commands_are_there_and_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = re.findall(r"(?m)^make ([a-z]+)", "\n".join(code for _, kind, code in blocks(README) if kind == "sh"))
    assert {"demo", "test"} <= set(commands)
    assert all(re.search(rf"(?m)^{command}:", makefile) for command in commands)


def test_the_changelog_has_a_section_for_this_version_and_one_for_what_comes() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    headings = re.findall(r"(?m)^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert headings[0] == "Unreleased"
    assert version in headings
