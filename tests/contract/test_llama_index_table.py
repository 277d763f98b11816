"""What the page says of Vessel is held by the suite's own tests; what it says of the peers, by `make compare-llamaindex`."""

from __future__ import annotations

import re

from tests.contract.llama_index_table import COLUMNS, GROUPS, NO, NONE, PAGE, YES, names_of, title


def on_page() -> list[list[str]]:
    """Return the cells of each row of the page."""
    lines = re.findall(r"(?m)^\| (.+) \|$", PAGE.read_text(encoding="utf-8"))
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


def marked() -> list[list[str]]:
    """Return the rows that hold marks."""
    return [row for row in on_page() if set(row[1:]) <= {YES, NO, NONE}]


def test_the_page_has_a_row_for_each_test_and_only_ticks_for_vessel() -> None:
    tests = [test for _, suites in GROUPS.values() for test in names_of(suites)]
    assert [row[0] for row in marked()] == [title(test) for test in tests]
    for at, column in enumerate(COLUMNS, 1):
        marks = {row[at] for row in marked()}
        assert NO not in marks if column.startswith("Vessel") else {YES, NO} <= marks


def test_each_group_says_how_many_of_its_tests_each_class_passes() -> None:
    totals = [row for row in on_page() if row[0].startswith("**")]
    assert [row[0].strip("*") for row in totals] == list(GROUPS)
    for at in range(1, 1 + len(COLUMNS)):
        said = [re.findall(r"\d+", row[at]) for row in totals]
        held = [row[at] for row in marked()]
        passed = sum(int(numbers[0]) for numbers in said if numbers)
        assert (passed, sum(int(numbers[1]) for numbers in said if numbers)) == (
            held.count(YES),
            held.count(YES) + held.count(NO),
        )
