"""The ways there are to ask a chat model, each asked once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream
from langchain_vessel import ChatVessel

from tests.fake_server import FakeServer

OUTPUT_VERSIONS = ("v0", "v1")
BETA = "ignore::langchain_core._api.beta_decorator.LangChainBetaWarning"
"""What LangChain warns of where its events are used."""


def model(server: FakeServer, **options: Any) -> ChatVessel:
    return ChatVessel(base_url=server.base_url, **options)


def total(chunks: Sequence[AIMessageChunk]) -> AIMessageChunk:
    return chunks[0].__add__(list(chunks[1:]))


async def every_way(chat: ChatVessel) -> dict[str, AIMessage]:
    """Ask once by each way there is, and return the whole messages."""
    events = chat.stream_events("x", version="v3")
    assert_valid_event_stream(list(events))
    async_events = await chat.astream_events("x", version="v3")
    assert_valid_event_stream([event async for event in async_events])
    return {
        "invoke": chat.invoke("x"),
        "ainvoke": await chat.ainvoke("x"),
        "stream": total(list(chat.stream("x"))),
        "astream": total([each async for each in chat.astream("x")]),
        "v3": events.output,
        "async v3": await async_events.output,
    }
