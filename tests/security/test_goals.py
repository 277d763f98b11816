"""The page of goals is what the table says, and each goal is measured where it says."""

from __future__ import annotations

import tomllib

from tests.packaging.distributions import ROOT
from tests.security.goals import GOALS, PAGE, measured, page
from tests.security.hostile_servers import HOSTILE
from tests.security.injections import INJECTIONS


def test_the_page_holds_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text, measured()), "run python -m tests.security.goals"
    assert f"{len(INJECTIONS)} strings" in text


def test_each_cell_of_the_fault_matrix_was_as_expected_when_it_was_measured() -> None:
    cells = measured()["matrix"]["cells"]
    assert sorted(map(int, cells)) == list(range(1, 65))
    assert [ways for ways in cells.values() if not all(0 < total == passed for passed, total in ways.values())] == []


def test_what_was_measured_is_within_the_goals() -> None:
    figures = measured()
    assert figures["matrix"]["good"] == figures["matrix"]["of"] == 64 * 6
    assert figures["matrix"]["seconds"] <= 90
    assert figures["retries"]["requests"] <= 1.1 * figures["retries"]["calls"]
    assert figures["loads"]["survived"] == figures["loads"]["of"]
    assert figures["stops"]["p99"] <= 100
    assert figures["cancels"]["dead"] == 0
    assert figures["hostile"]["servers"] == len(HOSTILE)
    assert figures["hostile"]["rss"] <= 40
    assert max(figures["hostile"]["wall"], figures["hostile"]["seconds"]) <= 1


def test_each_goal_is_measured_where_it_says() -> None:
    assert list(GOALS) == [*(f"R{number}" for number in range(1, 16)), *(f"S{number}" for number in range(1, 12))]
    places = [place for _, _, where in GOALS.values() for place in where.split(", ")]
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_the_core_has_two_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert len(project["dependencies"]) == 2
    locked = (ROOT / "requirements" / "core.in").read_text(encoding="utf-8")
    assert all(dependency in locked for dependency in project["dependencies"])


def test_the_security_rules_are_on() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
