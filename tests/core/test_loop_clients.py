"""Async clients that are dropped while their loop runs on leave nothing open behind."""

from __future__ import annotations

import asyncio
import gc

import pytest
from vessel_core import AsyncClient

from tests.fake_server import llamacpp_server


async def _ask_and_drop(base_url: str, *, cycle: bool) -> None:
    client = AsyncClient("llamacpp", base_url=base_url)
    await client.models()
    if cycle:
        vars(client)["itself"] = client


@pytest.mark.parametrize("cycle", [False, True])
async def test_a_dropped_client_is_closed_in_its_loop(cycle: bool) -> None:
    """An unclosed socket would be a warning, and warnings are errors here."""
    with llamacpp_server() as server:
        await _ask_and_drop(server.base_url, cycle=cycle)
        gc.collect()
        await asyncio.sleep(0)  # the closing begins as a task of its own
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        gc.collect()


def test_a_dropped_client_whose_loop_has_ended_is_no_trouble() -> None:
    with llamacpp_server() as server:
        client = AsyncClient("llamacpp", base_url=server.base_url)
        for _ in range(3):
            assert asyncio.run(client.models())
        del client
        gc.collect()
