"""What the page says of Vessel is measured here; what it says of the peers, by `make compare`."""

from __future__ import annotations

import re

import pytest

from tests.contract.langchain_table import PAGE, ROWS
from tests.contract.measuring import NO, NONE, PARTLY, YES, Bench, Row, measure
from tests.contract.stand import BOTH, PEERS, VESSEL


def title(row: Row) -> str:
    return row.title


def on_page() -> list[list[str]]:
    """Return the cells of each row of the page that holds marks."""
    lines = re.findall(r"(?m)^\| (.+) \|$", PAGE.read_text(encoding="utf-8"))
    cells = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    return [row for row in cells if set(row[1:]) <= {YES, PARTLY, NO, NONE}]


@pytest.mark.parametrize("row", ROWS, ids=title)
def test_vessel_does_what_the_row_says(row: Row) -> None:
    assert measure(row, VESSEL) == YES


def test_the_page_has_all_rows_and_only_ticks_for_vessel() -> None:
    rows = on_page()
    assert [row[0] for row in rows] == [row.title for row in ROWS]
    assert {row[1] for row in rows} == {YES}
    assert {len(row) for row in rows} == {2 + len(PEERS)}


def test_each_peer_does_some_of_it_and_not_all() -> None:
    for column in range(2, 2 + len(PEERS)):
        assert {YES, NO} <= {row[column] for row in on_page()}


def test_a_probe_that_fails_or_raises_is_no_tick() -> None:
    def raising(_: Bench) -> bool:
        raise ValueError

    assert measure(Row("", "", raising, BOTH), VESSEL) == NO
    assert measure(Row("", "", lambda _: False, BOTH), VESSEL) == NO
    assert measure(Row("", "", lambda bench: bench.kind == "ollama", BOTH), VESSEL) == NO
    assert measure(Row("", "", lambda _: True, ()), VESSEL) == NONE
