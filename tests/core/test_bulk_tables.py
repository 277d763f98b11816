"""The columns of Parquet outputs: the types of the source, whatever they are."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from vessel_core import Client
from vessel_core.bulk import bulk
from vessel_core.errors import InvalidConfig

from tests.core.corpora import alive, pa, parquet, read
from tests.fake_server import llamacpp_server, transcript, vector_of

ROWS = 5000
COLUMNS: dict[str, tuple[Any, Any]] = {
    "when": (pa.timestamp("us", "UTC"), datetime(2026, 11, 30, 12, tzinfo=UTC)),
    "price": (pa.decimal128(9, 2), Decimal("12.50")),
    "raw": (pa.binary(), b"\x00\xff"),
    "small": (pa.int8(), 3),
    "tags": (pa.list_(pa.struct([("name", pa.string()), ("n", pa.int16())])), [{"name": "a", "n": 1}]),
    "kind": (pa.dictionary(pa.int32(), pa.string()), "x"),
    "late": (pa.float32(), None),
}


def table(path: Path, rows: int) -> Path:
    columns = {"id": pa.array(range(rows), pa.int32()), "text": pa.array([f"text {at}" for at in range(rows)])}
    for name, (kind, value) in COLUMNS.items():
        columns[name] = pa.array([value] * (rows - 1) + [0.5 if name == "late" else value], kind)
    parquet.write_table(pa.table(columns), path, row_group_size=999)
    return path


def test_columns_keep_the_types_and_values_of_the_source(tmp_path: Path) -> None:
    source, to = table(tmp_path / "i.parquet", ROWS), tmp_path / "o.parquet"
    with llamacpp_server() as server:
        client = Client("llamacpp", base_url=server.base_url)
        bulk(source, to, client=client, keep=list(COLUMNS), progress=False)
    before, after = parquet.read_table(source), parquet.read_table(to)
    assert after.num_rows == ROWS
    for name in ("id", *COLUMNS):
        assert after.schema.field(name).type == before.schema.field(name).type
        assert after.column(name).combine_chunks().equals(before.column(name).combine_chunks())
    assert after.column("embedding")[ROWS - 1].as_py() == vector_of(f"text {ROWS - 1}")


def test_an_id_that_is_not_there_is_the_number_of_its_row(tmp_path: Path) -> None:
    source, to = tmp_path / "i.parquet", tmp_path / "o.parquet"
    parquet.write_table(pa.table({"id": ["a", None], "text": ["one", "two"]}), source)
    with llamacpp_server() as server:
        bulk(source, to, client=Client("llamacpp", base_url=server.base_url), progress=False)
    assert [row["id"] for row in read(to)] == ["a", "1"]


VECTOR = {"src": "x", "embedding": [0.1, 0.2]}
VECTOR_TYPE = pa.struct([("src", pa.string()), ("embedding", pa.list_(pa.float64()))])


FITTING: list[tuple[Any, Any, Any, Any]] = [
    (1, 2.5, pa.float64(), 1.0),
    (None, "x", pa.string(), None),
    (1, "x", pa.string(), "1"),
    (1, 2**70, pa.string(), "1"),
    ({"a": 1}, {"b": "x"}, pa.struct([("a", pa.int64()), ("b", pa.string())]), {"a": 1, "b": None}),
    ({"a": 1}, [1], pa.string(), '{"a": 1}'),
    ({}, {}, pa.string(), "{}"),
    ({}, {"a": 1}, pa.struct([("a", pa.int64())]), {"a": None}),
    ({"a": {}}, {"b": [{}]}, pa.string(), '{"a": {}}'),
    ([{}], [], pa.string(), "[{}]"),
    (VECTOR, VECTOR, VECTOR_TYPE, VECTOR),
]


@pytest.mark.parametrize(("early", "late", "kind", "found"), FITTING, ids=str)
def test_the_types_of_other_sources_fit_all_rows(tmp_path: Path, early: Any, late: Any, kind: Any, found: Any) -> None:
    rows = [{"text": f"text {at}", "page": late if at == ROWS - 1 else early} for at in range(ROWS)]
    to = tmp_path / "o.parquet"
    with llamacpp_server() as server:
        bulk(rows, to, client=Client("llamacpp", base_url=server.base_url), keep=["page"], progress=False)
    after = parquet.read_table(to)
    assert after.schema.field("page").type == kind
    assert after.column("page")[0].as_py() == found


@pytest.mark.parametrize("task", ["embed", "chat"])
def test_a_vector_in_what_is_kept_is_kept_also_of_rows_that_failed(tmp_path: Path, task: Any) -> None:
    rows = [{"text": text, "page": VECTOR} for text in ("one", "", "two")]
    to = tmp_path / "o.parquet"
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        for retry in (False, True):
            bulk(rows, to, client=alive(server), task=task, keep=["page"], progress=False, retry_errors=retry)
            assert [row["page"] for row in read(to)] == [VECTOR] * 3
    assert [row["error"] is None for row in read(to)] == [True, False, True]


@pytest.mark.parametrize("kept", [[0.1, 0.123456789012], ["no", "vector"]], ids=str)
def test_a_column_named_embedding_may_be_kept_of_questions(tmp_path: Path, kept: list[Any]) -> None:
    rows = [{"text": text, "embedding": kept} for text in ("one", "")]
    to = tmp_path / "o.parquet"
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        for retry in (False, True):
            bulk(rows, to, client=alive(server), task="chat", keep=["embedding"], progress=False, retry_errors=retry)
            assert [row["embedding"] for row in read(to)] == [kept] * 2


def test_a_table_that_no_run_wrote_is_left_alone(tmp_path: Path) -> None:
    to = table(tmp_path / "mine.parquet", 5)
    before = to.read_bytes()
    with llamacpp_server() as server, pytest.raises(InvalidConfig, match="no bulk run wrote"):
        bulk(["text"], to, client=Client("llamacpp", base_url=server.base_url), progress=False)
    assert to.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine.parquet"]
