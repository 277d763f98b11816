"""Which server answers is told by what it says, and said if it is not the one that was configured."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from vessel_core import Client
from vessel_core.backends import BACKENDS, OLLAMA, find_backend, recognise
from vessel_core.backends.llamacpp_features import routed
from vessel_core.errors import Unsupported, VesselError

from tests.core.driving import Connect
from tests.core.wire.play import HELLO
from tests.fake_server import (
    FakeServer,
    Response,
    Routes,
    llamacpp_server,
    lmstudio_server,
    ollama_server,
    openai_server,
    transcript,
)

LOCALAI = {"object": "list", "data": [{"id": "phi", "object": "model"}]}
NO_MODELS = Response.json({"object": "list", "data": []})
LOADED = {"id": "phi", "object": "model", "type": "llm", "state": "not-loaded", "max_context_length": 4096}
SWAP = {"id": "phi", "object": "model", "owned_by": "llama-swap", "status": {"value": "unloaded"}}
ROUTED = {"id": "phi", "object": "model", "owned_by": "llamacpp", "status": {"value": "unloaded"}}
USERS = {"id": "phi", "object": "model", "created": 0, "owned_by": "user"}
UNEXPECTED = Response.json({"error": "Unexpected endpoint or method. (GET /v1/models)"})
PLAYS_OLLAMA: Routes = {
    ("GET", "/"): Response.text("Ollama is running"),
    ("GET", "/api/tags"): Response.json({"models": []}),
}


def listing(item: dict[str, Any], more: Routes | None = None, **headers: str) -> FakeServer:
    models = Response.json({"object": "list", "data": [item]})
    return FakeServer({("GET", "/v1/models"): models, **(more or {})}, headers=headers)


def saying(path: str, document: Any, **headers: str) -> FakeServer:
    """Return a server whose model list is empty, and that shows what it is elsewhere."""
    return FakeServer({("GET", "/v1/models"): NO_MODELS, ("GET", path): Response.json(document)}, headers=headers)


ROWS: dict[str, tuple[str, Callable[[], FakeServer]]] = {
    "a Server header": ("llamacpp", lambda: FakeServer(headers={"server": "llama.cpp"})),
    "a Server header of KoboldCpp's": (
        "koboldcpp",
        lambda: FakeServer(headers={"server": "ConcedoLlamaForKoboldServer"}),
    ),
    "llamacpp": ("llamacpp", lambda: llamacpp_server()),
    "a router": ("llamacpp", lambda: listing(ROUTED)),
    "a router by its props": (
        "llamacpp",
        lambda: saying("/props", {"role": "router", "default_generation_settings": {}}),
    ),
    "an old llama.cpp by its props": (
        "llamacpp",
        lambda: saying("/props", {"build_info": "b1-0c1e570", "total_slots": 1}),
    ),
    "vllm": ("vllm", lambda: openai_server(owned_by="vllm")),
    "vllm with another owner": (
        "vllm",
        lambda: listing(
            {"id": "phi", "object": "model", "owned_by": "me"},
            {("GET", "/version"): Response.json({"version": "0.33.0"}), ("GET", "/ping"): Response()},
        ),
    ),
    "what only tells its version": (
        "openai",
        lambda: listing(
            {"id": "phi", "object": "model", "owned_by": "me"}, {("GET", "/version"): Response.json({"version": "1"})}
        ),
    ),
    "sglang": ("sglang", lambda: openai_server(owned_by="sglang")),
    "sglang playing Ollama": ("sglang", lambda: openai_server(owned_by="sglang", routes=PLAYS_OLLAMA)),
    "sglang by its model": ("sglang", lambda: saying("/model_info", {"model_path": "phi", "is_generation": True})),
    "koboldcpp": ("koboldcpp", lambda: openai_server(owned_by="koboldcpp", routes=PLAYS_OLLAMA)),
    "koboldcpp by its version": (
        "koboldcpp",
        lambda: saying("/api/extra/version", {"result": "KoboldCpp", "version": "1.102"}),
    ),
    "tabbyapi": ("tabbyapi", lambda: openai_server(owned_by="tabbyAPI")),
    "text-generation-webui": ("textgen", lambda: listing(USERS)),
    "llama-swap": ("llamaswap", lambda: listing(SWAP, {("GET", "/api/version"): Response.json({"version": "1"})})),
    "llama-swap by what runs": ("llamaswap", lambda: saying("/running", {"running": []})),
    "localai": ("localai", lambda: FakeServer({("GET", "/v1/models"): Response.json(LOCALAI), **PLAYS_OLLAMA})),
    "localai by its own page": ("localai", lambda: saying("/.well-known/localai.json", {"version": "3"})),
    "lmstudio": ("lmstudio", lambda: lmstudio_server()),
    "lmstudio by its owner": ("lmstudio", lambda: openai_server(owned_by="organization_owner")),
    "an older lmstudio": ("lmstudio", lambda: saying("/api/v0/models", {"object": "list", "data": [LOADED]})),
    "lmstudio by its error": ("lmstudio", lambda: FakeServer(otherwise=UNEXPECTED)),
    "ollama": ("ollama", lambda: ollama_server()),
    "ollama without models": ("ollama", lambda: ollama_server(models=[])),
    "a stranger": ("openai", lambda: openai_server(owned_by="somebody")),
    "a user's server": ("openai", lambda: openai_server(owned_by="user")),
    "silence": ("openai", lambda: FakeServer()),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_server_is_known_by_what_it_says(connect: Connect, row: str) -> None:
    name, made = ROWS[row]
    with made() as server:
        assert connect("auto", base_url=server.base_url).info().backend == name


def test_every_server_that_can_be_told_has_a_row() -> None:
    told = {name for name, _ in ROWS.values()}
    by_name_only = {"mlx", "litellm", "llamafile"}
    assert told | by_name_only == {backend.name for backend in BACKENDS}
    assert recognise({}) is None


# ------------------------------------------------------------------------------------------------- the wrong server


def test_a_server_that_is_another_one_is_told_once(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    with llamacpp_server(transcript("llamacpp/text.sse")) as server, caplog.at_level(logging.WARNING, "vessel_core"):
        client = connect("ollama", base_url=server.base_url)
        for _ in range(2):
            with pytest.raises(VesselError, match=server.base_url):
                client.models()
    assert f"{server.base_url} points to llama.cpp, and not to Ollama." in caplog.text
    assert caplog.text.count("points to") == 1


def test_the_variable_that_is_wrong_is_named(
    connect: Connect, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ollama_server() as server, caplog.at_level(logging.WARNING, "vessel_core"):
        monkeypatch.setenv("LLAMACPP_URL", server.base_url)
        client = connect("llamacpp")
        client.models()
    assert "LLAMACPP_URL points to Ollama, and not to llama.cpp. Say backend='ollama'" in caplog.text


def test_the_error_of_a_list_that_is_not_there_says_it_too(connect: Connect) -> None:
    with llamacpp_server() as server:
        with pytest.raises(VesselError, match=r"points to llama\.cpp, and not to Ollama"):
            connect("ollama", base_url=server.base_url).models()


TEXT = transcript("llamacpp/text.sse")
OF_OLLAMA = TEXT.replace(b'"b1-0c1e570"', b'"fp_ollama"')
OF_LMSTUDIO = TEXT.replace(b'"b1-0c1e570"', b'"plain.gguf"')
STRANGERS: list[tuple[str, Callable[[], FakeServer], str]] = [
    ("lmstudio", lambda: llamacpp_server(TEXT), "llama.cpp, and not to LM Studio"),
    ("vllm", lambda: openai_server(TEXT), "llama.cpp, and not to vLLM"),
    ("lmstudio", lambda: openai_server(OF_OLLAMA), "Ollama, and not to LM Studio"),
    ("llamacpp", lambda: openai_server(OF_LMSTUDIO), "LM Studio, and not to llama.cpp"),
]


@pytest.mark.parametrize(("backend", "made", "said"), STRANGERS, ids=[said for _, _, said in STRANGERS])
def test_the_first_answer_tells_another_server_without_a_request_more(
    connect: Connect, caplog: pytest.LogCaptureFixture, backend: str, made: Callable[[], FakeServer], said: str
) -> None:
    with made() as server:
        client = connect(backend, base_url=server.base_url, model="m")
        for _ in range(2):
            client.chat([HELLO])
        assert len(server.requests) == 2
    assert caplog.text.count(f"points to {said}. Say backend=") == 1


@pytest.mark.parametrize("backend", ["openai", "llamaswap", "litellm", "llamafile"])
def test_who_hands_answers_on_or_is_known_by_name_only_is_not_told_by_them(
    connect: Connect, caplog: pytest.LogCaptureFixture, backend: str
) -> None:
    with llamacpp_server(TEXT) as server:
        connect(backend, base_url=server.base_url, model="m").chat([HELLO])
    assert "points to" not in caplog.text


Ask = Callable[[Client], object]
ASKED: list[tuple[str, Callable[[], FakeServer], Ask]] = [
    ("ollama", lambda: llamacpp_server(), lambda client: client.chat([HELLO])),
    ("ollama", lambda: lmstudio_server(), lambda client: client.embed(["a"])),
    ("ollama", lambda: lmstudio_server(), lambda client: list(client.load("m"))),
    ("llamacpp", lambda: ollama_server(), lambda client: list(client.load("m"))),
    ("llamacpp", lambda: lmstudio_server(), lambda client: client.count_tokens("a")),
    ("llamacpp", lambda: lmstudio_server(), lambda client: client.unload("m")),
    ("lmstudio", lambda: ollama_server(), lambda client: client.complete("a")),
]


@pytest.mark.parametrize(("backend", "made", "ask"), ASKED)
def test_an_error_of_another_server_says_that_it_is_one(
    connect: Connect, backend: str, made: Callable[[], FakeServer], ask: Ask
) -> None:
    with made() as server:
        client = connect(backend, base_url=server.base_url, model="m")
        for _ in range(2):
            with pytest.raises(Unsupported, match=rf"{server.base_url} points to .*and not to .*Say backend="):
                ask(client)


RIGHT: list[tuple[str, Callable[[], FakeServer], int]] = [
    ("llamacpp", lambda: llamacpp_server(transcript("llamacpp/text.sse")), 2),
    ("lmstudio", lambda: lmstudio_server(transcript("llamacpp/text.sse")), 1),
    ("ollama", lambda: ollama_server(transcript("ollama/text.ndjson")), 2),
    ("vllm", lambda: openai_server(transcript("llamacpp/text.sse"), owned_by="vllm"), 1),
    ("openai", lambda: openai_server(transcript("llamacpp/text.sse")), 1),
    ("mlx", lambda: openai_server(transcript("llamacpp/text.sse"), owned_by="mlx"), 1),
]


@pytest.mark.parametrize(("backend", "made", "asked"), RIGHT, ids=[name for name, _, _ in RIGHT])
def test_the_right_server_shows_itself_by_its_list_and_is_asked_no_more(
    connect: Connect, caplog: pytest.LogCaptureFixture, backend: str, made: Callable[[], FakeServer], asked: int
) -> None:
    with made() as server:
        connect(backend, base_url=server.base_url).chat([HELLO])
        assert len(server.requests) == asked + 1
    assert "points to" not in caplog.text


def test_a_stranger_in_the_place_of_a_server_is_no_other_one(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    with openai_server(owned_by="somebody") as server:
        connect("llamacpp", base_url=server.base_url).models()
    assert "points to" not in caplog.text


def test_who_cannot_be_asked_is_believed(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    gone = Response.hang_up("rst")
    with FakeServer({("GET", "/api/tags"): Response.text("no", 404)}, otherwise=gone) as server:
        with pytest.raises(VesselError):
            connect("ollama", base_url=server.base_url, max_retries=0).models()
    assert "points to" not in caplog.text


def test_evidence_of_one_server_is_not_of_another() -> None:
    assert OLLAMA.recognises({"/api/tags": {"models": []}, "/api/ps": {"models": []}})
    assert not OLLAMA.recognises({"/api/tags": {"models": []}})
    llamaswap, lmstudio = find_backend("llamaswap"), find_backend("lmstudio")
    assert llamaswap.recognises({"/running": {"running": []}})
    unknown = {"/running": {"error": "Unexpected endpoint or method. (GET /running)"}}
    assert (llamaswap.recognises(unknown), lmstudio.recognises(unknown)) == (False, True)


def test_a_router_tells_the_state_of_each_of_its_models() -> None:
    assert routed([{"id": "a", "status": {}}, {"id": "b", "status": {}}])
    assert not routed([{"id": "a", "status": {}}, {"id": "b"}])
    assert not routed([])
