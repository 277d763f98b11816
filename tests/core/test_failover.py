"""What becomes of calls whose host fails: sync and async, on scripted servers."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from vessel_core import Client, Routing, Timeout
from vessel_core.errors import (
    FirstTokenTimeout,
    InputTooLarge,
    ServerUnreachable,
    StreamInterrupted,
    StreamStalled,
    VesselError,
)
from vessel_core.retry import Retries

from tests.core.driving import Connect
from tests.core.hosting import BUSY, HELLO, asked, hang_when, played, until, until_met
from tests.fake_server import Request, Response, llamacpp_server, nobody, openai_embeddings, transcript, vector_of


def test_a_busy_host_is_left_for_another_one(connect: Connect) -> None:
    with llamacpp_server(routes={("POST", "/v1/embeddings"): BUSY}) as busy, llamacpp_server() as well:
        client = connect(base_url=[busy.base_url, well.base_url])
        until_met(client)
        probed = asked(busy, "/v1/models")
        texts = [f"text {number}" for number in range(12)]
        assert client.embed(texts, batch_size=1, concurrency=3).vectors == [vector_of(text) for text in texts]
        assert asked(well) == 12
        assert 1 <= asked(busy) <= 3 + asked(busy, "/v1/models") - probed  # those under way, and one after each probe


def test_a_host_that_is_not_there_is_no_reason_to_fail(connect: Connect) -> None:
    with nobody() as gone, llamacpp_server() as well:
        client = connect("auto", base_url=[gone, well.base_url])
        assert client.embed(["text"]).vectors == [vector_of("text")]
        until(lambda: bool(client.models()) and client.hosts()[0].state == "aside")
        assert "refused" in str(client.hosts()[0].error)


def test_that_no_host_is_there_is_said_with_the_reason_of_each(connect: Connect) -> None:
    with nobody() as one, nobody() as other:
        client = connect("auto", base_url=[one, other], max_retries=0)
        with pytest.raises(ServerUnreachable) as caught:
            client.embed(["text"])
        assert one in str(caught.value)
        assert other in str(caught.value)
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


TEXT = transcript("llamacpp/text.sse")
CUT = Response.stream(TEXT[: len(TEXT) // 2], cut="rst")
CHAT = "/v1/chat/completions"


def test_a_stream_that_has_begun_is_not_begun_anew(connect: Connect) -> None:
    with llamacpp_server(CUT) as one, llamacpp_server(CUT) as other:
        client = connect(base_url=[one.base_url, other.base_url])
        with pytest.raises(StreamInterrupted) as caught:
            list(client.stream(HELLO))
        assert caught.value.partial is not None
        assert caught.value.url in (one.base_url, other.base_url)
        assert asked(one, CHAT) + asked(other, CHAT) == 1
        assert sum(host.in_flight for host in client.hosts()) == 0


def test_an_answer_of_which_nothing_was_handed_on_is_begun_anew_on_another_host(connect: Connect) -> None:
    with llamacpp_server(CUT) as bad, llamacpp_server(TEXT) as well:
        client = connect(base_url=[bad.base_url, well.base_url])
        client.chat(HELLO)
        until_met(client)
        expected = connect(base_url=well.base_url).chat(HELLO)
        assert [client.chat(HELLO).text for _ in range(4)] == [expected.text] * 4
        assert asked(bad, CHAT) >= 1
        assert client.hosts()[0].failed >= 1


@pytest.mark.parametrize("fails", [CUT, BUSY, Response.json({"error": {"message": "boom", "code": 500}}, 500)])
def test_a_host_that_was_not_met_yet_may_take_the_call(connect: Connect, fails: Response) -> None:
    met = threading.Event()

    def failing(_: Request) -> Response:
        met.set()
        return fails

    with llamacpp_server(failing) as bad, llamacpp_server(TEXT) as well:
        models = well.routes["GET", "/v1/models"]
        assert isinstance(models, Response)
        well.routes["GET", "/v1/models"] = replace(models, wait=met)
        client = connect(base_url=[bad.base_url, well.base_url])
        assert client.chat(HELLO).text
        assert (asked(bad, CHAT), asked(well, CHAT)) == (1, 1)


def test_an_answer_that_breaks_off_everywhere_is_an_error_with_what_came(connect: Connect) -> None:
    with llamacpp_server(CUT) as one, llamacpp_server(CUT) as other:
        client = connect(base_url=[one.base_url, other.base_url])
        until_met(client)
        with pytest.raises(StreamInterrupted) as caught:
            client.chat(HELLO)
        assert caught.value.partial is not None
        assert caught.value.partial.text
        assert (asked(one, CHAT), asked(other, CHAT)) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "timeout", "error"),
    [
        (Response.stream(TEXT[: len(TEXT) // 2], threading.Event()), Timeout(between_tokens=0.2), StreamStalled),
        (Response(wait=threading.Event()), Timeout(first_token=0.2), FirstTokenTimeout),
    ],
    ids=["in the middle", "before its first token"],
)
def test_an_answer_that_takes_too_long_is_not_begun_anew(
    connect: Connect, answer: Response, timeout: Timeout, error: type[VesselError]
) -> None:
    with llamacpp_server(answer) as one, llamacpp_server(answer) as other:
        client = connect(base_url=[one.base_url, other.base_url])
        until_met(client)
        with pytest.raises(error):
            client.chat(HELLO, timeout=timeout)
        assert asked(one, CHAT) + asked(other, CHAT) == 1


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


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let silence be noticed at once."""
    monkeypatch.setattr("vessel_core.hosts.QUIET", 0.1)
    monkeypatch.setattr("vessel_core.hosts.PAUSES", (0.1,))
    monkeypatch.setattr("vessel_core.pooled.PROBE", Retries(most=0, timeout=Timeout(connect=0.2, request=0.2)))


@pytest.mark.usefixtures("hasty")
def test_calls_of_a_host_that_hangs_go_to_another_one(connect: Connect) -> None:
    hangs = threading.Event()
    with llamacpp_server() as well, llamacpp_server() as hung:
        hang_when(hangs, hung)
        client = connect(base_url=[hung.base_url, well.base_url], routing=Routing(hang=0.5))
        client.embed(["one", "two", "three", "four"], batch_size=1)
        until_met(client)
        hangs.set()
        texts = [f"text {number}" for number in range(12)]
        assert client.embed(texts, batch_size=1, concurrency=6).vectors == [vector_of(text) for text in texts]
        assert client.hosts()[0].state == "aside"
        assert client.hosts()[0].failed >= 1
        assert sum(host.in_flight for host in client.hosts()) == 0
        hangs.clear()
        until(lambda: bool(client.embed(["again"])) and client.hosts()[0].state == "ready")


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_a_head_alone_is_no_answer(connect: Connect, kind: str) -> None:
    hangs, never = threading.Event(), threading.Event()
    text = transcript("llamacpp/text.sse")
    with llamacpp_server(text) as well, llamacpp_server(text) as hung:
        answers = dict(hung.routes)
        hang_when(hangs, hung)
        for path in ("/v1/embeddings", "/v1/chat/completions"):

            def begun(request: Request, answer: Any = answers["POST", path]) -> Response:
                if hangs.is_set():
                    return Response.stream(never, content_type=kind)
                return played(answer, request)

            hung.routes["POST", path] = begun
        client = connect(base_url=[hung.base_url, well.base_url], routing=Routing(hang=0.5))
        client.embed(["one"])
        until_met(client)
        hangs.set()
        if kind == "application/json":
            texts = [f"text {number}" for number in range(4)]
            assert client.embed(texts, batch_size=1, concurrency=4).vectors == [vector_of(text) for text in texts]
        else:
            assert all(client.chat(HELLO).text for _ in range(2))
        assert client.hosts()[0].state == "aside"
        assert len(hung.requests) > 0


def test_a_host_that_hangs_is_left_before_a_short_timeout_is_over(connect: Connect) -> None:
    hangs = threading.Event()
    with llamacpp_server() as well, llamacpp_server() as hung:
        hang_when(hangs, hung)
        client = connect(base_url=[hung.base_url, well.base_url], timeout=Timeout(request=2.4))
        client.embed(["one", "two"], batch_size=1)
        until_met(client)
        hangs.set()
        texts = [f"text {number}" for number in range(6)]
        assert client.embed(texts, batch_size=1, concurrency=6).vectors == [vector_of(text) for text in texts]
        assert client.hosts()[0].state == "aside"


# ------------------------------------------------------------ errors that may be the host's fault, or the call's


def said(status: int, kind: str = "server_error", message: str = "boom") -> Response:
    return Response.json({"error": {"message": message, "type": kind, "code": status}}, status)


FAILING = {
    "500": said(500),
    "401": said(401, "authentication_error", "Invalid API Key"),
    "404": Response.text("404 page not found", 404),
    "501": said(501, "not_supported_error", "no embeddings"),
    "no model": said(404, "not_found_error", "model 'm' not found"),
    "a web page": Response.text("<html>Please log in</html>", content_type="text/html; charset=utf-8"),
    "a redirect": Response(307, {"location": "http://elsewhere.example/"}),
}


@pytest.mark.parametrize("what", FAILING)
def test_a_host_that_fails_at_once_is_left_and_named_and_taken_back(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    monkeypatch.setattr("vessel_core.hosts.PAUSES", (0.2,))
    with llamacpp_server() as bad, llamacpp_server() as well, llamacpp_server() as other:
        client = connect(base_url=[bad.base_url, well.base_url, other.base_url])
        client.embed(["first"])
        until_met(client)
        bad.routes["POST", "/v1/embeddings"] = FAILING[what]
        texts = [f"text {number}" for number in range(60)]
        before, probed = asked(bad), asked(bad, "/v1/models")
        assert client.embed(texts, batch_size=1, concurrency=3).vectors == [vector_of(text) for text in texts]
        most = 3 + asked(bad, "/v1/models") - probed  # those under way, and one after each probe
        assert 1 <= asked(bad) - before <= most
        assert client.hosts()[0].failed == asked(bad) - before
        assert caplog.text.count(f"{bad.base_url} is not used") == 1
        bad.routes["POST", "/v1/embeddings"] = openai_embeddings
        until(lambda: bool(client.embed(["again"])) and client.hosts()[0].state == "ready")


@pytest.mark.parametrize("what", ["500", "401", "404", "501", "a web page"])
def test_what_all_hosts_say_is_the_calls_fault(connect: Connect, caplog: pytest.LogCaptureFixture, what: str) -> None:
    with llamacpp_server() as one, llamacpp_server() as other, llamacpp_server() as third:
        client = connect(base_url=[one.base_url, other.base_url, third.base_url])
        client.embed(["first"])
        until_met(client)
        for server in (one, other, third):
            server.requests.clear()
            server.routes["POST", "/v1/embeddings"] = FAILING[what]
        with pytest.raises(VesselError):
            client.embed(["poison"])
        assert [asked(server) for server in (one, other, third)] == [1, 1, 1]
        assert {host.state for host in client.hosts()} == {"ready"}
        assert "is not used" not in caplog.text


def test_a_text_that_is_too_long_is_no_fault_of_its_host(connect: Connect) -> None:
    long = said(500, message="input (900 tokens) is too large to process. increase the physical batch size")
    with llamacpp_server() as one, llamacpp_server() as other:
        client = connect(base_url=[one.base_url, other.base_url])
        client.embed(["first"])
        until_met(client)
        for server in (one, other):
            server.requests.clear()
            server.routes["POST", "/v1/embeddings"] = long
        with pytest.raises(InputTooLarge):
            client.embed(["long"])
        assert asked(one) + asked(other) == 1
        assert {host.state for host in client.hosts()} == {"ready"}


def test_a_host_that_repeats_the_key_is_named_without_it(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    wrong = said(401, "authentication_error", "Invalid API Key: k-123456")
    with llamacpp_server() as bad, llamacpp_server() as well:
        client = connect(base_url=[bad.base_url, well.base_url], api_key="k-123456")
        client.embed(["first"])
        until_met(client)
        bad.routes["POST", "/v1/embeddings"] = wrong
        client.embed([f"text {number}" for number in range(6)], batch_size=1)
        assert f"{bad.base_url} is not used. The key is missing or wrong: Invalid API Key" in caplog.text
        assert "k-123456" not in caplog.text + str(client.hosts())


def test_a_host_that_takes_another_key_is_named(caplog: pytest.LogCaptureFixture) -> None:
    keyed = said(401, "authentication_error", "Invalid API Key")
    with llamacpp_server() as well, llamacpp_server(routes={("GET", "/props"): keyed}) as other:
        client = Client("llamacpp", base_url=[well.base_url, other.base_url], api_key="k-123456")
        client.embed(["text"])
        until_met(client)
        assert [host.state for host in client.hosts()] == ["ready", "aside"]
        assert caplog.text.count(f"{other.base_url} is not used. The key is missing or wrong") == 1
        assert "k-123456" not in caplog.text
