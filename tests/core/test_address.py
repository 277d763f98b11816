"""Which URLs are taken, what becomes of them, and which hosts are local."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vessel_core import Client
from vessel_core.address import Address, parse_address
from vessel_core.errors import InvalidConfig


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("http://localhost:8080", "http://localhost:8080"),
        (" http://localhost:8080/ ", "http://localhost:8080"),
        ("HTTP://LocalHost:8080/v1", "http://localhost:8080"),
        ("http://localhost:8080/v1/", "http://localhost:8080"),
        ("http://localhost:8080/v1/chat/completions", "http://localhost:8080"),
        ("http://localhost:11434/api", "http://localhost:11434"),
        ("http://localhost:1234/api/v1", "http://localhost:1234"),
        ("https://host/llm/v1", "https://host/llm"),
        ("http://0.0.0.0:11434", "http://127.0.0.1:11434"),
        ("http://[::]:11434", "http://[::1]:11434"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://host:8080#y", "http://host:8080"),
    ],
)
def test_a_url_is_cut_to_the_root_of_its_server(url: str, root: str) -> None:
    assert parse_address(url) == Address(root)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("", "no scheme"),
        ("localhost:8080", "Did you mean base_url='http://localhost:8080'"),
        ("ftp://host", "no scheme http:// or https://"),
        ("file:///etc/passwd", "no scheme http:// or https://"),
        ("http://", "no host"),
        ("http://:8080", "no host"),
        ("http:///v1", "no host"),
        ("http://host:port", "is no URL"),
        ("http://host:99999", "is no URL"),
        ("http://[::1", "is no URL"),
        ("http://a b", "white space"),
        ("http://host\r\nX: y", "white space"),
        ("http://host/\x00", "white space"),
    ],
)
def test_what_is_no_url_of_a_server_is_refused_at_construction(url: str, what: str) -> None:
    with pytest.raises(InvalidConfig, match="base_url") as caught:
        Client("llamacpp", base_url=url)
    assert what in str(caught.value)


def test_a_key_in_the_query_is_refused_and_not_shown() -> None:
    for url in ("http://host:8080/v1?api_key=sekrit", "ftp://host?api_key=sekrit", "http://ann:b@host?api_key=sekrit"):
        with pytest.raises(InvalidConfig) as caught:
            Client("openai", base_url=url)
        assert "sekrit" not in str(caught.value)
    with pytest.raises(InvalidConfig, match="api_key="):
        Client("openai", base_url="http://host:8080/v1?api_key=sekrit")


def test_a_user_name_becomes_a_secret_header_and_is_shown_nowhere() -> None:
    address = parse_address("http://ann:p%40ss@host:8080/v1")
    assert address.root == "http://host:8080"
    assert address.authorization is not None
    assert address.authorization.get_secret_value() == "Basic YW5uOnBAc3M="
    assert "ann" not in repr(address)
    with pytest.raises(InvalidConfig) as caught:
        parse_address("http://ann:secret@host:nonsense")
    assert "secret" not in str(caught.value)
    assert "host:nonsense" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:1", True),
        ("http://127.0.0.1:1", True),
        ("http://127.8.9.1", True),
        ("http://[::1]:1", True),
        ("http://10.1.2.3", True),
        ("http://192.168.1.5", True),
        ("http://172.16.0.9", True),
        ("http://169.254.1.1", True),
        ("http://[fe80::1]", True),
        ("http://[fd00::1]", True),
        ("http://gpu-box:8080", True),
        ("http://gpu.local", True),
        ("http://host.docker.internal:11434", True),
        ("http://8.8.8.8", False),
        ("http://[2001:4860::1]", False),
        ("https://llm.example.com", False),
        ("https://localhost.example.com", False),
        ("https://10.1.2.3.example.com", False),
    ],
)
def test_hosts_of_this_machine_and_its_network_are_local(url: str, local: bool) -> None:
    assert parse_address(url).local is local


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for lenient in (False, True):
        try:
            address = parse_address(text, lenient=lenient)
        except InvalidConfig:
            continue
        assert address.root.startswith(("http://", "https://"))
        assert parse_address(address.root) == Address(address.root)
        assert address.local in (True, False)
