"""Several servers by name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from vessel_core import Client, Registry
from vessel_core.errors import InvalidConfig
from vessel_core.local import LocalServer

from tests.fake_server import FakeServer, lmstudio_server, ollama_server


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    registry.register("one", Client("ollama", base_url="http://127.0.0.1:9"))
    registry.register("two", Client("llamacpp", base_url="http://127.0.0.1:10"))
    return registry


def test_the_first_is_active_until_another_is_made_so(registry: Registry) -> None:
    assert registry.active is registry.get("one")
    assert registry.activate("two") is registry.active is registry.get("two")
    assert repr(registry) == "Registry(one, two*)"


def test_a_name_is_taken_once(registry: Registry) -> None:
    with pytest.raises(InvalidConfig, match="'one' already"):
        registry.register("one", Client())
    with pytest.raises(InvalidConfig, match="needs a name"):
        registry.register(" ", Client())
    assert (list(registry), len(registry), "one" in registry, "three" in registry) == (["one", "two"], 2, True, False)


def test_what_is_taken_out_is_returned_and_the_next_one_becomes_active(registry: Registry) -> None:
    one = registry.get("one")
    assert registry.unregister("one") is one
    assert registry.active is registry.get("two")
    registry.unregister("two")
    with pytest.raises(InvalidConfig, match="No server is registered"):
        _ = registry.active


def test_an_unknown_name_is_answered_with_the_nearest_and_all(registry: Registry) -> None:
    for use in (registry.get, registry.activate, registry.unregister):
        with pytest.raises(InvalidConfig, match="did you mean 'two'") as caught:
            use("twoo")
        assert "Registered: 'one', 'two'." in str(caught.value)


def test_every_server_says_how_it_is(registry: Registry, chat_server: LocalServer) -> None:
    registry.register("real", Client("llamacpp", base_url=chat_server.base_url))
    infos = registry.infos()
    assert {name: info.connected for name, info in infos.items()} == {"one": False, "two": False, "real": True}
    registry.get("real").close()


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FakeServer, FakeServer]]:
    """Ollama and LM Studio where the environment says, llama.cpp not."""
    with FakeServer() as gone:
        pass
    with ollama_server() as ollama, lmstudio_server() as lmstudio:
        monkeypatch.setenv("OLLAMA_URL", ollama.base_url)
        monkeypatch.setenv("LMSTUDIO_URL", lmstudio.base_url)
        monkeypatch.setenv("LLAMACPP_URL", gone.base_url)
        yield ollama, lmstudio


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_running_servers_are_found_and_registered_once(running: tuple[FakeServer, FakeServer], kind: str) -> None:
    registry = Registry()

    def find() -> list[bool]:
        if kind == "sync":
            return [info.connected for info in registry.discover_and_register()]
        return [info.connected for info in asyncio.run(registry.adiscover_and_register())]

    assert sorted(find()) == [False, True, True]
    assert set(registry) == {"ollama", "lmstudio"}
    find()
    assert set(registry) == {"ollama", "lmstudio"}
    assert registry.get("ollama").info().models[0].id == "qwen3:8b"
    registry.get("ollama").close()


def test_a_second_server_of_a_kind_gets_a_number(running: tuple[FakeServer, FakeServer]) -> None:
    registry = Registry()
    registry.register("ollama", Client("ollama", base_url="http://127.0.0.1:9"))
    registry.discover_and_register()
    assert set(registry) == {"ollama", "ollama-2", "lmstudio"}
