"""One client over several hosts, sync and async: two real llama.cpp servers, and scripted ones for what these won't do."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from vessel_core import AsyncClient, Client, LocalServer, Message, Routing
from vessel_core.errors import (
    AuthFailed,
    InvalidConfig,
    InvalidRequest,
)
from vessel_core.hosts import UNKNOWN_SLOTS

from tests.core.driving import Connect
from tests.core.hosting import HELLO, asked, chatting, until, until_met
from tests.fake_server import (
    Response,
    Routes,
    llamacpp_server,
    transcript,
    vector_of,
)

# ------------------------------------------------------------ real servers


def test_a_real_server_is_killed_and_comes_back_and_no_text_is_lost() -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(LocalServer.demo("embedding", parallel=2)) for _ in range(2)]
        client = stack.enter_context(Client("llamacpp", base_url=[server.base_url for server in servers]))
        texts = [f"word {number}" for number in range(400)]
        expected = Client("llamacpp", base_url=servers[0].base_url).embed(texts).vectors
        client.embed(["first"])
        until_met(client)
        pid, port = servers[1].pid, int(servers[1].base_url.rpartition(":")[2])
        assert pid is not None

        def embed(number: int) -> list[float]:
            if number == 150:
                os.kill(pid, signal.SIGKILL)
            return client.embed([texts[number]]).vectors[0]

        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(embed, range(400)))
        assert [pytest.approx(vector, abs=1e-5) for vector in found] == expected
        first, second = client.hosts()
        assert (first.state, first.slots, second.state) == ("ready", 2, "aside")
        assert second.answered > 10  # it had its share before
        assert "aside" in repr(client.target.pool)

        back = stack.enter_context(LocalServer.demo("embedding", parallel=2, port=port))
        assert back.base_url == servers[1].base_url
        until(lambda: bool(client.embed(["again"])) and client.hosts()[1].state == "ready")
        assert second.answered < client.hosts()[1].answered


def test_a_real_server_is_killed_in_the_middle_of_its_answers_and_no_answer_is_lost(chat_server: LocalServer) -> None:
    with LocalServer.demo(parallel=4) as other:
        client = Client(base_url=[chat_server.base_url, other.base_url])
        client.chat(HELLO, max_tokens=1)
        until_met(client)
        assert other.pid is not None

        def ask(number: int) -> int:
            if number == 40:
                until(lambda: client.hosts()[1].in_flight >= 2)
                os.kill(other.pid or 0, signal.SIGKILL)
            reply = client.chat(
                [{"role": "user", "content": f"Tell me of {number} boats."}], max_tokens=48, temperature=0
            )
            return len(reply.text)

        with ThreadPoolExecutor(8) as threads:
            lengths = list(threads.map(ask, range(80)))
        assert len(lengths) == 80
        assert all(lengths)
        assert client.hosts()[1].failed >= 1
        assert sum(host.in_flight for host in client.hosts()) == 0


def test_two_real_servers_answer_chats_side_by_side(chat_server: LocalServer) -> None:
    async def ask(client: AsyncClient) -> list[str]:
        replies = await asyncio.gather(*(client.chat(HELLO, max_tokens=8) for _ in range(12)))
        return [reply.text for reply in replies]

    async def main(urls: list[str]) -> tuple[list[str], list[int]]:
        async with AsyncClient(base_url=urls) as client, asyncio.timeout(20):
            while {host.state for host in client.hosts()} != {"ready"}:
                await client.models()
            return await ask(client), [host.answered for host in client.hosts()]

    with LocalServer.demo() as other:
        texts, answered = asyncio.run(main([chat_server.base_url, other.base_url]))
    assert len(texts) == 12
    assert all(texts)
    assert min(answered) >= 3


# ------------------------------------------------------------ routing


def test_slots_are_read_from_the_server_and_calls_are_spread(connect: Connect) -> None:
    with llamacpp_server() as one, llamacpp_server() as other:
        client = connect("auto", base_url=[one.base_url, other.base_url])
        until_met(client)  # calls begin as soon as one host is there
        client.embed([f"text {number}" for number in range(8)], batch_size=1)
        assert [host.slots for host in client.hosts()] == [2, 2]
        assert asked(one) + asked(other) == 8
        assert min(asked(one), asked(other)) >= 2
        assert repr(client).startswith(f"{type(client).__name__}(") or "base_url=['http" in repr(client.client)  # type: ignore[attr-defined]


@pytest.mark.parametrize("answer", [Response.text("File Not Found", 404), Response.json({"error": "off"}, 501)])
def test_hosts_of_llamacpp_that_do_not_tell_their_slots_are_used_all_the_same(
    connect: Connect, answer: Response
) -> None:
    routes: Routes = {("GET", "/props"): answer}
    with llamacpp_server(routes=routes) as one, llamacpp_server(routes=routes) as other:
        client = connect(base_url=[one.base_url, other.base_url])
        client.embed(["first"])
        until_met(client)
        assert [(host.state, host.slots) for host in client.hosts()] == [("ready", UNKNOWN_SLOTS)] * 2


def test_a_stream_is_in_flight_until_it_is_closed(connect: Connect) -> None:
    gate = threading.Event()
    text = transcript("llamacpp/text.sse")
    half = text.index(b"\n\n", len(text) // 2) + 2
    with (
        llamacpp_server([text[:half], gate, text[half:]]) as one,
        llamacpp_server([text[:half], gate, text[half:]]) as two,
    ):
        client = connect(base_url=[one.base_url, two.base_url])
        stream = client.stream(HELLO)
        next(stream)
        assert sum(host.in_flight for host in client.hosts()) == 1
        stream.close()
        assert sum(host.in_flight for host in client.hosts()) == 0

        stream = client.stream(HELLO)
        next(stream)
        del stream  # abandoned
        until(lambda: sum(host.in_flight for host in client.hosts()) == 0)


def test_a_cancelled_call_gives_its_place_back() -> None:
    async def main(urls: list[str]) -> list[int]:
        async with AsyncClient("llamacpp", base_url=urls) as client:
            task = asyncio.ensure_future(client.embed(["text"]))
            await asyncio.to_thread(until, lambda: sum(host.in_flight for host in client.hosts()) == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return [host.in_flight for host in client.hosts()]

    slow = {("POST", "/v1/embeddings"): Response(wait=threading.Event())}
    with llamacpp_server(routes=slow) as one, llamacpp_server(routes=slow) as other:
        assert asyncio.run(main([one.base_url, other.base_url])) == [0, 0]


def test_a_conversation_stays_on_its_host() -> None:
    turns: list[Message] = [{"role": "user", "content": "Tell me of the sea. " * 30}]
    with chatting() as one, chatting() as other:
        client = Client("llamacpp", base_url=[one.base_url, other.base_url], routing=Routing(affinity=True))
        for _ in range(4):
            reply = client.chat(turns)
            turns.append({"role": "assistant", "content": reply.text})
            turns.append({"role": "user", "content": "And more?"})
        path = "/v1/chat/completions"
        assert sorted([asked(one, path), asked(other, path)]) == [0, 4]


# ------------------------------------------------------------ keys, and one of several


def test_a_key_goes_to_each_host_and_a_login_to_its_own_only() -> None:
    with llamacpp_server() as one, llamacpp_server() as other:
        with_login = one.base_url.replace("http://", "http://ann:pass-word@")
        client = Client("llamacpp", base_url=[with_login, other.base_url])
        until_met(client)
        client.embed([f"text {number}" for number in range(6)], batch_size=1)
        assert all("authorization" in request.headers for request in one.requests)
        assert not any("authorization" in request.headers for request in other.requests)
        assert "pass-word" not in repr(client) + repr(client.hosts()) + repr(client.target)
        assert b"pass-word" not in pickle.dumps(client)

        other.requests.clear()
        keyed = Client("llamacpp", base_url=[one.base_url, other.base_url], api_key="k-123456")
        until_met(keyed)
        keyed.embed([f"text {number}" for number in range(6)], batch_size=1)
        assert asked(other) >= 1
        assert {request.headers["authorization"] for request in other.requests} == {"Bearer k-123456"}


def test_a_wrong_key_is_said(keyed_server: LocalServer) -> None:
    with LocalServer.demo(api_key="secret-key") as other:
        client = Client("llamacpp", base_url=[keyed_server.base_url, other.base_url], api_key="wrong")
        with pytest.raises(AuthFailed):
            client.chat(HELLO)


def test_what_concerns_one_host_is_asked_of_one(connect: Connect) -> None:
    slots = {("GET", "/slots"): Response.json([{"id": 0}])}
    with llamacpp_server(routes=slots) as one, llamacpp_server(routes=slots) as other:
        client = connect(base_url=[one.base_url, other.base_url])
        with pytest.raises(InvalidRequest, match="several hosts"):
            client.slots()
        alone = Client(target=client.at(1).target)
        assert alone.slots() == [{"id": 0}]
        assert (asked(one, "/slots"), asked(other, "/slots")) == (0, 1)
        assert client.at(one.base_url).target.where == one.base_url
        with pytest.raises(InvalidConfig, match="no host"):
            client.at(7)


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": []},
        {"base_url": ["http://a", 7]},
        {"base_url": ["http://a", None]},
        {"base_url": [None]},
        {"base_url": "http://a", "routing": Routing()},
        {"routing": Routing()},
        {"base_url": ["http://a"], "routing": Routing(slots=[1, 2])},
        {"base_url": ["http://a", "http://b"], "routing": {"slots": 2}},
    ],
    ids=str,
)
def test_hosts_that_can_not_be_right_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig):
        Client(**options)


def test_a_list_may_have_one_host() -> None:
    with llamacpp_server() as server:
        client = Client("llamacpp", base_url=[server.base_url], routing=Routing(slots=[2], affinity=True))
        assert client.embed(["text"]).rows


def test_a_client_of_several_hosts_is_pickled_small_and_counts_anew() -> None:
    with llamacpp_server() as one, llamacpp_server() as other:
        client = Client(
            "llamacpp", base_url=[one.base_url, other.base_url], timeout=5, api_key="k-123456", headers={"X-Team": "a"}
        )
        client.embed(["text"])
        pickled = pickle.dumps(client)
        assert len(pickled) <= 1024
        again = pickle.loads(pickled)
        assert {host.state for host in again.hosts()} == {"new"}
        assert again.embed(["text"]).vectors == [vector_of("text")]


def test_a_pickle_holds_nothing_of_what_was_learnt_of_the_hosts() -> None:
    with llamacpp_server() as one, llamacpp_server() as other:
        client = Client("llamacpp", base_url=[one.base_url, other.base_url])
        before = len(pickle.dumps(client))
        client.embed(["text"])
        client.model_info()
        until_met(client)
        assert client.target.described
        assert len(pickle.dumps(client)) == before


def test_a_forked_child_counts_anew() -> None:
    with llamacpp_server(["", threading.Event()]) as one, llamacpp_server(["", threading.Event()]) as other:  # type: ignore[list-item]
        client = Client("llamacpp", base_url=[one.base_url, other.base_url], routing=Routing(slots=1, overcommit=1))
        client.embed(["text"])
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            try:
                os.write(write, str(len(client.embed(["in the child"]).vectors)).encode())
            finally:
                os._exit(0)
        os.close(write)
        assert os.read(read, 10) == b"1"
        os.waitpid(child, 0)
        os.close(read)
