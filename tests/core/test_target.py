"""What a client is told at construction, and what it keeps to itself."""

from __future__ import annotations

import copy
import json
import math
import pickle
import socket
import threading
from dataclasses import asdict, replace
from typing import Any

import pytest
from vessel_core import AsyncClient, Client, Limits, Registry, Timeout
from vessel_core.backends import BACKENDS, COMPATIBLE, find_backend
from vessel_core.errors import FirstTokenTimeout, InvalidConfig, NoServerFound, ServerTimeout
from vessel_core.settings import make_target

from tests.core.driving import Connect
from tests.core.hosting import HELLO
from tests.fake_server import FakeServer, Response, llamacpp_server, nobody, transcript

URL = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("llamacpp", "llamacpp"),
        ("llama.cpp", "llamacpp"),
        ("llama-cpp", "llamacpp"),
        ("LLAMA_CPP", "llamacpp"),
        ("llama-server", "llamacpp"),
        ("LM Studio", "lmstudio"),
        ("lm-studio", "lmstudio"),
        ("lm_studio", "lmstudio"),
        ("Ollama", "ollama"),
        (" openai ", "openai"),
        ("openai-compatible", "openai"),
    ],
)
def test_a_backend_is_known_in_its_usual_spellings(spelling: str, name: str) -> None:
    assert find_backend(spelling).name == name
    backend = make_target(spelling, base_url=URL).backend
    assert backend is not None
    assert backend.name == name


@pytest.mark.parametrize("cls", [Client, AsyncClient])
def test_an_unknown_backend_is_refused_and_the_known_ones_named(cls: Any) -> None:
    with pytest.raises(InvalidConfig, match="no backend 'lama'") as caught:
        cls("lama", base_url=URL)
    assert all(repr(backend.name) in str(caught.value) for backend in BACKENDS)
    assert "'auto'" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"max_retries": -1}, "max_retries=-1"),
        ({"timeout": 0}, "first_token=0"),
        ({"timeout": -3.5}, "first_token=-3.5"),
        ({"timeout": "soon"}, "first_token='soon'"),
        ({"timeout": Timeout(connect=0)}, "connect=0"),
        ({"timeout": Timeout(between_tokens=-1)}, "between_tokens=-1"),
        ({"api_key": "sk-canary\n"}, "api_key holds characters"),
        ({"api_key": "sk-canary "}, "api_key holds characters"),
        ({"headers": {"X-Key": " sk-canary"}}, r"headers\['X-Key'\] holds characters"),
        ({"api_key": "sk-schlüssel"}, "api_key holds characters"),
        ({"headers": {"X-Key": "a\r\nb"}}, r"headers\['X-Key'\] holds characters"),
        ({"headers": {"X Key": "a"}}, "A name in headers holds characters"),
        (
            {"headers": {"Transfer-Encoding": "chunked"}},
            r"headers\['Transfer-Encoding'\] can't be given",
        ),
        ({"headers": {"content-length": "5"}}, r"headers\['content-length'\] can't be given"),
        ({"headers": {"Upgrade": "h2c"}}, r"headers\['Upgrade'\] can't be given"),
        ({"headers": {"TE": "trailers"}}, r"headers\['TE'\] can't be given"),
        ({"headers": {"Trailer": "X-Sum"}}, r"headers\['Trailer'\] can't be given"),
        (
            {"headers": {"Connection": "keep-alive, Upgrade"}},
            r"headers\['Connection'\] is neither 'close' nor 'keep-alive'",
        ),
    ],
)
def test_what_can_not_be_right_is_refused_at_construction(options: Any, what: str) -> None:
    with pytest.raises(InvalidConfig, match=what) as caught:
        Client("llamacpp", base_url=URL, **options)
    assert "canary" not in str(caught.value)
    assert "schl" not in str(caught.value)


@pytest.mark.parametrize("header", [("Host", "virtual"), ("Connection", "close"), ("connection", "Keep-Alive")])
def test_the_host_and_the_end_of_a_connection_may_be_said(header: tuple[str, str], connect: Connect) -> None:
    name, value = header
    with llamacpp_server() as server:
        client = connect("llamacpp", base_url=server.base_url, model="m", headers={name: value})
        assert client.embed(["Hello"]).vectors
        assert server.requests[0].headers[name.lower()] == value


def test_a_key_in_the_place_of_a_headers_name_is_not_shown() -> None:
    with pytest.raises(InvalidConfig, match="Authorization") as caught:
        Client(base_url=URL, headers={"Bearer sk-canary": "Authorization"})
    assert "canary" not in f"{caught.value!r} {caught.value}"


def test_a_wait_may_be_endless_and_a_load_not_waited_for() -> None:
    assert make_target(timeout=Timeout(first_token=None, load=0)).timeout.first_token is None


ENDLESS = Timeout(None, None, None, None, None)


@pytest.mark.parametrize("seconds", [math.inf, 1e300, 10**400, 9.3e9, 2.0**32 / 1000, 700_000])
def test_what_no_system_counts_to_is_for_ever(seconds: float) -> None:
    assert Timeout(seconds, seconds, seconds, seconds, seconds) == ENDLESS
    assert replace(Timeout(), connect=math.inf).connect is None
    assert make_target(timeout=seconds).timeout == Timeout(first_token=None, request=None)
    assert make_target().within(seconds).timeout == Timeout(first_token=None, request=None)
    assert Timeout(load=7 * 86400).load == 7 * 86400


def test_a_timeout_of_a_call_changes_what_it_was_given() -> None:
    usual = Timeout(connect=1, first_token=20, between_tokens=2, load=4, request=5)
    target = make_target(timeout=usual)
    for given in ({"first_token": 600.0}, {"load": None, "connect": 3.0}, {}):
        for timeout in (Timeout(**given), replace(Timeout(), **given), pickle.loads(pickle.dumps(Timeout(**given)))):
            assert target.within(timeout).timeout == replace(usual, **given)
    assert target.within(Timeout(9, 9, 9, 9, 9)).timeout == Timeout(9, 9, 9, 9, 9)
    with pytest.raises(InvalidConfig, match="connect=0"):
        target.within(Timeout(connect=0))


def test_a_timeout_that_was_not_given_a_field_is_as_one_that_was() -> None:
    given = Timeout(3.0, 600.0, 60.0, 300.0, 120.0)
    assert (Timeout(), hash(Timeout()), repr(Timeout())) == (given, hash(given), repr(given))
    assert json.dumps(asdict(Timeout())) == json.dumps(asdict(given))


def test_a_client_waits_as_it_was_told_where_the_timeout_of_a_call_says_nothing(connect: Connect) -> None:
    with FakeServer(otherwise=Response(wait=threading.Event())) as server:
        client = connect("llamacpp", base_url=server.base_url, model="m", timeout=Timeout(first_token=0.1))
        with pytest.raises(FirstTokenTimeout):
            client.chat(HELLO, timeout=Timeout(between_tokens=30))


def test_who_waits_for_a_server_says_how_long_one_look_may_take(connect: Connect) -> None:
    with FakeServer(otherwise=Response(wait=threading.Event())) as server:
        client = connect("llamacpp", base_url=server.base_url, timeout=Timeout(load=0.3))
        with pytest.raises(ServerTimeout):
            list(client.wait_until_ready(Timeout(request=0.05)))
        assert len(server.requests) > 1


def test_who_waits_for_ever_gets_an_answer(connect: Connect) -> None:
    inf = math.inf
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        client = connect(base_url=server.base_url, model="m", timeout=Timeout(inf, inf, inf, inf, inf))
        assert client.chat(HELLO).text
        assert client.chat(HELLO, timeout=inf).text
        assert client.embed(["Hello"], timeout=inf).vectors
        assert next(client.wait_until_ready(inf)).status == "ready"
    with nobody() as gone:
        assert next(connect(base_url=gone).wait_until_ready(inf)).total is None


@pytest.mark.parametrize("seconds", [math.nan, -math.inf, 0])
def test_no_time_at_all_is_refused(seconds: float) -> None:
    with pytest.raises(InvalidConfig, match="is not above 0"):
        make_target(timeout=seconds)


def test_construction_does_no_io(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Any:
        raise AssertionError("construction touched the network")

    for name in ("connect", "connect_ex", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    for cls in (Client, AsyncClient):
        for backend in ("auto", "llamacpp", "lmstudio", "ollama"):
            made = cls(backend, api_key="sk", headers={"X-A": "b"}, timeout=3)
            assert repr(made)
            copy.deepcopy(made)
            pickle.loads(pickle.dumps(made))
        made = cls("auto", base_url="https://llm.example.com/v1", verify="/no/such/file.pem")
    Registry().register("a", Client())


def test_a_server_that_is_not_known_yet_has_no_name_for_it() -> None:
    with pytest.raises(NoServerFound):
        _ = make_target().server


def test_the_backend_without_a_default_address_wants_one() -> None:
    assert COMPATIBLE.urls == ()
    with pytest.raises(InvalidConfig, match="no default address") as caught:
        Client("openai").chat([{"role": "user", "content": "Hi"}])
    assert "base_url=" in str(caught.value)


def test_a_missing_file_of_certificates_is_named() -> None:
    client = Client("openai", base_url="https://127.0.0.1:9", model="m", verify="/no/such/file.pem")
    with pytest.raises(InvalidConfig, match=r"/no/such/file\.pem"):
        client.chat([{"role": "user", "content": "Hi"}])


def test_a_copy_keeps_its_key_and_shares_nothing() -> None:
    target = make_target("ollama", base_url=URL, api_key="sk-1", headers={"X-A": "b"})
    target.settle()
    twin = copy.deepcopy(target)
    assert twin.api_key == target.api_key
    assert twin.headers == target.headers
    twin.chosen["chat"] = "m"
    twin.runner["m"] = {"num_ctx": 1}
    assert target.chosen == {}
    assert target.runner == {}


def test_a_pickle_keeps_the_settings_but_neither_key_nor_what_was_learnt() -> None:
    target = make_target("ollama", base_url="http://ann:canary-1@127.0.0.1:9", api_key="canary-2", model="m", timeout=7)
    target.headers = make_target(headers={"X-Key": "canary-3"}).headers
    target.settle()
    packed = pickle.dumps(target)
    assert b"canary" not in packed
    back = pickle.loads(packed)
    assert (back.backend, back.model, back.timeout) == (target.backend, "m", Timeout(first_token=7, request=7))
    assert back.address.root == URL
    assert (back.api_key, back.headers, back.known) == (None, {}, None)


@pytest.mark.parametrize("wrong", [{"backend": 3}, {"backend": None}, {"base_url": 5}, {"model": ["m"]}])
def test_a_wrong_type_is_named(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(InvalidConfig, match=f"{name}=.*not a text"):
        Client(**wrong)


@pytest.mark.parametrize("limits", [Limits(line=0), Limits(body=-1), Limits(line="16 MiB")])  # pyright: ignore[reportArgumentType]
def test_a_limit_that_is_none_is_refused(limits: Limits) -> None:
    with pytest.raises(InvalidConfig, match=r"limits: (line|body)=.* is not above 0"):
        make_target(limits=limits)
