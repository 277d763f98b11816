"""A streamed token takes no more calls than it did: a regression shows here without a clock."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_vessel import chunks
from llama_index.llms.vessel import responses
from vessel_core import settings
from vessel_core.merging import merged
from vessel_core.transport import http1, plain, plain_protocol
from vessel_core.types import Delta
from vessel_core.wire.plain import Plain

from benchmarks import counts


def worse_of(monkeypatch: pytest.MonkeyPatch, part_of_a_name: str) -> list[str]:
    """Return the regressions of some ways that answers take, and of constructing."""
    chosen = {name: way for name, way in counts.STREAMED.items() if part_of_a_name and name.startswith(part_of_a_name)}
    monkeypatch.setattr(counts, "STREAMED", chosen)
    monkeypatch.setattr(counts, "RETURNED_WHOLE", {})
    figures = counts.measured()
    baseline = json.loads(counts.BASELINE.read_text())
    return counts.regressions(figures, {name: baseline[name] for name in figures})


def test_a_token_takes_no_more_calls_than_the_baseline() -> None:
    baseline = json.loads(counts.BASELINE.read_text())
    figures = counts.measured()
    assert figures.keys() == baseline.keys()
    assert counts.regressions(figures, baseline) == []


@pytest.mark.parametrize(("place", "made"), [("vessel_core", 4), ("elsewhere", 0)])
def test_what_our_code_calls_in_c_is_counted(place: str, made: int) -> None:
    names: dict[str, Any] = {}
    exec(compile("def work():\n ''.join(()).strip()\n return len(())", f"/{place}/planted.py", "exec"), names)
    assert counts.calls(names["work"]) == made


def test_a_call_more_for_each_token_is_a_regression() -> None:
    baseline = {"core: a text token": 44.0, "face: a text token": 20.0, "core: an answer": 200.0}
    assert counts.regressions({**baseline, "core: an answer": 209.0}, baseline) == []
    worse = counts.regressions({**baseline, "core: a text token": 45.0}, baseline)
    assert worse == ["core: a text token: 45 calls, and 44 were enough."]


@pytest.mark.parametrize(
    ("where", "name", "way"),
    [
        (http1.Exchange, "_read_chunks", "core, one by one"),
        (plain._Connection, "_received", "core, one by one"),  # pyright: ignore[reportPrivateUsage]
        (plain_protocol.PlainProtocol, "buffer_updated", "core, async, one by one"),
        (Plain, "say", "LangChain, all at once, joined"),
    ],
)
def test_a_call_more_on_a_tokens_way_from_the_socket_is_seen(
    monkeypatch: pytest.MonkeyPatch, where: Any, name: str, way: str
) -> None:
    real = getattr(where, name)

    def planted(*given: Any) -> Any:
        merged({}, {})
        return real(*given)

    monkeypatch.setattr(where, name, planted)
    worse = worse_of(monkeypatch, way.partition(",")[0])
    assert any(line.startswith(f"{way}: a text token: ") for line in worse)


def test_tokens_that_are_no_longer_joined_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Plain.say

    def apart(self: Plain, text: str, deltas: list[Delta]) -> None:
        self.together = False
        real(self, text, deltas)

    monkeypatch.setattr(Plain, "say", apart)
    worse = counts.regressions(counts.measured(), json.loads(counts.BASELINE.read_text()))
    joined = [line.partition(",")[0] for line in worse if "all at once, joined: a text token" in line]
    assert joined == [name.partition(",")[0] for name in counts.STREAMED]


@pytest.mark.parametrize("face", ["LangChain", "LlamaIndex"])
def test_a_model_object_that_takes_more_to_make_is_seen(monkeypatch: pytest.MonkeyPatch, face: str) -> None:
    real = settings.parse_address

    def planted(*given: Any, **options: Any) -> Any:
        for _ in range(20):
            merged({}, {})
        return real(*given, **options)

    monkeypatch.setattr(settings, "parse_address", planted)
    worse = worse_of(monkeypatch, "")
    assert any(line.startswith(f"{face}: a model object: ") for line in worse)


@pytest.mark.parametrize(("where", "face"), [(chunks, "LangChain"), (responses, "LlamaIndex")])
def test_objects_that_are_validated_again_are_seen(monkeypatch: pytest.MonkeyPatch, where: Any, face: str) -> None:
    def validated(kind: Any, fields: dict[str, Any], *_: object) -> Any:
        return kind(**fields)

    monkeypatch.setattr(where, "built", validated)
    worse = worse_of(monkeypatch, face)
    seen = {line.partition(", all at once")[0] for line in worse if "all at once, apart: a text token" in line}
    assert seen == counts.STREAMED.keys()
    assert len(seen) == 3
