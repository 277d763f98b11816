"""Models by one string, with ours and with LangChain's own functions."""

from __future__ import annotations

from typing import Any

import langchain.agents
import pytest
from langchain.chat_models import init_chat_model
from langchain.embeddings import init_embeddings
from langchain_vessel import ChatVessel, VesselEmbeddings, register_providers, vessel
from vessel_core.errors import InvalidConfig
from vessel_core.local import LocalServer

from tests.fake_server import llamacpp_server
from tests.langchain.scripted import answer


@pytest.mark.parametrize(
    ("name", "backend", "model"),
    [
        ("", "auto", None),
        ("auto", "auto", None),
        ("ollama:qwen3", "ollama", "qwen3"),
        ("ollama:qwen3:8b", "ollama", "qwen3:8b"),
        ("llama.cpp", "llamacpp", None),
        ("lm-studio:google/gemma-4", "lmstudio", "google/gemma-4"),
        ("qwen3:8b", "auto", "qwen3:8b"),
        ("hf.co/org/model:Q4_K_M", "auto", "hf.co/org/model:Q4_K_M"),
    ],
)
def test_a_string_names_backend_and_model(name: str, backend: str, model: str | None) -> None:
    chat = vessel(name, temperature=0)
    assert (chat.backend, chat.model, chat.temperature) == (backend, model, 0)


def test_a_url_is_where_the_server_is() -> None:
    made = vessel("http://gpu-box:8080", temperature=0)
    assert (made.base_url, made.backend, made.model) == ("http://gpu-box:8080", "auto", None)
    with pytest.raises(InvalidConfig, match="http:// or https://"):
        vessel("ftp://gpu-box")


def test_options_go_before_the_string_and_wrong_ones_are_refused() -> None:
    assert vessel("ollama:qwen3", model="other").model == "other"
    with pytest.raises(InvalidConfig, match="did you mean 'temperature'"):
        vessel("ollama:qwen3", temperatur=0)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("ollma:qwen3:8b", "ollama"), ("Olama:x", "ollama"), ("lamacpp", "llamacpp"), ("lmstdio:x", "lmstudio")],
)
def test_a_backend_that_is_misspelt_is_no_model_on_any_server(name: str, meant: str) -> None:
    with pytest.raises(InvalidConfig, match=f"did you mean '{meant}'"):
        vessel(name)


@pytest.mark.parametrize("name", ["llama:7b", "llama3:8b", "olmo:7b", "open-llama", "vicuna", "llava:7b"])
def test_models_that_are_called_nearly_like_a_backend_stay_models(name: str) -> None:
    assert (vessel(name).backend, vessel(name).model) == ("auto", name)


def test_the_model_answers(chat_server: LocalServer) -> None:
    assert vessel("llamacpp", base_url=chat_server.base_url, max_tokens=20).invoke("Hello").text


def test_init_chat_model_knows_us_after_registering(monkeypatch: pytest.MonkeyPatch) -> None:
    register_providers()
    with llamacpp_server(answer("Hi")) as server:
        monkeypatch.setenv("LLAMACPP_URL", server.base_url)
        made = init_chat_model("llamacpp:m", temperature=0.5)
        assert isinstance(made, ChatVessel)
        assert (made.backend, made.model, made.temperature) == ("llamacpp", "m", 0.5)
        assert made.invoke("x").text == "Hi"
        assert isinstance(init_chat_model("m:tag", model_provider="vessel"), ChatVessel)
        agents: Any = langchain.agents
        agent = agents.create_agent("llamacpp:m")
        assert agent.invoke({"messages": [("user", "x")]})["messages"][-1].text == "Hi"
        configurable: Any = init_chat_model("llamacpp:m", configurable_fields=("temperature",))
        configurable.invoke("x", {"configurable": {"temperature": 0.9}})
        assert server.requests[-1].json()["temperature"] == 0.9


def test_init_embeddings_knows_us_after_registering() -> None:
    register_providers()
    made = init_embeddings("lmstudio:nomic", batch_size=8)
    assert isinstance(made, VesselEmbeddings)
    assert (made.backend, made.model, made.batch_size) == ("lmstudio", "nomic", 8)
