"""What goes over to other machines with a worker."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest
from vessel_core.errors import InvalidConfig
from vessel_core.ray import BatchWorker

from tests.core.hosting import until
from tests.fake_server import llamacpp_server


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
