"""The classes for LangChain over several servers: one argument."""

from __future__ import annotations

import asyncio
import json
import pickle
from typing import Any

import pytest
from langchain_core.load import dumps
from langchain_vessel import ChatVessel, VesselEmbeddings, VesselRerank
from vessel_core import Routing, Timeout
from vessel_core.errors import InvalidConfig

from tests.fake_server import FakeServer, llamacpp_server, transcript, vector_of


def chatting() -> FakeServer:
    return llamacpp_server(transcript("llamacpp/text.sse"))


def test_batches_are_spread_over_the_hosts() -> None:
    with chatting() as one, chatting() as other:
        chat = ChatVessel(backend="llamacpp", base_url=[one.base_url, other.base_url])
        assert all(reply.text for reply in chat.batch(["Hello"] * 8))
        assert all(reply.text for reply in asyncio.run(chat.abatch(["Hello"] * 8)))
        asked = [len(server.asked("/v1/chat/completions")) for server in (one, other)]
        assert sum(asked) == 16
        assert min(asked) >= 4
        assert f"base_url=['{one.base_url}', '{other.base_url}']" in repr(chat)


def test_embeddings_are_spread_over_the_hosts() -> None:
    with llamacpp_server() as one, llamacpp_server() as other:
        embeddings = VesselEmbeddings(
            backend="llamacpp", base_url=[one.base_url, other.base_url], batch_size=1, routing=Routing(slots=[1, 2])
        )
        texts = [f"text {number}" for number in range(8)]
        assert embeddings.embed_documents(texts) == [vector_of(text) for text in texts]
        assert asyncio.run(embeddings.aembed_documents(texts)) == [vector_of(text) for text in texts]
        assert min(len(server.asked("/v1/embeddings")) for server in (one, other)) >= 2


@pytest.mark.parametrize("made", [ChatVessel, VesselEmbeddings, VesselRerank])
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


def test_hosts_and_routing_survive_serialisation() -> None:
    urls = ["http://gpu-1:8080", "http://gpu-2:8080"]
    chat = ChatVessel(base_url=urls, routing=Routing(slots=[8, 2]))
    again = ChatVessel(**json.loads(dumps(chat))["kwargs"])
    assert (again.base_url, again.routing) == (urls, Routing(slots=[8, 2]))


def test_one_login_goes_to_all_hosts_and_two_are_refused() -> None:
    chat = ChatVessel(base_url=["http://ann:pass-word@one", "http://ann:pass-word@two"])
    assert chat.base_url == ["http://one", "http://two"]
    assert "pass-word" not in repr(chat)
    with pytest.raises(InvalidConfig, match="different logins") as caught:
        ChatVessel(base_url=["http://ann:pass-word@one", "http://two"])
    assert "pass-word" not in str(caught.value)
