"""Rows of a whole corpus as they really come: of a wrong kind, of numpy, with NaN in them; and how far a run says it is."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from vessel_core.bulk import BulkProgress, bulk
from vessel_core.errors import InvalidConfig

from tests.core.corpora import alive, asked, corpus, pa, read, written
from tests.fake_server import Request, Response, llamacpp_server, openai_embeddings, vector_of

np: Any = import_module("numpy")


@pytest.mark.parametrize("wrong", [1, None, ("text", "x"), ["x"], b"bytes"], ids=repr)
def test_a_row_of_a_wrong_kind_is_an_error_and_no_end_of_the_run(tmp_path: Path, wrong: Any) -> None:
    to = tmp_path / "o.jsonl"
    with llamacpp_server() as server:
        report = bulk(["one", wrong, {"text": "two"}], to, client=alive(server), progress=False)
    assert (report.rows, report.errors) == (3, 1)
    assert [row["error"] for row in read(to)] == [None, "The row is no JSON object, and no text.", None]


@pytest.mark.parametrize(
    "source", [{"a": 1}, b"bytes", pa.table({"text": ["one"]})], ids=lambda each: type(each).__name__
)
def test_what_yields_no_rows_is_no_source(tmp_path: Path, source: Any) -> None:
    with llamacpp_server() as server, pytest.raises(InvalidConfig, match="does not yield rows"):
        bulk(source, tmp_path / "o.jsonl", client=alive(server), progress=False)
    assert not server.asked("/v1/embeddings")
    assert not list(tmp_path.iterdir())


def test_a_source_or_an_output_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    broken, whole = tmp_path / "broken.parquet", corpus(tmp_path / "in.jsonl", 1)
    broken.write_bytes(b"PAR1 and no more")
    with llamacpp_server() as server:
        for source, to in ((broken, tmp_path / "o.jsonl"), (whole, broken)):
            with pytest.raises(InvalidConfig, match=r"broken\.parquet is no Parquet file"):
                bulk(source, to, client=alive(server), progress=False)
        assert not server.asked("/v1/embeddings")


def test_what_numpy_wraps_is_written_as_what_it_is(tmp_path: Path) -> None:
    row = {
        "id": np.int64(3),
        "text": np.str_("one"),
        "f": np.float32(1.5),
        "all": {"v": np.arange(2)},
        "d": Decimal("1.10"),
    }
    for ending in ("jsonl", "parquet"):
        to = tmp_path / f"o.{ending}"
        with llamacpp_server() as server:
            bulk([row], to, client=alive(server), keep=["f", "all", "d"], progress=False)
        (found,) = read(to)
        assert [found[name] for name in ("id", "f", "all", "d")] == [3, 1.5, {"v": [0, 1]}, "1.10"]
        assert found["embedding"] == vector_of("one")


@pytest.mark.parametrize("odd", [math.nan, -math.inf, np.float32("nan"), [1.0, math.nan], {"a": (math.inf,)}], ids=repr)
def test_every_line_is_json_also_of_numbers_that_are_none(tmp_path: Path, odd: Any) -> None:
    to = tmp_path / "o.jsonl"
    with llamacpp_server() as server:
        bulk([{"text": "one", "f": odd}, {"text": "", "f": odd}], to, client=alive(server), keep=["f"], progress=False)

    def refused(constant: str) -> None:
        raise AssertionError(constant)

    first, second = (json.loads(line, parse_constant=refused) for line in to.read_text().splitlines())
    assert first["f"] == second["f"]
    assert first["f"] in (None, [1.0, None], {"a": [None]})
    assert first["embedding"] == vector_of("one")


def test_the_rate_counts_the_rows_of_this_run_alone(tmp_path: Path) -> None:
    """The rate is that of the rows that are done and were not skipped: at first one of 20."""
    told: list[BulkProgress] = []

    def refusing(request: Request) -> Response:
        wrong = {"error": {"message": "no", "type": "invalid_request_error", "code": 400}}
        bad = {"text 0", "text 10"} & set(request.json()["input"])
        return Response.json(wrong, 400) if bad else openai_embeddings(request)

    source, to = corpus(tmp_path / "i.jsonl"), tmp_path / "o.jsonl"
    with llamacpp_server(routes={("POST", "/v1/embeddings"): refusing}) as server:
        bulk(source, to, client=alive(server), progress=False)
        server.routes["POST", "/v1/embeddings"] = openai_embeddings
        before = len(asked(server))
        report = bulk(
            source, to, client=alive(server), batch_size=1, concurrency=1, progress=told.append, retry_errors=True
        )
        assert asked(server)[before:].count("text 0") == 1
    assert (told[0].done, told[0].skipped) == (19, 18)
    assert (told[-1].done, told[-1].skipped, report.skipped, told[-1].left) == (20, 18, 18, 0)


def test_blank_lines_are_no_rows_of_the_total(tmp_path: Path) -> None:
    told: list[BulkProgress] = []
    source = written(tmp_path / "i.jsonl", [{"text": f"text {number}"} for number in range(5)])
    source.write_text(source.read_text().replace("\n", "\n\n  \n"))
    with llamacpp_server() as server:
        bulk(source, tmp_path / "o.jsonl", client=alive(server), progress=told.append)
    assert (told[-1].done, told[-1].total, told[-1].left) == (5, 5, 0)
