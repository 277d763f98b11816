"""What comes under several names at once: dicts are put together, of two values none is dropped without a word."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_vessel import ChatVessel, VesselEmbeddings
from pydantic import SecretStr
from vessel_core.errors import InvalidConfig

from tests.fake_server import FakeServer, ollama_server
from tests.langchain.scripted import ollama_answer


def sent(server: FakeServer, path: str = "/v1/chat/completions") -> dict[str, Any]:
    return server.asked(path)[-1].json()


@pytest.mark.parametrize("cls", [ChatVessel, VesselEmbeddings])
@pytest.mark.parametrize("backwards", [False, True])
def test_dicts_under_several_names_are_put_together_in_any_order(cls: Any, backwards: bool) -> None:
    headers = {
        "headers": {"X-A": "a"},
        "default_headers": {"X-B": "b", "X-A": SecretStr("a")},
        "extra_headers": {"X-C": "c"},
        "client_kwargs": {"headers": {"X-D": "d"}, "timeout": 3},
        "timeout": 3,
    }
    bodies = {"tfs_z": 0.9, "model_kwargs": {"foo": 1}, "extra_body": {"bar": 2, "options": {"low": 1}}}
    given = list({**headers, **bodies}.items())
    made = cls(**dict(given[::-1] if backwards else given))
    assert {name: value.get_secret_value() for name, value in made.headers.items()} == {
        f"X-{name}": name.lower() for name in "ABCD"
    }
    assert made.extra_body == {"foo": 1, "bar": 2, "options": {"low": 1, "tfs_z": 0.9}}
    assert made.timeout == 3


@pytest.mark.parametrize("cls", [ChatVessel, VesselEmbeddings])
@pytest.mark.parametrize(
    "arguments",
    [
        {"timeout": 9, "request_timeout": 3},
        {"timeout": 9, "client_kwargs": {"timeout": 3}},
        {"verify": False, "client_kwargs": {"verify": True}},
        {"api_key": "key-1", "openai_api_key": "key-2"},
        {"headers": {"X-Team": "key-1"}, "default_headers": {"X-Team": "key-2"}},
        {"extra_body": {"a": 1}, "model_kwargs": {"a": 2}},
        {"model": "a", "model_name": "b"},
    ],
)
def test_what_is_given_twice_with_different_values_is_refused(cls: Any, arguments: dict[str, Any]) -> None:
    for given in (arguments, dict(list(arguments.items())[::-1])):
        with pytest.raises(InvalidConfig, match="given twice") as refused:
            cls(**given)
        assert "key-1" not in str(refused.value)


def test_an_option_that_is_given_twice_with_different_values_is_refused() -> None:
    with pytest.raises(InvalidConfig, match=r"`max_tokens` .once as `num_predict`. is given twice"):
        ChatVessel(max_tokens=5, num_predict=6)  # pyright: ignore[reportCallIssue]
    with pytest.raises(InvalidConfig, match="`temperature`"):
        ChatVessel(temperature=0.1, model_kwargs={"temperature": 0.9})  # pyright: ignore[reportCallIssue]
    assert ChatVessel(max_tokens=5, num_predict=5).max_tokens == 5  # pyright: ignore[reportCallIssue]
    assert ChatVessel(max_tokens=None, num_predict=6).max_tokens == 6  # pyright: ignore[reportCallIssue]


def test_a_calls_own_options_stand_beside_those_of_the_model() -> None:
    with ollama_server(ollama_answer(["Hi"])) as server:
        chat = ChatVessel(base_url=server.base_url, model="qwen3:8b", extra_body={"options": {"one": 1}, "a": 1})
        chat.bind(max_tokens=5, tfs_z=0.9).invoke(
            "x", num_predict=6, options={"novel": 1, "top_k": 3}, extra_body={"b": 2, "options": {"two": 2}}
        )
        body = sent(server, "/api/chat")
    assert (body["a"], body["b"], body["novel"]) == (1, 2, 1)
    assert body["options"].items() >= {"one": 1, "two": 2, "tfs_z": 0.9, "num_predict": 6, "top_k": 3}.items()


def test_an_embeddings_misspelt_option_is_not_corrected_to_itself() -> None:
    with pytest.raises(InvalidConfig) as refused:
        VesselEmbeddings(reasoning_effort="low")  # pyright: ignore[reportCallIssue]
    assert "did you mean" not in str(refused.value)
