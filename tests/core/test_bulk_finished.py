"""A run that had ended, run again: what is new is asked, and what is there is replaced whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from vessel_core.bulk import bulk
from vessel_core.errors import InvalidConfig, VesselError

from tests.core.corpora import alive, asked, corpus, parquet, read
from tests.fake_server import Response, llamacpp_server, openai_embeddings, transcript, vector_of


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_run_that_had_ended_may_be_run_again(tmp_path: Path, ending: str) -> None:
    source, to = corpus(tmp_path / "i.jsonl", 6), tmp_path / f"o.{ending}"
    with llamacpp_server() as server:
        first = bulk(source, to, client=alive(server), progress=False)
        before = to.read_bytes()
        again = bulk(source, to, client=alive(server), progress=False)
        assert (first.skipped, again.skipped, len(asked(server))) == (0, 6, 6)
        assert to.read_bytes() == before
        corpus(source, 9)
        assert bulk(source, to, client=alive(server), progress=False).skipped == 6
        assert [row["embedding"] for row in read(to)] == [vector_of(f"text {number}") for number in range(9)]
        with pytest.raises(InvalidConfig, match=rf"not the one that {to} holds") as caught:
            bulk(source, to, client=alive(server), progress=False, model="another")
    assert "--overwrite" in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i.jsonl", to.name]


def test_what_replaces_a_file_is_on_the_disk_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[int] = set()

    def fsync(file: int) -> None:
        assert os.fstat(file).st_size > 0
        synced.add(os.fstat(file).st_ino)

    monkeypatch.setattr("vessel_core.bulk.tables.os.fsync", fsync)
    source, to = corpus(tmp_path / "i.jsonl", 6), tmp_path / "o.parquet"
    with llamacpp_server() as server:
        bulk(source, to, client=alive(server), progress=False)
        assert to.stat().st_ino in synced
        corpus(source, 9)
        bulk(source, to, client=alive(server), progress=False)
    assert to.stat().st_ino in synced
    assert len(synced) >= 2


def test_a_table_that_can_not_be_written_whole_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, to = corpus(tmp_path / "i.jsonl", 6), tmp_path / "o.parquet"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with llamacpp_server() as server:
        bulk(source, to, client=alive(server), progress=False)
        before = to.read_bytes()
        corpus(source, 9)
        with monkeypatch.context() as patched:
            patched.setattr(parquet.ParquetWriter, "write_table", full)
            with pytest.raises(VesselError, match=r"o\.parquet can't be written: No space left"):
                bulk(source, to, client=alive(server), progress=False)
        assert to.read_bytes() == before
        assert sorted(path.name for path in tmp_path.iterdir()) == ["i.jsonl", to.name, f"{to.name}.part.jsonl"]
        assert bulk(source, to, client=alive(server), progress=False).skipped == 9
    assert [row["embedding"] for row in read(to)] == [vector_of(f"text {number}") for number in range(9)]


def marks(folder: Path) -> dict[str, tuple[int, int]]:
    """What changes when anything in a folder is written, made or removed."""
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in (folder, *folder.iterdir())}


@pytest.mark.parametrize("task", ["embed", "chat"])
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_run_that_had_ended_and_has_nothing_new_changes_nothing_on_the_disk(
    tmp_path: Path, ending: str, task: Any
) -> None:
    source, to = corpus(tmp_path / "i.jsonl", 6), tmp_path / f"o.{ending}"
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        client = alive(server)
        bulk(source, to, client=client, task=task, progress=False)
        before = marks(tmp_path)
        for retry_errors in (False, True):
            again = bulk(source, to, client=client, task=task, progress=False, retry_errors=retry_errors)
            assert again.skipped == 6
            assert marks(tmp_path) == before
        with pytest.raises(InvalidConfig, match="not the one"):
            bulk(source, to, client=client, task=task, progress=False, model="another")
        with pytest.raises(InvalidConfig, match="has 2 rows"):
            bulk(
                [{"id": f"row-{at}", "text": f"text {at}"} for at in "01"], to, client=client, task=task, progress=False
            )
        assert marks(tmp_path) == before


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_rows_that_ended_in_an_error_may_be_tried_again(tmp_path: Path, ending: str) -> None:
    refused = Response.json({"error": {"message": "no", "type": "invalid_request_error", "code": 400}}, 400)
    source, to = corpus(tmp_path / "i.jsonl", 4), tmp_path / f"o.{ending}"
    with llamacpp_server() as server:
        server.routes["POST", "/v1/embeddings"] = lambda request: (
            refused if "text 2" in request.json()["input"] else openai_embeddings(request)
        )
        assert bulk(source, to, client=alive(server), progress=False, keep=["page"]).errors == 1
        assert bulk(source, to, client=alive(server), progress=False, keep=["page"]).errors == 0  # left as they are
        server.routes["POST", "/v1/embeddings"] = openai_embeddings
        report = bulk(source, to, client=alive(server), progress=False, keep=["page"], retry_errors=True)
    assert (report.skipped, report.errors) == (3, 0)
    assert [(row["page"], row["error"], row["embedding"]) for row in read(to)] == [
        (number, None, vector_of(f"text {number}")) for number in range(4)
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i.jsonl", to.name]
