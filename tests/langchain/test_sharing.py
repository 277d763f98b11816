"""Which models share their connections: those of one place, with one key and one way to be asked."""

from __future__ import annotations

import copy

import pytest
from langchain_core.runnables import ConfigurableField
from langchain_vessel import ChatVessel
from pydantic import SecretStr

from tests.fake_server import llamacpp_server
from tests.langchain.scripted import answer


async def test_calls_of_a_configurable_model_share_connections_and_never_a_key() -> None:
    """LangChain makes a new model for each such call."""
    with llamacpp_server(answer("Hi"), model="m") as server:
        configurable = ChatVessel(base_url=server.base_url).configurable_fields(
            temperature=ConfigurableField(id="t"), timeout=ConfigurableField(id="s"), api_key=ConfigurableField(id="k")
        )
        for turn in range(20):
            key = f"key-{turn % 2}"
            chosen = {"t": turn / 20, "k": SecretStr(key), "s": 30.0 + turn % 2}
            configurable.invoke("x", {"configurable": chosen})
            assert server.requests[-1].headers["authorization"] == f"Bearer {key}"
            await configurable.ainvoke("x", {"configurable": chosen})
            assert server.requests[-1].headers["authorization"] == f"Bearer {key}"
        configurable.invoke("x")
        assert "authorization" not in server.requests[-1].headers
        assert server.connections <= 2 * 2 + 1 + 3, "a sync and an async one for each place, and what identifies"


def test_copies_with_another_timeout_share_connections_too() -> None:
    with llamacpp_server(answer("Hi"), model="m") as server:
        chat = ChatVessel(base_url=server.base_url)
        for turn in range(12):
            copy.copy(chat).model_copy(update={"timeout": 30.0 + turn % 2}).invoke("x")
        assert server.connections <= 4


def test_a_server_that_was_found_is_found_anew_by_the_next_model(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    for text in ("One", "Two"):
        with llamacpp_server(answer(text)) as server:
            monkeypatch.setenv("LLAMACPP_URL", server.base_url)
            said.append(ChatVessel(backend="llamacpp").invoke("x").text)
    assert said == ["One", "Two"]
