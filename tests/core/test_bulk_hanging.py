"""A server that hangs under a whole corpus, and a row that only looks like it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from vessel_core.bulk import bulk
from vessel_core.errors import ServerTimeout

from tests.core.corpora import alive, corpus, read
from tests.fake_server import FakeServer, Request, Response, llamacpp_server, openai_embeddings, transcript

LONG = 60.0
TASKS = ["embed", "chat"]


def answer(request: Request) -> Response:
    if request.path == "/v1/embeddings":
        return openai_embeddings(request)
    return Response.stream(transcript("llamacpp/text.sse"))


def server_of(hangs: Callable[[Request], bool]) -> FakeServer:
    """A server that says it is well, and hangs where it is told to."""
    never = threading.Event()

    def respond(request: Request) -> Response:
        return Response(wait=never) if hangs(request) else answer(request)

    return llamacpp_server(
        routes={("POST", "/v1/embeddings"): respond, ("POST", "/v1/chat/completions"): respond},
    )


def counted(hangs: Callable[[int], bool]) -> Callable[[Request], bool]:
    """Hang at requests by their numbers."""
    seen: list[Request] = []

    def decide(request: Request) -> bool:
        seen.append(request)
        return hangs(len(seen))

    return decide


@pytest.mark.parametrize("task", TASKS)
def test_a_server_that_hangs_for_good_ends_the_run_and_makes_no_errors_of_rows(tmp_path: Path, task: Any) -> None:
    to = tmp_path / "o.jsonl"
    with server_of(counted(lambda number: number > 2)) as server, pytest.raises(ServerTimeout):
        bulk(
            corpus(tmp_path / "i.jsonl", 40),
            to,
            client=alive(server),
            task=task,
            batch_size=4,
            concurrency=2,
            timeout=1,
            patience=1,
            progress=False,
        )
    assert 0 < len(read(to)) < 10
    assert all(row["error"] is None for row in read(to))


@pytest.mark.parametrize("task", TASKS)
def test_a_server_that_hung_for_a_while_is_gone_on_with(tmp_path: Path, task: Any) -> None:
    to = tmp_path / "o.jsonl"
    with server_of(counted(lambda number: 2 < number < 6)) as server:
        report = bulk(
            corpus(tmp_path / "i.jsonl", 12),
            to,
            client=alive(server),
            task=task,
            batch_size=4,
            concurrency=1,
            timeout=1,
            patience=LONG,
            progress=False,
        )
    assert (report.rows, report.errors) == (12, 0)
    assert max(row["attempts"] for row in read(to)) < 4


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("task", TASKS)
def test_a_row_that_takes_too_long_is_an_error_and_no_end_of_the_run(tmp_path: Path, task: Any, rows: int) -> None:
    """Also where there is nobody else who could tell that the server is well."""
    to = tmp_path / "o.jsonl"
    with server_of(lambda request: b"text 0" in (request.body or b"")) as server:
        report = bulk(
            corpus(tmp_path / "i.jsonl", rows),
            to,
            client=alive(server),
            task=task,
            batch_size=4,
            concurrency=1,
            timeout=1,
            patience=LONG,
            progress=False,
        )
    assert (report.rows, report.errors) == (rows, 1)
    assert [row["id"] for row in read(to) if row["error"]] == ["row-0"]
