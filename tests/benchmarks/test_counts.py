"""A streamed token takes no more calls than it did: a regression shows here without a clock."""

from __future__ import annotations

import json

from benchmarks import counts


def test_a_token_takes_no_more_calls_than_the_baseline() -> None:
    baseline = json.loads(counts.BASELINE.read_text())
    figures = counts.measured()
    assert figures.keys() == baseline.keys()
    assert counts.regressions(figures, baseline) == []


def test_a_call_more_for_each_token_is_a_regression() -> None:
    worse = counts.regressions({"core": 15.0, "face": 20.0}, {"core": 14.0, "face": 20.0})
    assert worse == ["core: 15 calls, and 14 were enough."]
