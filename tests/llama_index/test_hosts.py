"""The classes for LlamaIndex over several servers: one argument."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest
from llama_index.embeddings.vessel import VesselEmbedding
from llama_index.llms.vessel import Vessel
from llama_index.postprocessor.vessel import VesselRerank
from vessel_core import Routing, Timeout
from vessel_core.errors import InvalidConfig

from tests.fake_server import FakeServer, llamacpp_server, transcript, vector_of


def chatting() -> FakeServer:
    return llamacpp_server(transcript("llamacpp/text.sse"))


def test_completions_are_spread_over_the_hosts() -> None:
    async def ask(llm: Vessel) -> list[str]:
        return [str(reply) for reply in await asyncio.gather(*(llm.acomplete("Hello") for _ in range(8)))]

    with chatting() as one, chatting() as other:
        llm = Vessel(backend="llamacpp", base_url=[one.base_url, other.base_url])
        assert str(llm.complete("Hello"))
        assert all(asyncio.run(ask(llm)))
        asked = [len(server.asked("/v1/chat/completions")) for server in (one, other)]
        assert sum(asked) == 9
        assert min(asked) >= 2
        assert f"base_url=['{one.base_url}', '{other.base_url}']" in repr(llm)


def test_embeddings_are_spread_over_the_hosts() -> None:
    with llamacpp_server() as one, llamacpp_server() as other:
        urls = [one.base_url, other.base_url]
        embedding = VesselEmbedding(backend="llamacpp", base_url=urls, embed_batch_size=1)
        texts = [f"text {number}" for number in range(8)]
        assert embedding.get_text_embedding_batch(texts) == [vector_of(text) for text in texts]
        assert asyncio.run(embedding.aget_text_embedding_batch(texts)) == [vector_of(text) for text in texts]
        assert min(len(server.asked("/v1/embeddings")) for server in (one, other)) >= 2


@pytest.mark.parametrize("made", [Vessel, VesselEmbedding, VesselRerank])
def test_it_is_pickled_in_two_kilobytes(made: Any) -> None:
    urls = [f"http://gpu-{number}.internal:8080" for number in range(20)]
    object_ = made(
        base_url=urls,
        model="a-model",
        timeout=Timeout(first_token=5),
        headers={"X-Team": "a", "X-Api-Key": "secret-1"},
        api_key="secret-2",
        routing=Routing(slots=[8, 2] * 10, affinity=True),
    )
    pickled = pickle.dumps(object_)
    assert len(pickled) <= 2048
    assert b"secret-" not in pickled
    again = pickle.loads(pickled)
    assert (again.base_url, again.timeout, again.routing) == (urls, Timeout(first_token=5), object_.routing)
    assert list(again.headers) == ["X-Team"]


@pytest.mark.parametrize("made", [Vessel, VesselEmbedding])
def test_hosts_and_routing_survive_a_dict(made: Any) -> None:
    stored = made(base_url=["http://one", "http://two"], routing=Routing(slots=[8, 2])).to_dict()
    again = made.from_dict(stored)
    assert (again.base_url, again.routing) == (["http://one", "http://two"], Routing(slots=[8, 2]))


def test_one_login_goes_to_all_hosts_and_two_are_refused() -> None:
    llm = Vessel(base_url=["http://ann:pass-word@one", "http://ann:pass-word@two"])
    assert llm.base_url == ["http://one", "http://two"]
    assert "pass-word" not in repr(llm) + str(llm.to_dict())
    with pytest.raises(InvalidConfig, match="different logins"):
        Vessel(base_url=["http://ann:pass-word@one", "http://two"])
