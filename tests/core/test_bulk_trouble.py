"""What ends a run of a whole corpus: another model, a full disk, options that there are not."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from vessel_core.bulk import bulk
from vessel_core.errors import InvalidConfig, InvalidRequest, VesselError
from vessel_core.ray import BatchWorker

from tests.core.corpora import alive, asked, corpus, read
from tests.core.hosting import until_met
from tests.fake_server import Request, Response, llamacpp_server, openai_embeddings, transcript, vector_of

LOADING = Response.json({"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}, 503)


def answer_of(model: str) -> Response:
    """A whole answer, which says what model wrote it."""
    text = transcript("llamacpp/text.sse")
    return Response.stream(text.replace(b'"model":"plain.gguf"', f'"model":"{model}"'.encode()))


def answering(*models: str) -> dict[tuple[str, str], Any]:
    return {("POST", "/v1/chat/completions"): [answer_of(model) for model in models]}


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


@pytest.mark.parametrize("model", [None, "mine"])
def test_a_server_that_answers_by_another_name_meanwhile_ends_a_run(tmp_path: Path, model: str | None) -> None:
    """llama.cpp says in each answer what it has, whatever was asked for."""
    to = tmp_path / "o.jsonl"
    with llamacpp_server(routes=answering(*["plain.gguf"] * 3, "other.gguf")) as server:
        with pytest.raises(InvalidConfig, match=r"'other\.gguf', and 'plain\.gguf' answered before"):
            bulk(
                corpus(tmp_path / "i.jsonl", 6),
                to,
                client=alive(server),
                task="chat",
                model=model,
                concurrency=1,
                progress=False,
            )
    assert [row["id"] for row in read(to)] == ["row-0", "row-1", "row-2"]


@pytest.mark.parametrize("task", ["embed", "chat"])
def test_a_worker_notices_another_model_from_one_batch_to_the_next(task: Any) -> None:
    with llamacpp_server(routes=answering("plain.gguf", "other.gguf")) as server:
        worker = BatchWorker("llamacpp", base_url=server.base_url, task=task)
        assert worker({"text": ["one"]})["error"] == [None]
        server.routes["POST", "/v1/embeddings"] = Response.json({"data": [{"index": 0, "embedding": [1.0, 2.0]}]})
        with pytest.raises(InvalidConfig, match="Another model"):
            worker({"text": ["two"]})


def test_hosts_may_call_one_model_differently_in_their_answers(tmp_path: Path) -> None:
    with (
        llamacpp_server(answer_of("plain.gguf")) as one,
        llamacpp_server(answer_of("copy.gguf"), model="copy.gguf") as other,
    ):
        client = alive(one, other)
        until_met(client)
        report = bulk(corpus(tmp_path / "i.jsonl"), tmp_path / "o.jsonl", client=client, task="chat", progress=False)
        assert min(len(server.asked("/v1/chat/completions")) for server in (one, other)) > 0
    assert (report.rows, report.errors) == (20, 0)
