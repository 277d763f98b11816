"""What is checked in: its style, its types, its size, and no trace of the machine it was written on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.packaging.distributions import ROOT, run, tool

#: Assembled, so that this file doesn't name what it looks for.
REGISTRIES = [
    "pypi" + ".org", "python" + "hosted", "pypi" + "/simple", "npm" + "js.org", "index" + "-url", "find" + "-links",
]  # fmt: skip
PLACES = [
    "/" + "work/", "/" + "root/", "/" + r"home/\w", "/" + r"Users/\w", "/" + r"opt/(pypi|wheels)", r"[A-Z]:\\" + "Users",
]  # fmt: skip
LARGEST = 1_000_000


def tracked() -> list[Path]:
    files = [ROOT / name for name in run(["git", "ls-files", "-z"]).split("\0") if name]
    return [file for file in files if file.is_file()]


def text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="ignore")


def test_the_code_is_in_the_house_style() -> None:
    assert "All checks passed" in run([tool("ruff"), "check", "."])
    assert "would be reformatted" not in run([tool("ruff"), "format", "--check", "."])


@pytest.mark.timeout(300)
def test_every_type_is_right() -> None:
    assert "0 errors" in run([tool("pyright")])


@pytest.mark.parametrize("pattern", REGISTRIES + PLACES)
def test_no_file_names_a_package_registry_or_a_place_on_someones_machine(pattern: str) -> None:
    naming = [str(file.relative_to(ROOT)) for file in tracked() if re.search(pattern, text(file))]
    assert not naming


def test_no_file_is_large() -> None:
    assert not [str(file.relative_to(ROOT)) for file in tracked() if file.stat().st_size > LARGEST]


def test_the_distributions_share_one_licence() -> None:
    licences = {file.read_bytes() for file in tracked() if file.name == "LICENSE"}
    assert len(licences) == 1
    assert licences.pop().startswith(b"MIT License")
