"""The table of servers: what a row says, and that one more row is all a new server takes."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import pytest
from vessel_core.backends import BACKENDS, COMPATIBLE, LLAMACPP, LMSTUDIO, OLLAMA, Backend, find_backend
from vessel_core.backends.base import choose_model, find_model, parse_backend, same_model
from vessel_core.errors import InvalidConfig, Unsupported
from vessel_core.types import Message, ModelInfo

from tests.core.wire.play import HELLO, ask, body_of


def test_the_three_servers_and_any_other_are_known() -> None:
    assert all(row in BACKENDS for row in (LLAMACPP, LMSTUDIO, OLLAMA))
    assert BACKENDS[-1] is COMPATIBLE


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def test_no_two_servers_share_a_name_or_a_variable() -> None:
    names = [name for row in BACKENDS for name in {_plain(name) for name in (row.name, row.title, *row.aliases)}]
    assert sorted(set(names)) == sorted(names)
    variables = [row.env for row in BACKENDS if row.env]
    assert len(set(variables)) == len(variables)


@pytest.mark.parametrize("row", BACKENDS, ids=lambda row: row.name)
def test_a_row_is_found_by_all_its_names_and_survives_a_pickle(row: Backend) -> None:
    for name in (row.name, row.title, *row.aliases):
        assert parse_backend(name, BACKENDS) is row
    assert pickle.loads(pickle.dumps(row)) is row
    assert copy.deepcopy(row) is row
    assert repr(row) == f"Backend({row.name!r})"
    assert row.start or row.name == "openai"  # any server: nobody knows what starts it
    assert row.health.startswith("/")


def test_one_more_row_is_one_more_server() -> None:
    mine = replace(COMPATIBLE, name="mine", title="My server", aliases=("my-own",), health="/ping")
    assert parse_backend("My Own", (*BACKENDS, mine)) is mine
    with pytest.raises(InvalidConfig, match="'mine'"):
        parse_backend("other", (*BACKENDS, mine))


def test_a_feature_a_server_has_not_is_unsupported() -> None:
    assert LLAMACPP.feature("tokenize", "tokenize")
    with pytest.raises(Unsupported, match="Ollama can't tokenize"):
        OLLAMA.feature("tokenize", "tokenize")


def model(name: str, kind: str | None = None, state: str | None = None) -> ModelInfo:
    return ModelInfo(name, kind, state)  # pyright: ignore[reportArgumentType] - as a server would say


@pytest.mark.parametrize(
    ("models", "kind", "chosen"),
    [
        ([model("a"), model("b")], "chat", "a"),
        ([model("a", state="unloaded"), model("b", state="loaded")], "chat", "b"),
        ([model("e", "embedding", "loaded"), model("c", "chat", "unloaded")], "chat", "c"),
        ([model("c", "chat", "loaded"), model("e", "embedding", "unloaded")], "embedding", "e"),
        ([model("c", "chat", "loaded")], "embedding", "c"),
        ([model("e", "embedding"), model("x")], "chat", "x"),
    ],
)
def test_the_model_to_use_fits_and_is_loaded_if_one_is(models: list[ModelInfo], kind: str, chosen: str) -> None:
    found = choose_model(models, kind)
    assert found is not None
    assert found.id == chosen


def test_no_models_are_no_choice_and_an_unknown_one_is_described_by_its_name() -> None:
    assert choose_model([], "chat") is None
    assert find_model([], None) == ModelInfo("")
    assert find_model([model("a")], "b") == ModelInfo("b")
    assert find_model([model("A:latest")], "a").id == "A:latest"
    assert same_model("Qwen3", "qwen3:latest")
    assert not same_model("qwen3:8b", "qwen3")


@pytest.mark.parametrize(
    ("name", "field"),
    [
        *(("llamacpp", "reasoning_content"), ("lmstudio", "reasoning_content"), ("sglang", "reasoning_content")),
        *(("tabbyapi", "reasoning_content"), ("textgen", "reasoning_content"), ("litellm", "reasoning_content")),
        *(("vllm", "reasoning"), ("mlx", "reasoning"), ("localai", "reasoning")),
    ],
)
def test_what_was_thought_goes_back_in_the_field_the_server_reads(name: str, field: str) -> None:
    backend = find_backend(name)
    turn: Message = {"role": "assistant", "content": "Hi", "reasoning": "hm"}
    sent = body_of(backend.dialect.encode_chat(ask(HELLO, turn, HELLO), backend.quirks))["messages"][1]
    assert sent == {"role": "assistant", "content": "Hi", field: "hm"}
