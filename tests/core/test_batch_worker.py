"""What goes over to other machines with a worker."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest
from vessel_core.errors import InvalidConfig
from vessel_core.ray import BatchWorker

from tests.core.corpora import pa
from tests.core.hosting import until
from tests.fake_server import llamacpp_server, transcript


@pytest.mark.parametrize(
    "connection",
    [
        {"api_key": "SECRETKEY"},
        {"headers": {"Authorization": "Bearer SECRETKEY"}},
        {"headers": {"X-Api-Key": "SECRETKEY"}},
        {"base_url": "http://user:SECRETKEY@gpu:8080"},
        {"base_url": ["http://one", "http://user:SECRETKEY@two"]},
    ],
    ids=str,
)
def test_a_key_does_not_travel_with_the_job(connection: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig, match="would travel") as refused:
        BatchWorker("llamacpp", **connection)
    assert "SECRETKEY" not in str(refused.value)


def test_a_header_that_is_no_secret_travels() -> None:
    assert "gpu" in repr(BatchWorker("llamacpp", base_url="http://gpu:8080", headers={"X-Team": "blue"}))


def test_a_worker_that_is_dropped_while_another_loop_runs_closes_its_own() -> None:
    """A coroutine that is never awaited and an open connection would be warnings, and warnings are errors here."""
    with llamacpp_server() as server:
        worker = BatchWorker("llamacpp", base_url=server.base_url)
        assert worker({"text": ["one"]})["error"] == [None]
        runner: asyncio.Runner = worker._made.runner  # pyright: ignore[reportPrivateUsage]
        loop, before = runner.get_loop(), set(threading.enumerate())

        async def dropping(workers: list[BatchWorker]) -> None:
            workers.clear()
            gc.collect()
            await asyncio.sleep(0)

        workers = [worker]
        del worker
        asyncio.run(dropping(workers))
        until(loop.is_closed)
        for thread in set(threading.enumerate()) - before:
            thread.join(20)
        gc.collect()


EMBEDDED = {"embedding": pa.list_(pa.float32()), "error": pa.string(), "attempts": pa.int64()}
ANSWERED = {
    **dict.fromkeys(("text", "reasoning", "tool_calls", "finish", "error"), pa.string()),
    **dict.fromkeys(("prompt_tokens", "completion_tokens", "attempts"), pa.int64()),
}


@pytest.mark.parametrize("given", [["one", "two"], ["one", ""], ["", ""], []], ids=str)
@pytest.mark.parametrize(("task", "types"), [("embed", EMBEDDED), ("chat", ANSWERED)])
def test_columns_have_the_same_types_whatever_a_batch_holds(task: Any, types: dict[str, Any], given: list[str]) -> None:
    """An engine writes each batch to a file of its own; files of different types are no table."""
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        worker = BatchWorker("llamacpp", base_url=server.base_url, task=task, column="asked")
        found = worker({"asked": pa.array(given, pa.string())})
    assert {name: column.type for name, column in found.items() if name != "asked"} == types
    assert [error is None for error in found["error"].to_pylist()] == [bool(text) for text in given]


def test_of_a_list_come_lists() -> None:
    with llamacpp_server() as server:
        found = BatchWorker("llamacpp", base_url=server.base_url)({"text": ["one", ""]})
    assert found["error"] == [None, "The row has nothing in its column 'text'."]
    assert found["embedding"][1] is None
