"""The classes for LlamaIndex over several servers: one argument."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.embeddings.vessel import VesselEmbedding
from llama_index.llms.vessel import Vessel
from llama_index.postprocessor.vessel import VesselRerank

from tests.hosts_table import *  # noqa: F403 - the requirements
from tests.hosts_table import Face


def stored(model: Any) -> Any:
    return model.__class__.from_dict(model.to_dict())


def rank(model: VesselRerank, texts: list[str]) -> list[str]:
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in texts]
    return [found.text for found in model.postprocess_nodes(nodes, query_str="a boat")]


async def aask(llm: Vessel, question: str) -> str:
    return str(await llm.acomplete(question))


@pytest.fixture
def face() -> Face:
    return Face(
        Vessel,
        VesselEmbedding,
        VesselRerank,
        "embed_batch_size",
        ask=lambda llm, question: str(llm.complete(question)),
        aask=aask,
        embed=lambda model, texts: model.get_text_embedding_batch(texts),
        aembed=lambda model, texts: model.aget_text_embedding_batch(texts),
        rank=rank,
        stored=stored,
    )


def test_an_embedding_is_stored_with_its_hosts() -> None:
    urls = ["http://one", "http://two"]
    assert stored(VesselEmbedding(base_url=urls)).base_url == urls


def test_a_login_is_not_stored() -> None:
    llm = Vessel(base_url=["http://ann:pass-word@one", "http://ann:pass-word@two"])
    assert "pass-word" not in str(llm.to_dict())
