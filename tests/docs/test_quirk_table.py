"""The page of quirks is made from the tests, and leaves none out."""

from __future__ import annotations

import re

from docs.examples.quirk_table import GROUPS, PART, sentences

NUMBERS = range(1, 88)


def test_every_quirk_has_a_row_and_a_test() -> None:
    assert sorted(number for quirks in GROUPS.values() for number in quirks) == list(NUMBERS)
    assert sorted(sentences()) == list(NUMBERS)


def test_the_page_shows_what_each_test_holds() -> None:
    (page,) = PART.pages
    rows = re.findall(r"(?m)^\| (\d+) \|.*\| (.+) \|$", page.read_text(encoding="utf-8"))
    assert [int(number) for number, _ in rows] == list(NUMBERS)
    assert all("–" not in held for _, held in rows)
