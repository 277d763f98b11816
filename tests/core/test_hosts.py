"""One client over several hosts, sync and async: two real llama.cpp servers, and scripted ones for what these won't do."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from vessel_core import AsyncClient, Client, LocalServer, Message, Routing, Timeout
from vessel_core.errors import (
    AuthFailed,
    InvalidConfig,
    InvalidRequest,
    ModelNotFound,
    ServerUnreachable,
    StreamInterrupted,
)
from vessel_core.retry import Retries

from tests.core.driving import Connect
from tests.fake_server import (
    FakeServer,
    Request,
    Response,
    llamacpp_server,
    ollama_server,
    openai_embeddings,
    transcript,
    vector_of,
)

HELLO: list[Message] = [{"role": "user", "content": "Hello"}]
BUSY = Response.json({"error": {"message": "no slot", "type": "unavailable_error", "code": 503}}, 503)


def until(reached: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a state that another thread or process brings about."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def asked(server: FakeServer, path: str = "/v1/embeddings") -> int:
    return len(server.asked(path))


def chatting() -> FakeServer:
    return llamacpp_server(transcript("llamacpp/text.sse"))


# ------------------------------------------------------------ real servers


def test_a_real_server_is_killed_and_comes_back_and_no_text_is_lost() -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(LocalServer.demo("embedding", parallel=2)) for _ in range(2)]
        client = stack.enter_context(Client("llamacpp", base_url=[server.base_url for server in servers]))
        texts = [f"word {number}" for number in range(400)]
        expected = Client("llamacpp", base_url=servers[0].base_url).embed(texts).vectors
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


def test_two_real_servers_answer_chats_side_by_side(chat_server: LocalServer) -> None:
    async def ask(client: AsyncClient) -> list[str]:
        replies = await asyncio.gather(*(client.chat(HELLO, max_tokens=8) for _ in range(12)))
        return [reply.text for reply in replies]

    async def main(urls: list[str]) -> tuple[list[str], list[int]]:
        async with AsyncClient(base_url=urls) as client:
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
        client.embed([f"text {number}" for number in range(8)], batch_size=1)
        assert [host.slots for host in client.hosts()] == [2, 2]
        assert asked(one) + asked(other) == 8
        assert min(asked(one), asked(other)) >= 2
        assert repr(client).startswith(f"{type(client).__name__}(") or "base_url=['http" in repr(client.client)  # type: ignore[attr-defined]


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


def test_a_host_is_never_asked_above_its_limit(connect: Connect) -> None:
    most = [0, 0]
    now = [0, 0]
    lock = threading.Lock()

    def counting(number: int) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            with lock:
                now[number] += 1
                most[number] = max(most[number], now[number])
            time.sleep(0.01)
            with lock:
                now[number] -= 1
            return openai_embeddings(request)

        return answer

    routes = [{("POST", "/v1/embeddings"): counting(number)} for number in range(2)]
    with llamacpp_server(routes=routes[0]) as one, llamacpp_server(routes=routes[1]) as other:
        client = connect(base_url=[one.base_url, other.base_url], routing=Routing(slots=[3, 1], overcommit=1.0))
        client.embed([f"text {number}" for number in range(40)], batch_size=1, concurrency=12)
    assert most == [3, 1]


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


# ------------------------------------------------------------ failover


def test_a_busy_host_is_left_for_another_one(connect: Connect) -> None:
    with llamacpp_server(routes={("POST", "/v1/embeddings"): BUSY}) as busy, llamacpp_server() as well:
        client = connect(base_url=[busy.base_url, well.base_url])
        texts = [f"text {number}" for number in range(12)]
        assert client.embed(texts, batch_size=1).vectors == [vector_of(text) for text in texts]
        assert asked(well) == 12
        assert 1 <= asked(busy) <= 4  # it is tried again, each time later


def test_a_host_that_is_not_there_is_no_reason_to_fail(connect: Connect) -> None:
    with llamacpp_server() as gone:
        pass
    with llamacpp_server() as well:
        client = connect("auto", base_url=[gone.base_url, well.base_url])
        assert client.embed(["text"]).vectors == [vector_of("text")]
        until(lambda: bool(client.models()) and client.hosts()[0].state == "aside")
        assert "refused" in str(client.hosts()[0].error)


def test_that_no_host_is_there_is_said_with_the_reason_of_each(connect: Connect) -> None:
    with llamacpp_server() as one, llamacpp_server() as other:
        pass
    client = connect("auto", base_url=[one.base_url, other.base_url], max_retries=0)
    with pytest.raises(ServerUnreachable) as caught:
        client.embed(["text"])
    assert one.base_url in str(caught.value)
    assert other.base_url in str(caught.value)
    assert client.health() is False


def test_hosts_that_were_all_gone_are_found_again_by_the_next_call(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"pool.GRACE": 0.2, "pool.LINGER": 0.1, "hosts.PAUSES": (0.05,)}.items():
        monkeypatch.setattr(f"vessel_core.{name}", value)
    with llamacpp_server() as one, llamacpp_server() as other:
        client = connect("llamacpp", base_url=[one.base_url, other.base_url], max_retries=0)
        assert client.embed(["text"]).vectors == [vector_of("text")]
        until(lambda: bool(client.models()) and {host.state for host in client.hosts()} == {"ready"})
        well = [dict(server.routes) for server in (one, other)]
        for server in (one, other):
            server.routes.update(dict.fromkeys(server.routes, BUSY))
        until(lambda: client.health() is False and {host.state for host in client.hosts()} == {"aside"})
        until(lambda: client.target.pool is not None and not client.target.pool.busy(time.monotonic()))
        for server, routes in zip((one, other), well, strict=True):
            server.routes.update(routes)
        assert client.embed(["again"]).vectors == [vector_of("again")]


def test_a_stream_that_has_begun_is_not_begun_anew(connect: Connect) -> None:
    text = transcript("llamacpp/text.sse")
    cut = Response.stream(text[: len(text) // 2], cut="rst")
    with llamacpp_server(cut) as one, llamacpp_server(cut) as other:
        client = connect(base_url=[one.base_url, other.base_url])
        with pytest.raises(StreamInterrupted) as caught:
            client.chat(HELLO)
        assert caught.value.partial is not None
        assert caught.value.url in (one.base_url, other.base_url)
        path = "/v1/chat/completions"
        assert asked(one, path) + asked(other, path) == 1
        assert sum(host.in_flight for host in client.hosts()) == 0


def test_what_is_the_requests_fault_is_no_reason_to_ask_another_host(connect: Connect) -> None:
    refuses = Response.json({"error": {"message": "bad", "type": "invalid_request_error", "code": 400}}, 400)
    routes = {("POST", "/v1/embeddings"): refuses}
    with llamacpp_server(routes=routes) as one, llamacpp_server(routes=routes) as other:
        client = connect(base_url=[one.base_url, other.base_url])
        with pytest.raises(Exception, match="refused the request") as caught:
            client.embed(["text"])
        assert asked(one) + asked(other) == 1
        assert getattr(caught.value, "url", None) in (one.base_url, other.base_url)
        assert sum(host.failed for host in client.hosts()) == 0
        until(lambda: bool(client.models()) and {host.state for host in client.hosts()} == {"ready"})


def test_calls_of_a_host_that_hangs_go_to_another_one(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vessel_core.hosts.QUIET", 0.1)
    monkeypatch.setattr("vessel_core.hosts.PAUSES", (0.1,))
    for module in ("pooled", "async_pooled"):
        monkeypatch.setattr(f"vessel_core.{module}.PROBE", Retries(most=0, timeout=Timeout(connect=0.2, request=0.2)))
    hangs, never = threading.Event(), threading.Event()

    def hanging(answer: Callable[[Request], Response]) -> Callable[[Request], Response]:
        return lambda request: Response(wait=never) if hangs.is_set() else answer(request)

    with llamacpp_server() as well, llamacpp_server() as hung:
        for path, answer in list(hung.routes.items()):
            hung.routes[path] = hanging(answer if callable(answer) else lambda _, answer=answer: answer)  # type: ignore[misc]
        client = connect(base_url=[hung.base_url, well.base_url], routing=Routing(hang=0.5))
        client.embed(["one", "two", "three", "four"], batch_size=1)
        hangs.set()
        texts = [f"text {number}" for number in range(12)]
        assert client.embed(texts, batch_size=1, concurrency=6).vectors == [vector_of(text) for text in texts]
        assert client.hosts()[0].state == "aside"
        assert client.hosts()[0].failed >= 1
        assert sum(host.in_flight for host in client.hosts()) == 0
        hangs.clear()
        until(lambda: bool(client.embed(["again"])) and client.hosts()[0].state == "ready")


# ------------------------------------------------------------ what differs


def test_a_host_with_another_model_is_not_used_and_says_why(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    small = {"id": "small.gguf", "owned_by": "llamacpp", "meta": {"n_embd": 16, "size": 1}}
    routes = {("GET", "/v1/models"): Response.json({"object": "list", "data": [small]})}
    with llamacpp_server() as one, llamacpp_server(model="small.gguf", routes=routes) as other:
        client = connect(base_url=[one.base_url, other.base_url])
        client.embed(["first"])
        until(lambda: bool(client.models()) and {"ready", "aside"} == {host.state for host in client.hosts()})
        client.embed([f"text {number}" for number in range(6)], batch_size=1)
        (aside,) = [host for host in client.hosts() if host.state == "aside"]
        assert "does not fit the other hosts: it serves" in str(aside.error)
        assert caplog.text.count("is not used") == 1
        assert min(asked(one), asked(other)) == 0


def test_one_model_may_have_two_names() -> None:
    with llamacpp_server(model="a.gguf") as one, llamacpp_server(model="copy-of-a.gguf") as other:
        client = Client("llamacpp", base_url=[one.base_url, other.base_url])
        client.embed([f"text {number}" for number in range(8)], batch_size=1)
        until(lambda: bool(client.models()) and {host.state for host in client.hosts()} == {"ready"})


def test_hosts_of_two_kinds_are_not_mixed(connect: Connect) -> None:
    with llamacpp_server() as one, ollama_server() as other:
        client = connect("llamacpp", base_url=[one.base_url, other.base_url])
        client.embed(["text"])
        until(lambda: bool(client.models()) and client.hosts()[1].state == "aside")
        assert "it is Ollama, and not llama.cpp" in str(client.hosts()[1].error)


def test_a_host_without_the_model_is_left_out() -> None:
    with ollama_server(models=["qwen3:8b", "nomic"]) as one, ollama_server(models=["qwen3:8b"]) as other:
        client = Client("ollama", base_url=[one.base_url, other.base_url], model="nomic")
        client.embed([f"text {number}" for number in range(4)], batch_size=1)
        until(lambda: bool(client.models()) and client.hosts()[1].state == "aside")
        assert asked(other, "/api/embed") == 0
        assert "no model 'nomic'" in str(client.hosts()[1].error)
        with pytest.raises(ModelNotFound):
            Client("ollama", base_url=[one.base_url, other.base_url], model="none").embed(["text"])


# ------------------------------------------------------------ keys, and one of several


def test_a_key_goes_to_each_host_and_a_login_to_its_own_only() -> None:
    with llamacpp_server() as one, llamacpp_server() as other:
        with_login = one.base_url.replace("http://", "http://ann:pass-word@")
        client = Client("llamacpp", base_url=[with_login, other.base_url])
        client.embed([f"text {number}" for number in range(6)], batch_size=1)
        assert all("authorization" in request.headers for request in one.requests)
        assert not any("authorization" in request.headers for request in other.requests)
        assert "pass-word" not in repr(client) + repr(client.hosts()) + repr(client.target)
        assert b"pass-word" not in pickle.dumps(client)

        other.requests.clear()
        Client("llamacpp", base_url=[one.base_url, other.base_url], api_key="k-123456").embed(["a", "b"], batch_size=1)
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
    [{"base_url": []}, {"base_url": ["http://a", 7]}, {"base_url": "http://a", "routing": Routing()}],
    ids=str,
)
def test_hosts_that_can_not_be_right_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig):
        Client(**options)


def test_a_client_of_several_hosts_is_pickled_small_and_counts_anew() -> None:
    with llamacpp_server() as one, llamacpp_server() as other:
        client = Client(
            "llamacpp", base_url=[one.base_url, other.base_url], timeout=5, api_key="k-123456", headers={"X-Team": "a"}
        )
        client.embed(["text"])
        pickled = pickle.dumps(client)
        assert len(pickled) <= 2048
        again = pickle.loads(pickled)
        assert {host.state for host in again.hosts()} == {"new"}
        assert again.embed(["text"]).vectors == [vector_of("text")]


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
