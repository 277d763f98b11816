"""Async clients that are dropped while their loop runs on leave nothing open behind."""

from __future__ import annotations

import asyncio
import gc
import threading
from dataclasses import replace

import pytest
from vessel_core import AsyncClient
from vessel_core.transport import async_shell

from tests.core.hosting import BUSY, asked, until
from tests.fake_server import Response, llamacpp_server, openai_embeddings


async def _ask_and_drop(base_url: str, *, cycle: bool) -> None:
    client = AsyncClient("llamacpp", base_url=base_url)
    await client.models()
    if cycle:
        vars(client)["itself"] = client


@pytest.mark.parametrize("cycle", [False, True])
async def test_a_dropped_client_is_closed_in_its_loop(cycle: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unclosed socket would be a warning, and warnings are errors here."""
    monkeypatch.setattr(async_shell, "GRACE", 0.0)
    with llamacpp_server() as server:
        await _ask_and_drop(server.base_url, cycle=cycle)
        gc.collect()
        closing = await _other_tasks()
        assert len(closing) == 1
        await asyncio.gather(*closing)
        gc.collect()


async def _other_tasks() -> set[asyncio.Task[None]]:
    """Let what was scheduled begin, and return it."""
    for _ in range(10):
        await asyncio.sleep(0)
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            return others
    return set()


@pytest.mark.parametrize("cycle", [False, True])
def test_a_client_dropped_at_the_end_of_its_loop_is_closed_by_the_loop(cycle: bool) -> None:
    with llamacpp_server() as server:
        for _ in range(20):
            asyncio.run(_ask_and_drop(server.base_url, cycle=cycle))  # raises for what is left open
            gc.collect()
        assert len(server.asked("/v1/models")) >= 20


def test_a_dropped_client_whose_loop_has_ended_is_no_trouble() -> None:
    with llamacpp_server() as server:
        client = AsyncClient("llamacpp", base_url=server.base_url)
        for _ in range(3):
            assert asyncio.run(client.models())
        del client
        gc.collect()


def test_a_host_that_is_asked_how_it_is_when_a_loop_ends_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vessel_core.pool.LINGER", 60.0)  # the hosts are looked after for as long as the test looks
    with llamacpp_server() as bad, llamacpp_server() as well:
        client = AsyncClient("llamacpp", base_url=[bad.base_url, well.base_url])

        async def embed() -> None:
            await client.embed(["one", "two", "three", "four"], batch_size=1)
            await asyncio.to_thread(until, lambda: "new" not in {host.state for host in client.hosts()})

        asyncio.run(embed())
        bad.routes["POST", "/v1/embeddings"] = BUSY
        models, answered = bad.routes["GET", "/v1/models"], threading.Event()
        assert isinstance(models, Response)
        bad.routes["GET", "/v1/models"] = replace(models, wait=answered)
        before = asked(bad, "/v1/models")

        async def embed_until_probed() -> None:
            await embed()
            await asyncio.to_thread(until, lambda: asked(bad, "/v1/models") > before)

        asyncio.run(embed_until_probed())
        assert client.hosts()[0].state == "aside"
        bad.routes["POST", "/v1/embeddings"] = openai_embeddings
        answered.set()
        until(lambda: client.hosts()[0].state == "trial")
        gc.collect()
