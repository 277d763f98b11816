"""Nothing blocks the event loop: LangGraph's server raises `BlockingError` where a program does.

It uses the package blockbuster, whose dependency has to be compiled; the fixture refuses the same calls.
"""

from __future__ import annotations

import asyncio
import io
import socket
import time
from pathlib import Path
from typing import Any, cast

import langchain.agents
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from langchain_vessel import ChatVessel, VesselEmbeddings, VesselLLM, VesselRerank
from pydantic import BaseModel
from vessel_core.local import LocalServer

from tests.langchain.media import picture

PLACES: list[tuple[Any, str]] = [
    (io, "open"),
    (time, "sleep"),
    (socket, "create_connection"),  # and not connect: what is refused there leaves an open socket
    (socket.socket, "recv"),
    (socket.socket, "send"),
    (socket.socket, "sendall"),
]


class BlockingError(Exception):
    """What blockbuster raises has this name."""


class Trip(BaseModel):
    """A trip."""

    city: str


@pytest.fixture
def strict_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse what blocks wherever an event loop is running."""

    def refusing(name: str, real: Any) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            at_once = args and isinstance(args[0], socket.socket) and args[0].gettimeout() == 0
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                return real(*args, **named)
            if not at_once:
                raise BlockingError(f"Blocking call to {name}")
            return real(*args, **named)

        return call

    for place, name in PLACES:
        monkeypatch.setattr(place, name, refusing(name, getattr(place, name)))


pytestmark = pytest.mark.usefixtures("strict_loop")


async def test_the_fixture_refuses_what_blocks() -> None:
    with pytest.raises(BlockingError):
        Path(__file__).read_text(encoding="utf-8")  # noqa: ASYNC240 - that is the point
    with pytest.raises(BlockingError):
        ChatVessel(base_url="http://127.0.0.1:9").get_num_tokens("Hello")


async def test_no_asynchronous_call_blocks(
    chat_server: LocalServer,
    embedding_server: LocalServer,
    rerank_server: LocalServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLAMACPP_URL", chat_server.base_url)
    assert (await ChatVessel(max_tokens=20, cache=InMemoryCache()).ainvoke("Hello")).text
    chat = ChatVessel(base_url=chat_server.base_url, max_tokens=200)
    assert [chunk async for chunk in chat.astream("Hello")]
    assert await chat.with_structured_output(Trip, include_raw=True).ainvoke("To Rome")
    assert await VesselLLM(base_url=chat_server.base_url, max_tokens=5).ainvoke("Hello")
    assert len(await VesselEmbeddings(base_url=embedding_server.base_url).aembed_documents(["a"] * 100)) == 100
    documents = [Document("a"), Document("b")]
    assert await VesselRerank(base_url=rerank_server.base_url).acompress_documents(documents, "a")


async def test_a_picture_in_a_file_is_read_beside_the_loop(chat_server: LocalServer, tmp_path: Path) -> None:
    file = tmp_path / "red.png"
    await asyncio.to_thread(file.write_bytes, picture("red"))
    content: Any = [{"type": "text", "text": "Which colour is this?"}, {"type": "image", "image": file}]
    chat = ChatVessel(base_url=chat_server.base_url, max_tokens=40)
    assert "red" in (await chat.ainvoke([HumanMessage(content)])).text


async def test_a_profile_that_may_not_be_asked_for_is_known_after_the_next_call(chat_server: LocalServer) -> None:
    chat = ChatVessel(base_url=chat_server.base_url, max_tokens=20)
    assert chat.profile is None
    await chat.ainvoke("Hello")
    assert cast("Any", chat.profile)["structured_output"] is True
    other = ChatVessel(base_url=chat_server.base_url)
    assert await other.aprofile() == other.profile == chat.profile


async def test_an_agent_gives_an_object(chat_server: LocalServer) -> None:
    chat = ChatVessel(base_url=chat_server.base_url, max_tokens=200)
    agent: Any = cast("Any", langchain.agents).create_agent(chat, response_format=Trip)
    assert isinstance((await agent.ainvoke({"messages": [("human", "To Rome")]}))["structured_response"], Trip)
