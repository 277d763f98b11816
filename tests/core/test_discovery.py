"""Where servers are looked for, how, for how long, and what is said when there is none."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Generator
from concurrent import futures
from contextlib import ExitStack

import pytest
from vessel_core import ServerInfo, adiscover, discover, discovery
from vessel_core.backends import LLAMACPP, LMSTUDIO, OLLAMA, Backend
from vessel_core.discovery import Candidate, candidates, choose
from vessel_core.errors import InvalidConfig, NoServerFound, ServerUnreachable, VesselError
from vessel_core.local import LocalServer

from tests.core.driving import Connect
from tests.fake_server import (
    FakeServer,
    Response,
    llamacpp_server,
    lmstudio_server,
    nobody,
    ollama_server,
    openai_server,
    transcript,
)
from tests.servers import KEY

Found = Callable[..., list[ServerInfo]]


@pytest.fixture(params=["sync", "async"])
def found(request: pytest.FixtureRequest) -> Found:
    """What discovers: `discover`, then `adiscover`."""
    if request.param == "sync":
        return discover
    import asyncio

    return lambda *given, **named: asyncio.run(adiscover(*given, **named))


def at(backend: Backend, url: str, source: str | None = None) -> Candidate:
    from vessel_core.address import parse_address

    return Candidate(backend, parse_address(url), source)


@pytest.fixture
def refused() -> Generator[Callable[[], str]]:
    """What gives the URLs of ports that nobody listens at."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(nobody())


# -------------------------------------------------------------------------------------------------------------- where


def test_the_default_addresses_are_looked_at() -> None:
    assert {(place.backend.name, place.address.root, place.source) for place in candidates({})} == {
        ("llamacpp", "http://localhost:8080", None),
        ("llamacpp", "http://localhost:8081", None),
        ("lmstudio", "http://localhost:1234", None),
        ("ollama", "http://localhost:11434", None),
    }


def test_a_variable_takes_the_place_of_the_defaults() -> None:
    environ = {"LLAMACPP_URL": "http://gpu:9000/v1", "LMSTUDIO_URL": "http://box:1", "OLLAMA_URL": "https://o.example"}
    assert [(place.backend.name, place.address.root, place.source) for place in candidates(environ)] == [
        ("llamacpp", "http://gpu:9000", "LLAMACPP_URL"),
        ("lmstudio", "http://box:1", "LMSTUDIO_URL"),
        ("ollama", "https://o.example", "OLLAMA_URL"),
    ]


@pytest.mark.parametrize(
    ("value", "root"),
    [
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:11435", "http://127.0.0.1:11435"),
        (":11435", "http://127.0.0.1:11435"),
        ("box", "http://box:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:5", "http://[::1]:5"),
        ("http://box:5", "http://box:5"),
        ("https://ollama.example", "https://ollama.example"),
    ],
)
def test_ollamas_own_variable_is_read_as_ollama_does(value: str, root: str) -> None:
    (place,) = candidates({"OLLAMA_HOST": value}, [OLLAMA])
    assert (place.address.root, place.source) == (root, "OLLAMA_HOST")
    (named,) = candidates({"OLLAMA_HOST": value, "OLLAMA_URL": "http://first:1"}, [OLLAMA])
    assert named.source == "OLLAMA_URL"


def test_a_variable_that_is_no_url_is_named() -> None:
    with pytest.raises(InvalidConfig, match="LLAMACPP_URL='ftp://x'"):
        candidates({"LLAMACPP_URL": "ftp://x"})


def test_an_empty_variable_is_none() -> None:
    assert {place.source for place in candidates({"OLLAMA_URL": " ", "OLLAMA_HOST": ""}, [OLLAMA])} == {None}


# ------------------------------------------------------------------------------------------------------------- probing


def test_each_server_says_what_it_is(found: Found, chat_server: LocalServer) -> None:
    with ollama_server() as ollama, lmstudio_server() as lmstudio:
        places = [
            at(LLAMACPP, chat_server.base_url),
            at(OLLAMA, ollama.base_url, "OLLAMA_URL"),
            at(LMSTUDIO, lmstudio.base_url),
        ]
        results = found(places=places)
    assert [(one.backend, one.base_url, one.available, one.source) for one in results] == [
        ("llamacpp", chat_server.base_url, True, None),
        ("ollama", ollama.base_url, True, "OLLAMA_URL"),
        ("lmstudio", lmstudio.base_url, True, None),
    ]
    assert [[model.id for model in one.models] for one in results] == [
        ["demo-chat"],
        ["qwen3:8b"],
        ["google/gemma-4-26b-a4b"],
    ]
    assert results[1].version == "0.32.5"
    assert {one.error for one in results} == {None}


def test_another_server_at_a_default_address_is_recognised(found: Found) -> None:
    with ollama_server() as ollama, llamacpp_server() as llamacpp, lmstudio_server() as lmstudio:
        places = [at(LMSTUDIO, ollama.base_url), at(OLLAMA, llamacpp.base_url), at(LLAMACPP, lmstudio.base_url)]
        assert [one.backend for one in found(places=places)] == ["ollama", "llamacpp", "lmstudio"]


def test_any_v1_server_at_a_default_address_is_taken(found: Found) -> None:
    with openai_server(owned_by="somebody") as server:
        (result,) = found(places=[at(LLAMACPP, server.base_url)])
    assert (result.backend, result.connected, [model.id for model in result.models]) == ("openai", True, ["demo"])


@pytest.mark.parametrize(
    "page",
    [
        Response.text("<html>It works!</html>", content_type="text/html"),
        Response.text("no such page", 404),
        Response.json({"hello": "world"}, 404),
        Response(),
    ],
    ids=["page", "missing", "json", "empty"],
)
def test_a_web_server_is_no_llm_server(found: Found, page: Response) -> None:
    with FakeServer(otherwise=page) as server:
        (result,) = found(places=[at(LLAMACPP, server.base_url)])
    assert not result.connected
    assert result.error


def test_a_server_that_wants_a_key_is_there_and_gets_none(found: Found, keyed_server: LocalServer) -> None:
    (result,) = found(places=[at(LLAMACPP, keyed_server.base_url)])
    assert (result.backend, result.connected) == ("llamacpp", True)
    assert result.error is not None
    assert "key" in result.error


def test_a_server_that_loads_is_there(found: Found) -> None:
    loading = Response.json({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, 503)
    with FakeServer(otherwise=loading, headers={"server": "llama.cpp"}) as server:
        (result,) = found(places=[at(LLAMACPP, server.base_url)])
    assert (result.backend, result.connected) == ("llamacpp", True)
    assert result.error is not None
    assert "loading" in result.error


@pytest.mark.parametrize("ended_by", ["the probe", "who waits for it"])
def test_how_long_was_waited_is_told_whoever_ends_it(ended_by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def patient(probes: list[futures.Future[ServerInfo]], _: float | None) -> None:
        futures.wait(probes)

    if ended_by == "the probe":
        monkeypatch.setattr(discovery, "wait", patient)
    with FakeServer(otherwise=Response(wait=threading.Event())) as silent:
        (server,) = discover(0.2, [at(LLAMACPP, silent.base_url)])
    assert server.error == "No answer within 0.2 s."


def test_servers_are_asked_all_at_once_and_a_silent_one_holds_up_nobody(found: Found) -> None:
    never = threading.Event()
    silent = [FakeServer(otherwise=Response(wait=never)) for _ in range(3)]
    with ollama_server() as ollama, silent[0], silent[1], silent[2]:
        places = [*(at(LLAMACPP, server.base_url) for server in silent), at(OLLAMA, ollama.base_url)]
        started = time.monotonic()
        results = found(1.0, places)
        took = time.monotonic() - started
    assert [one.connected for one in results] == [False, False, False, True]
    assert all("No answer" in str(one.error) for one in results[:3])
    assert 0.9 < took < 2.0


def test_the_wait_is_three_seconds_unless_said_otherwise(
    monkeypatch: pytest.MonkeyPatch, refused: Callable[[], str]
) -> None:
    with FakeServer(otherwise=Response(wait=threading.Event())) as silent, ollama_server() as ollama:
        monkeypatch.setenv("LLAMACPP_URL", silent.base_url)
        monkeypatch.setenv("LMSTUDIO_URL", refused())
        monkeypatch.setenv("OLLAMA_URL", ollama.base_url)
        started = time.monotonic()
        results = {one.backend: one for one in discover()}
        took = time.monotonic() - started
    assert 2.9 < took < 4.0
    assert (results["llamacpp"].connected, results["lmstudio"].connected) == (False, False)
    assert results["ollama"].connected
    assert "refused" in str(results["lmstudio"].error)


def test_who_would_look_for_ever_finds_what_is_there(found: Found) -> None:
    with ollama_server() as server:
        (one,) = found(math.inf, [at(OLLAMA, server.base_url)])
    assert one.connected


def test_no_place_to_look_at_is_no_server(found: Found) -> None:
    assert found(places=[]) == []


# -------------------------------------------------------------------------------------------------------- what is used


def info(name: str, *, connected: bool = True, source: str | None = None, state: str | None = None) -> ServerInfo:
    from vessel_core import ModelInfo

    models = (ModelInfo("m", state=state),) if state else ()
    return ServerInfo(name, f"http://{name}", connected, models=models, source=source)


@pytest.mark.parametrize(
    ("results", "chosen"),
    [
        ([info("a"), info("b", state="loaded")], "b"),
        ([info("a", state="unloaded"), info("b", state="loaded")], "b"),
        ([info("a", state="loaded"), info("b", source="B_URL")], "b"),
        ([info("a"), info("b", source="B_URL", connected=False)], "a"),
        ([info("a"), info("b")], "a"),
    ],
)
def test_a_server_from_the_environment_then_one_with_a_loaded_model_is_used(
    results: list[ServerInfo], chosen: str
) -> None:
    assert choose(results).backend == chosen


def test_a_client_without_a_url_finds_its_server(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, refused: Callable[[], str]
) -> None:
    with ollama_server(transcript("ollama/text.ndjson")) as server:
        monkeypatch.setenv("OLLAMA_URL", server.base_url)
        for variable in ("LLAMACPP_URL", "LMSTUDIO_URL"):
            monkeypatch.setenv(variable, refused())
        client = connect("auto")
        assert client.chat([{"role": "user", "content": "Hi"}]).text
        assert client.target.server.backend.name == "ollama"
        asked = len(server.requests)
        client.chat([{"role": "user", "content": "Hi"}])
        assert [request.path for request in server.requests[asked:]] == ["/api/chat"]


def test_a_named_backend_takes_its_variable_and_asks_nobody_else(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ollama_server(transcript("ollama/text.ndjson")) as server:
        monkeypatch.setenv("OLLAMA_URL", server.base_url)
        connect("ollama", model="m").chat([{"role": "user", "content": "Hi"}])
        assert [request.path for request in server.requests] == ["/api/chat"]


def test_the_key_goes_to_the_server_that_is_used_and_to_no_probe(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, refused: Callable[[], str]
) -> None:
    with ollama_server() as other, llamacpp_server() as used:
        monkeypatch.setenv("OLLAMA_URL", other.base_url)
        monkeypatch.setenv("LLAMACPP_URL", used.base_url)
        monkeypatch.setenv("LMSTUDIO_URL", refused())
        client = connect("auto", api_key=KEY, headers={"X-Secret": KEY})
        client.models()
        assert client.target.server.address.root == used.base_url
        assert other.requests
        assert not any(KEY in str(request.headers) for request in other.requests)
        assert [request.path for request in used.requests if KEY in str(request.headers)] == ["/v1/models", "/props"]


def loaded(connect: Connect) -> None:
    """Load what is loaded at first use, which takes longer than what is timed."""
    with pytest.raises(VesselError):
        connect("llamacpp", base_url="http://127.0.0.1:9").models()


def test_nobody_there_is_said_at_once_with_the_addresses_and_how_to_start_one(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, refused: Callable[[], str]
) -> None:
    urls = {name: refused() for name in ("OLLAMA_URL", "LLAMACPP_URL", "LMSTUDIO_URL")}
    for name, url in urls.items():
        monkeypatch.setenv(name, url)
    client = connect("auto")
    loaded(connect)
    started = time.monotonic()
    with pytest.raises(NoServerFound) as caught:
        client.chat([{"role": "user", "content": "Hi"}])
    assert time.monotonic() - started < 0.5
    said = str(caught.value)
    assert isinstance(caught.value, ConnectionError)
    tried, _, rest = said.partition("\n")
    assert all(f"{url} ({name})" in tried for name, url in urls.items())
    assert tried.endswith(": Nothing listens there: the connection was refused.")
    assert rest.startswith("Start one:")
    for way in (
        "llama-server -m",
        "ollama serve",
        "lms server start",
        "vessel serve --demo",
        'LocalServer.demo("assistant")',
        "base_url=",
    ):
        assert way in said


def test_nobody_stands_in_for_an_address_where_nobody_is(connect: Connect, refused: Callable[[], str]) -> None:
    url = refused()
    client = connect("auto", base_url=url)
    with pytest.raises(ServerUnreachable, match=url):
        client.chat([{"role": "user", "content": "Hi"}])


def test_a_refused_url_is_named_at_once_with_how_to_start_its_server(
    connect: Connect, refused: Callable[[], str]
) -> None:
    url = refused()
    loaded(connect)
    for backend, start in (("ollama", "ollama serve"), ("llamacpp", "llama-server -m"), ("lmstudio", "lms server")):
        started = time.monotonic()
        with pytest.raises(VesselError) as caught:
            connect(backend, base_url=url).chat([{"role": "user", "content": "Hi"}])
        assert time.monotonic() - started < 0.5
        assert url in str(caught.value)
        assert start in str(caught.value)
