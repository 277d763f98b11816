"""S6: no text that comes in by a name, a key, a header or a URL changes which request is made, or leaks a raw error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vessel_core import Client
from vessel_core.address import parse_address
from vessel_core.backends import lmstudio_features
from vessel_core.errors import InvalidConfig, VesselError

from tests.fake_server import (
    FakeServer,
    Request,
    Response,
    llamacpp_server,
    lmstudio_server,
    ollama_server,
    openai_server,
    transcript,
)
from tests.security.faces import Face, opened
from tests.security.injections import INJECTIONS

TEXT = transcript("llamacpp/text.sse")
SENT = {"host", "accept", "connection", "accept-encoding", "user-agent", "content-type", "content-length"}


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A server that plays one answer to every chat."""
    with openai_server(TEXT) as playing:
        yield playing


def asked(server: FakeServer) -> list[Request]:
    """Return the requests that came since the last look."""
    found, server.requests = server.requests, []
    return found


def outcome(face: Face, made: Any) -> VesselError | None:
    """Ask; return our error if one comes. Any other is raised."""
    try:
        face.ask(made)
    except VesselError as error:
        return error
    return None


def test_there_are_two_hundred_of_them() -> None:
    assert len(set(INJECTIONS)) >= 200


@pytest.mark.parametrize("backend", ["openai", "llamacpp", "ollama"])
def test_a_models_name_changes_no_request(face: Face, backend: str) -> None:
    playing = ollama_server(transcript("ollama/text.ndjson")) if backend == "ollama" else openai_server(TEXT)
    with playing as server, opened(face, backend, base_url=server.base_url, model="m") as made:
        face.ask(made)
        usual = {(request.method, request.path, request.query) for request in server.requests} | {("GET", "/props", "")}
        if backend == "ollama":
            usual |= {("POST", "/api/show", ""), ("GET", "/api/ps", ""), ("GET", "/api/tags", "")}
        for name in INJECTIONS:
            server.requests.clear()
            with opened(face, backend, base_url=server.base_url, model=name, max_retries=0) as named:
                outcome(face, named)
            assert server.requests, name
            assert {(each.method, each.path, each.query) for each in server.requests} <= usual | {
                ("GET", "/v1/models", "")
            }, name
            assert {header for each in server.requests for header in each.headers} <= SENT, name


@pytest.mark.parametrize("place", ["api_key", "value", "name"])
def test_a_header_is_sent_as_it_is_or_refused(face: Face, server: FakeServer, place: str) -> None:
    sent = 0
    shown: list[tuple[str, str]] = []
    for text in INJECTIONS:
        options: dict[str, Any] = {
            "api_key": {"api_key": text},
            "value": {"headers": {"X-Team": text}},
            "name": {"headers": {text: "boats"}},
        }[place]
        try:
            with opened(face, "openai", base_url=server.base_url, model="m", max_retries=0, **options) as made:
                error = outcome(face, made)
        except InvalidConfig as refused:
            shown.append((text, str(refused)))
            assert asked(server) == []
            continue
        if error is not None:  # the fake server's own limits, or h11's
            continue
        (request,) = (each for each in asked(server) if each.path != "/v1/models")
        sent += 1
        expected = {
            "api_key": ("authorization", f"Bearer {text}"),
            "value": ("x-team", text),
            "name": (text.lower(), "boats"),
        }
        name, value = expected[place]
        assert request.path == "/v1/chat/completions"
        assert set(request.headers) <= SENT | {name}
        assert (place == "api_key" and not text) or request.headers[name] == value.strip() or name in SENT
    assert sent > 10
    assert shown
    assert place == "name" or not [text for text, said in shown if len(text) > 5 and text in said]


def test_a_base_url_leads_to_its_host_and_nowhere_else(face: Face, server: FakeServer) -> None:
    sent = 0
    for text in INJECTIONS:
        url = f"http://127.0.0.1:{server.port}/{text}"
        try:
            with opened(face, "openai", base_url=url, model="m", max_retries=0) as made:
                outcome(face, made)
        except InvalidConfig:
            assert asked(server) == []
            continue
        for request in asked(server):
            sent += 1
            assert request.path.endswith(("/v1/chat/completions", "/v1/models")), text
            assert request.query == ""
            assert set(request.headers) <= SENT
            assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert sent > 50


@pytest.mark.parametrize("text", INJECTIONS)
def test_both_readers_of_a_url_see_the_same_host(text: str) -> None:
    for url in (
        f"http://{text}",
        f"http://{text}:8080/v1",
        f"http://localhost{text}",
        f"http://localhost:80{text}",
        text,
    ):
        assert_one_host(url)


@given(st.text() | st.from_regex(r"https?://[\x00-\x7f]{0,30}", fullmatch=True))
def test_any_text_is_a_url_whose_host_is_plain_or_is_refused(text: str) -> None:
    assert_one_host(text)


def assert_one_host(url: str) -> None:
    """Assert that what is checked (`local`, `secure`) is said of the host that is connected to."""
    try:
        address = parse_address(url)
    except InvalidConfig:
        return
    ours = urlsplit(address.root)
    if (ours.hostname or "").startswith("xn--") or ".xn--" in ours.netloc:
        with Client("openai", base_url=url, model="m", max_retries=0) as client, pytest.raises(VesselError):
            client.models()  # a name that stands for no other is refused when it is asked for
        return
    theirs = httpx.URL(address.root + "/v1/models")
    assert theirs.scheme == ours.scheme
    assert theirs.host.lower() == (ours.hostname or "").lower()
    assert theirs.port == ours.port or theirs.port is None
    assert theirs.userinfo == b""
    assert theirs.raw_path.endswith(b"/v1/models")


@given(st.text(max_size=60))
def test_any_key_is_sent_as_it_is_or_refused(key: str) -> None:
    try:
        Client("openai", base_url="http://127.0.0.1:9", api_key=key)
    except InvalidConfig as error:
        said = str(error)
    else:
        said = ""
    if said:
        assert len(key) < 6 or key not in said
        return
    client = Client("openai", base_url="http://127.0.0.1:9", api_key=key)
    headers = client.target.connection(parse_address("http://127.0.0.1:9")).headers
    assert [value.get_secret_value() for value in headers.values()] == ([f"Bearer {key}"] if key else [])
    assert key.isascii()
    assert "\n" not in key


def test_a_models_name_stays_one_value_of_a_query() -> None:
    for name in (text for text in INJECTIONS if text and len(text) < 1000):
        items = [{"id": name, "status": {"value": "loaded"}}, {"id": "other", "status": {"value": "unloaded"}}]
        routes = {("GET", "/v1/models"): Response.json({"data": items}), ("GET", "/slots"): Response.json([])}
        with llamacpp_server(routes=routes) as server:
            with Client("llamacpp", base_url=server.base_url, max_retries=0) as client:
                client.slots(model=name)
                client.model_info(re.sub("[\ud800-\udfff]", "\ufffd", name))
            asked = [(request.path, request.query) for request in server.requests if request.query]
        read = quote(re.sub("[\ud800-\udfff]", "\ufffd", name), safe="")
        slots = ("/slots", f"model={quote(name, safe='', errors='replace')}")
        assert asked == [slots, ("/props", f"model={read}&autoload=false")], name


def test_an_id_that_a_server_made_up_stays_one_part_of_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmstudio_features, "POLL", 0.0)
    for job in (text for text in INJECTIONS if len(text) < 1000):
        began = Response.json({"job_id": job, "status": "downloading"})
        with lmstudio_server(routes={("POST", "/api/v1/models/download"): began}) as server:
            server.otherwise = Response.json({"job_id": job, "status": "completed"})
            with Client("lmstudio", base_url=server.base_url, max_retries=0) as client:
                for _ in client.pull("m"):
                    pass
            paths = [request.path for request in server.requests[1:]]
        part = quote(re.sub("[\ud800-\udfff]", "\ufffd", job), safe="")
        part = part if part.strip(".") else part.replace(".", "%2E")
        assert paths == [f"/api/v1/models/download/status/{part}"], job
