"""What ends a run of a whole corpus: another model, a full disk, options that there are not."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from vessel_core import Client
from vessel_core.bulk import bulk
from vessel_core.errors import InvalidConfig, InvalidRequest, VesselError
from vessel_core.ray import BatchWorker

from tests.core.corpora import asked, corpus, read
from tests.fake_server import FakeServer, Request, Response, llamacpp_server, openai_embeddings, transcript, vector_of

LOADING = Response.json({"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}, 503)


def alive(*servers: FakeServer) -> Client:
    urls = [server.base_url for server in servers]
    return Client("llamacpp", base_url=urls if len(urls) > 1 else urls.pop())


@pytest.mark.parametrize("vector", [[1.0, -9.0, 1.0, 5.0], [1.0, 2.0]], ids=["same width", "other width"])
def test_a_server_that_comes_back_with_another_model_does_not_go_on(tmp_path: Path, vector: list[float]) -> None:
    started_anew = 0

    def answer(request: Request) -> Response:
        nonlocal started_anew
        texts = request.json()["input"]
        if "text 8" in texts and not started_anew:
            started_anew = 1
            return LOADING
        if started_anew:
            return Response.json({"data": [{"index": at, "embedding": vector} for at, _ in enumerate(texts)]})
        return openai_embeddings(request)

    to = tmp_path / "o.jsonl"
    with llamacpp_server(routes={("POST", "/v1/embeddings"): answer}) as server:
        with pytest.raises(InvalidConfig, match="Another model wrote this output"):
            bulk(
                corpus(tmp_path / "i.jsonl"),
                to,
                client=alive(server),
                batch_size=4,
                concurrency=1,
                progress=False,
            )
    assert [row["embedding"] for row in read(to)] == [vector_of(f"text {number}") for number in range(8)]


def test_a_server_that_comes_back_with_its_model_goes_on(tmp_path: Path) -> None:
    busy = [LOADING]
    to = tmp_path / "o.jsonl"

    def answer(request: Request) -> Response:
        return busy.pop() if busy and "text 8" in request.json()["input"] else openai_embeddings(request)

    with llamacpp_server(routes={("POST", "/v1/embeddings"): answer}) as server:
        report = bulk(
            corpus(tmp_path / "i.jsonl"),
            to,
            client=alive(server),
            batch_size=4,
            concurrency=1,
            progress=False,
        )
        assert len(asked(server)) == 20 + 4 + 1  # once more: what failed, and one text to compare by
    assert (report.rows, report.errors) == (20, 0)


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_disk_that_is_full_ends_a_run_and_it_goes_on_once_there_is_room(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, to = corpus(tmp_path / "i.jsonl"), tmp_path / f"o.{ending}"
    write, room = os.write, 2000

    def full(file: int, data: memoryview) -> int:
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(file, data[:room])
        room -= written
        return written

    with llamacpp_server() as server:
        with monkeypatch.context() as patched:
            patched.setattr("vessel_core.bulk.journal.os.write", full)
            with pytest.raises(VesselError, match=r"can't be written: No space left") as caught:
                bulk(
                    source,
                    to,
                    client=alive(server),
                    batch_size=4,
                    concurrency=1,
                    progress=False,
                )
        assert "Make room on the disk, and run again" in str(caught.value)
        assert bulk(source, to, client=alive(server), progress=False).skipped > 0
    assert [row["embedding"] for row in read(to)] == [vector_of(f"text {number}") for number in range(20)]


@pytest.mark.parametrize(
    ("task", "options"), [("embed", {"dimension": 8}), ("chat", {"temprature": 0}), ("chat", {"timeout": -1})], ids=str
)
def test_an_option_that_there_is_not_is_said_before_the_first_row(
    tmp_path: Path, task: Any, options: dict[str, Any]
) -> None:
    with llamacpp_server() as server, pytest.raises((InvalidRequest, InvalidConfig)):
        bulk(
            ["text"],
            tmp_path / "o.jsonl",
            client=alive(server),
            task=task,
            progress=False,
            **options,
        )
    assert not server.requests
    with pytest.raises((InvalidRequest, InvalidConfig)):
        BatchWorker("llamacpp", task=task, options=options)


@pytest.mark.parametrize("hosts", [1, 2])
def test_answers_of_a_model_by_another_name_are_not_gone_on_with(tmp_path: Path, hosts: int) -> None:
    text = transcript("llamacpp/text.sse")
    source, to = corpus(tmp_path / "i.jsonl", 6), tmp_path / "o.jsonl"
    for model in ("tuned-a.gguf", "tuned-b.gguf"):
        with ExitStack() as stack:
            client = alive(*(stack.enter_context(llamacpp_server(text, model=model)) for _ in range(hosts)))
            if model == "tuned-b.gguf":
                with pytest.raises(InvalidConfig, match="model or options have changed") as caught:
                    bulk(source, to, client=client, task="chat", progress=False)
                assert "Name the model if the servers call it differently" in str(caught.value)
                continue
            bulk(source, to, client=client, task="chat", progress=False)
            assert bulk(source, to, client=client, task="chat", progress=False).skipped == 6
