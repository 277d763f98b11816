"""S3, S4: what is meant for a local server goes to no proxy, and what is meant for one server goes to no other."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_vessel import ChatVessel, VesselEmbeddings
from llama_index.embeddings.vessel import VesselEmbedding
from llama_index.llms.vessel import Vessel
from vessel_core import AsyncClient, Client
from vessel_core.address import Address, parse_address
from vessel_core.errors import InvalidConfig, ProtocolError, ServerUnreachable
from vessel_core.transport.connection import Connection
from vessel_core.transport.outgoing import pool_arguments

from tests.fake_server import FakeServer, Response, llamacpp_server, openai_server, transcript
from tests.faults.fault_server import FaultServer
from tests.security.faces import Face, opened

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
SECRETS: dict[str, Any] = {"api_key": "k-canary-1", "headers": {"X-Api-Key": "k-canary-2", "Cookie": "a=k-canary-3"}}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433"])
def test_local_traffic_goes_to_no_proxy(face: Face, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer() as proxy, llamacpp_server(transcript("llamacpp/text.sse")) as server:
        for name in PROXIES:
            monkeypatch.setenv(name, proxy.base_url)
        with opened(face, base_url=f"http://{host}:{server.port}", model="m", **SECRETS) as made:
            assert face.ask(made)
        assert server.asked("/v1/chat/completions")
        assert (proxy.connections, proxy.requests) == (0, [])


LOCAL = """localhost localhost. a.localhost. localhost.localdomain 127.0.0.1. gpu.lan gpu.home.arpa a.localhost
    gpu-box gpu-box.local box.internal host.docker.internal 127.0.0.1 127.9.9.9 127.1 0x7f.1
    2130706433 10.0.0.7 172.16.0.1 172.31.255.255 192.168.1.5 169.254.1.1 [::1] [fe80::1] [fd00::1] [::ffff:127.0.0.1]"""
ELSEWHERE = (
    "example.com llm.example.com 8.8.8.8 172.32.0.1 [2606:4700:4700::1111] localhost.example.com 127.0.0.1.example.com"
)


@pytest.mark.parametrize("host", LOCAL.split())
def test_a_host_of_this_machine_or_network_is_local(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address = parse_address(f"http://{host}:8080/v1")
    assert address.local
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    assert pool_arguments(Connection(address))["proxy"] is None


@pytest.mark.parametrize("host", ELSEWHERE.split())
def test_a_host_elsewhere_is_not(host: str) -> None:
    assert not parse_address(f"http://{host}").local


def test_a_host_elsewhere_goes_by_the_proxy_unless_the_environment_excepts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "other.example,llm.example.com")
    assert pool_arguments(Connection(Address("http://llm.example.net")))["proxy"] == "http://proxy:3128"
    assert pool_arguments(Connection(Address("http://llm.example.com:8080")))["proxy"] is None


@pytest.mark.parametrize("proxy", ["socks5://ann:pw@127.0.0.1:9", "foo://ann:pw@x", "::::"])
def test_a_proxy_that_cannot_be_used_is_told_without_its_login(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(InvalidConfig, match="proxy") as caught:
        pool_arguments(Connection(Address("http://llm.example.com")))
    assert "pw" not in str(caught.value)


async def test_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultServer() as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        async with AsyncClient("llamacpp", base_url="https://llm.example.com", model="m", api_key="canary") as client:
            with pytest.raises(ServerUnreachable, match="proxy lets nothing through: 404"):
                await client.chat([{"role": "user", "content": "Hello"}])
        assert "canary" not in "".join(proxy.heads)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
@pytest.mark.parametrize(
    "to", ["{other}/v1/chat/completions", "//127.0.0.1:{port}/", "http://ann:pw@127.0.0.1:{port}/"]
)
def test_a_redirect_to_another_server_sends_it_nothing(face: Face, status: int, to: str) -> None:
    with openai_server() as other:
        away = Response(status, {"location": to.format(other=other.base_url, port=other.port)})
        with FakeServer(otherwise=away) as server:
            with opened(face, "openai", base_url=server.base_url, model="m", **SECRETS) as made:
                with pytest.raises(ProtocolError, match="not followed") as caught:
                    face.ask(made)
            assert server.requests
        assert (other.connections, other.requests) == (0, [])
    assert "pw" not in str(caught.value)


def test_a_key_is_not_sent_where_a_server_is_only_looked_for(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    with openai_server() as stranger, llamacpp_server(transcript("llamacpp/text.sse")) as server:
        monkeypatch.setenv("LMSTUDIO_URL", stranger.base_url)
        monkeypatch.setenv("OLLAMA_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("LLAMACPP_URL", server.base_url)
        with opened(face, "auto", model="m", **SECRETS) as made:
            assert face.ask(made)
        assert server.asked("/v1/chat/completions")[0].headers["authorization"] == "Bearer k-canary-1"
        assert stranger.requests
        assert not [each for each in stranger.requests if "k-canary" in repr(each.headers)]


def test_an_address_keeps_its_login_to_itself() -> None:
    ours, theirs = parse_address("http://ann:pw@127.0.0.1:1"), Address("http://127.0.0.1:2")
    assert ours.authorization is not None
    assert theirs.authorization is None


@pytest.mark.parametrize("make", [Client, AsyncClient, ChatVessel, VesselEmbeddings, Vessel, VesselEmbedding])
def test_certificates_that_are_not_checked_are_warned_of_once(make: Any) -> None:
    with pytest.warns(UserWarning, match="verify=False") as caught:
        made = make(backend="llamacpp", base_url="https://127.0.0.1:9", model="m", verify=False)
    assert len(caught) == 1
    assert "127.0.0.1:9" in repr(made)  # which makes its clients, and warns no more
