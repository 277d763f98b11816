"""The classes for LangChain over several servers: one argument."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.load import dumps
from langchain_vessel import ChatVessel, VesselEmbeddings, VesselRerank

from tests.hosts_table import *  # noqa: F403 - the requirements
from tests.hosts_table import Face, asked, chatting_together


def stored(model: Any) -> Any:
    return type(model)(**json.loads(dumps(model))["kwargs"])


def rank(model: VesselRerank, texts: list[str]) -> list[str]:
    return [found.page_content for found in model.compress_documents([Document(text) for text in texts], "a boat")]


async def aask(chat: ChatVessel, question: str) -> str:
    return (await chat.ainvoke(question)).text


@pytest.fixture
def face() -> Face:
    return Face(
        ChatVessel,
        VesselEmbeddings,
        VesselRerank,
        "batch_size",
        ask=lambda chat, question: chat.invoke(question).text,
        aask=aask,
        embed=lambda model, texts: model.embed_documents(texts),
        aembed=lambda model, texts: model.aembed_documents(texts),
        rank=rank,
        stored=stored,
    )


def test_batches_are_spread_over_the_hosts() -> None:
    with (together := chatting_together()) as urls:
        chat = ChatVessel(backend="llamacpp", base_url=urls)
        assert all(reply.text for reply in chat.batch(["Hello"] * 8))
        assert all(reply.text for reply in asyncio.run(chat.abatch(["Hello"] * 8)))
        assert sum(map(asked, together.servers)) == 16
