"""What both faces must do over several hosts: one table, asked of each by `tests/langchain` and `tests/llama_index`.

A module that imports these requirements has a fixture `face`, which says what its classes are called.
"""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from vessel_core import Routing, Timeout
from vessel_core.errors import InvalidConfig

from tests.core.hosting import until
from tests.fake_server import FakeServer, Request, Response, llamacpp_server, openai_embeddings, transcript, vector_of

TEXT = transcript("llamacpp/text.sse")
URLS = [f"http://gpu-{number}.internal:8080" for number in range(20)]


@dataclass(frozen=True)
class Face:
    """A framework's classes, and how they are asked."""

    chat: Any
    embeddings: Any
    rerank: Any
    one_a_request: str
    ask: Callable[[Any, str], str]
    aask: Callable[[Any, str], Awaitable[str]]
    embed: Callable[[Any, list[str]], list[list[float]]]
    aembed: Callable[[Any, list[str]], Coroutine[Any, Any, list[list[float]]]]
    rank: Callable[[Any, list[str]], list[str]]
    stored: Callable[[Any], Any]

    def several(self, model: Any, *questions: str) -> list[str]:
        """Ask all at once, async."""

        async def main() -> list[str]:
            return await asyncio.gather(*(self.aask(model, question) for question in questions))

        return asyncio.run(main())

    @property
    def models(self) -> Sequence[Any]:
        return (self.chat, self.embeddings, self.rerank)


class Together:
    """Two servers that answer once both were asked: neither answers everything before the other one is met."""

    def __init__(self, path: str, answer: Callable[[Request], Response]) -> None:
        self.asked = [threading.Event(), threading.Event()]
        self.servers = [llamacpp_server(routes={("POST", path): self._at(each, answer)}) for each in self.asked]

    def _at(self, mine: threading.Event, answer: Callable[[Request], Response]) -> Callable[[Request], Response]:
        def answered(request: Request) -> Response:
            mine.set()
            assert all(each.wait(20) for each in self.asked)
            return answer(request)

        return answered

    def __enter__(self) -> list[str]:
        return [server.__enter__().base_url for server in self.servers]

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.close()


def chatting_together() -> Together:
    return Together("/v1/chat/completions", lambda _: Response.stream(TEXT))


def asked(server: FakeServer) -> int:
    return len(server.asked("/v1/chat/completions"))


def test_chats_are_spread_over_the_hosts(face: Face) -> None:
    with (together := chatting_together()) as urls:
        model = face.chat(backend="llamacpp", base_url=urls)
        assert all(face.several(model, *["Hello"] * 12))
        assert face.ask(model, "Hello")
        assert sum(map(asked, together.servers)) == 13
        assert f"base_url={urls}" in repr(model)


def test_embeddings_are_spread_over_the_hosts(face: Face) -> None:
    with Together("/v1/embeddings", openai_embeddings) as urls:
        model = face.embeddings(
            backend="llamacpp", base_url=urls, routing=Routing(slots=[1, 2]), **{face.one_a_request: 1}
        )
        texts = [f"text {number}" for number in range(8)]
        assert face.embed(model, texts) == [vector_of(text) for text in texts]
        assert asyncio.run(face.aembed(model, texts)) == [vector_of(text) for text in texts]


def ranked(request: Request) -> Response:
    """The longer a document is, the better."""
    documents = request.json()["documents"]
    return Response.json({"results": [{"index": at, "relevance_score": len(it)} for at, it in enumerate(documents)]})


def test_rankings_are_spread_over_the_hosts(face: Face) -> None:
    texts = ["a boat", "a boat in the harbour"]
    with (
        llamacpp_server(routes={("POST", "/v1/rerank"): ranked}) as one,
        llamacpp_server(routes={("POST", "/v1/rerank"): ranked}) as other,
    ):
        model = face.rerank(backend="llamacpp", base_url=[one.base_url, other.base_url])

        def both() -> bool:
            assert face.rank(model, texts) == texts[::-1]
            asked = [[each.json()["documents"] for each in server.asked("/v1/rerank")] for server in (one, other)]
            return all(texts in each for each in asked)

        until(both)


def test_an_answer_whose_host_dies_in_the_middle_is_begun_anew_on_another_one(face: Face) -> None:
    cut = Response.stream(TEXT[: len(TEXT) // 2], cut="rst")
    with llamacpp_server(cut) as bad, llamacpp_server(TEXT) as well:
        expected = face.ask(face.chat(backend="llamacpp", base_url=well.base_url), "Hello")
        model = face.chat(backend="llamacpp", base_url=[bad.base_url, well.base_url])
        assert [face.ask(model, "Hello") for _ in range(3)] == [expected] * 3
        assert face.several(model, *["Hello"] * 6) == [expected] * 6
        assert asked(bad) >= 1


@pytest.mark.parametrize("which", [0, 1, 2], ids=["chat", "embeddings", "rerank"])
def test_a_model_of_twenty_hosts_is_pickled_in_two_kilobytes(face: Face, which: int) -> None:
    made = face.models[which](
        base_url=URLS,
        model="a-model",
        timeout=Timeout(first_token=5),
        headers={"X-Team": "a", "X-Api-Key": "secret-1"},
        api_key="secret-2",
        routing=Routing(slots=[8, 2] * 10, affinity=True),
    )
    pickled = pickle.dumps(made)
    assert len(pickled) <= 2048
    assert b"secret-" not in pickled
    again = pickle.loads(pickled)
    assert (again.base_url, again.timeout, again.routing) == (URLS, Timeout(first_token=5), made.routing)
    assert list(again.headers) == ["X-Team"]
    assert repr(again) == repr(made).replace(", 'X-Api-Key': SecretStr('**********')", "")


def test_hosts_and_routing_are_stored_with_a_model(face: Face) -> None:
    again = face.stored(face.chat(base_url=URLS[:2], routing=Routing(slots=[8, 2])))
    assert (again.base_url, again.routing) == (URLS[:2], Routing(slots=[8, 2]))


def test_a_routing_that_does_not_fit_the_hosts_is_refused(face: Face) -> None:
    for model in face.models:
        with pytest.raises(InvalidConfig, match="does not fit 2 hosts"):
            model(base_url=URLS[:2], routing=Routing(slots=[1, 2, 3]))


def test_one_login_goes_to_all_hosts_and_two_are_refused(face: Face) -> None:
    model = face.chat(base_url=["http://ann:pass-word@one", "http://ann:pass-word@two"])
    assert model.base_url == ["http://one", "http://two"]
    assert "pass-word" not in repr(model)
    with pytest.raises(InvalidConfig, match="different logins") as caught:
        face.chat(base_url=["http://ann:pass-word@one", "http://two"])
    assert "pass-word" not in str(caught.value)
