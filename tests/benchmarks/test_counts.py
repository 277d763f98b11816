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
    baseline = {"core: a text token": 44.0, "face: a text token": 20.0, "core: an answer": 200.0}
    assert counts.regressions({**baseline, "core: an answer": 209.0}, baseline) == []
    worse = counts.regressions({**baseline, "core: a text token": 45.0}, baseline)
    assert worse == ["core: a text token: 45 calls, and 44 were enough."]
