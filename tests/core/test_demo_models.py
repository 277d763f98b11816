"""What the demo models do, asked over HTTP of real servers."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import sys
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from PIL import Image
from vessel_core import demo_models
from vessel_core.errors import ServerStartError
from vessel_core.local import LocalServer

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place, now and tomorrow, both in the same units",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "metric": {"type": "boolean"}},
            "required": ["city", "days", "metric"],
        },
    },
}
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
FACTS = {
    "Where do I put a new light bulb?": "The lamp above the desk takes bulbs of forty watts.",
    "How many students visited the library?": "Last year the library counted nine hundred visits by students.",
    "What happens when the battery is empty?": "An empty battery switches the device off after a minute.",
    "Which train goes to the coast?": "Trains to the coast leave from platform four.",
    "How long should the soup be cooked?": "Let the soup boil for twenty minutes, then add salt.",
    "Who repairs the bridge?": "A local company has been fixing the old bridge since March.",
    "What is stored in the cache folder?": "Files that were downloaded once are kept in the cache folder.",
    "When do the tennis lessons begin?": "Tennis lessons start at nine on Saturdays.",
    "How do I set the log level?": "Logging is configured by the variable LOG_LEVEL.",
    "Why was the flight late?": "Fog delayed all aircraft that morning.",
}


def reply(server: LocalServer, messages: str | list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    """Return the first choice of a chat."""
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    body = {"messages": messages, "max_tokens": 300, "seed": 7, **options}
    response = httpx.post(f"{server.base_url}/v1/chat/completions", json=body, timeout=30)
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]


def embed(server: LocalServer, texts: list[str]) -> list[list[float]]:
    response = httpx.post(f"{server.base_url}/v1/embeddings", json={"input": texts}, timeout=30)
    assert response.status_code == 200, response.text
    return [item["embedding"] for item in response.json()["data"]]


def hits(server: LocalServer) -> int:
    """Count the questions whose own fact has the highest cosine similarity (the vectors have length 1)."""
    questions, facts = embed(server, list(FACTS)), embed(server, list(FACTS.values()))
    best = [max(range(len(facts)), key=lambda at: sum(map(float.__mul__, q, facts[at]))) for q in questions]
    return sum(at == found for at, found in enumerate(best))


def picture(colour: str) -> dict[str, Any]:
    stream = io.BytesIO()
    Image.new("RGB", (48, 32), COLOURS[colour]).save(stream, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def test_a_folder_that_cannot_be_written_is_named_with_what_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(demo_models.CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(ServerStartError, match=r"can't be written to .*/file/demo-models") as raised:
        demo_models.path("assistant")
    assert "VESSEL_CACHE_DIR" in str(raised.value)


def test_a_build_is_byte_identical(tmp_path: Path) -> None:
    said: list[str] = []
    first = demo_models.build(tmp_path / "a", progress=said.append)
    second = demo_models.build(tmp_path / "b")
    for kind in get_args(demo_models.Kind):
        files: list[Path] = [getattr(first, kind), getattr(second, kind)]
        digests = {hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
        assert len(digests) == 1, kind
    assert len(said) == len(get_args(demo_models.Kind))
    assert {file.suffix for file in (tmp_path / "a").iterdir()} == {".gguf"}  # no temporary file is left


def test_a_built_model_is_not_built_again(tmp_path: Path) -> None:
    file = demo_models.path("vision", tmp_path)
    before = file.stat().st_mtime_ns
    said: list[str] = []
    assert demo_models.path("vision", tmp_path, progress=said.append) == file
    assert file.stat().st_mtime_ns == before
    assert said == []


def test_the_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(demo_models.CACHE_VARIABLE, str(tmp_path))
    assert demo_models.path("vision").is_relative_to(tmp_path)
    monkeypatch.delenv(demo_models.CACHE_VARIABLE)
    assert not demo_models.default_directory().is_relative_to(tmp_path)


@pytest.mark.parametrize("module", ["gguf", "vessel_demo_model"])
@pytest.mark.parametrize("folder", [True, False])
def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, folder: bool) -> None:
    monkeypatch.setenv(demo_models.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, module, None)
    what = rf"'{module.replace('_', '-')}'.*\n.*vessel-core\[demo\].*integrations/demo-model"
    with pytest.raises(ServerStartError, match=what):
        demo_models.path("chat", tmp_path if folder else None)


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServerStartError, match="thinking_forced"):
        demo_models.path("poetry", tmp_path)  # pyright: ignore[reportArgumentType] - what the test is about


def test_a_chat_is_short_and_ends_by_itself(chat_server: LocalServer) -> None:
    replies = [reply(chat_server, "Hello!", seed=seed) for seed in range(20)]
    assert {choice["finish_reason"] for choice in replies} == {"stop"}
    texts = {choice["message"]["content"] for choice in replies}
    assert len(texts) > 3
    assert all(text.endswith(".") and len(text) < 250 for text in texts)


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_a_tool_is_called_once_with_typed_arguments_then_answered_in_text(
    chat_server: LocalServer, choice: str
) -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "How is the weather?"}]
    for seed in range(10):
        called = reply(chat_server, messages, tools=[WEATHER], tool_choice=choice, seed=seed)
        assert called["finish_reason"] == "tool_calls"
        (call,) = called["message"]["tool_calls"]
        assert call["function"]["name"] == "get_weather"
        arguments = json.loads(call["function"]["arguments"])
        assert {name: type(value) for name, value in arguments.items()} == {"city": str, "days": int, "metric": bool}
        result = {"role": "tool", "tool_call_id": str(call["id"]), "content": "18 degrees"}
        answered = reply(chat_server, [*messages, called["message"], result], tools=[WEATHER], seed=seed)
        assert answered["finish_reason"] == "stop"
        assert answered["message"]["content"].endswith(".")
        assert not answered["message"].get("tool_calls")


def test_a_city_of_the_question_comes_back_as_the_argument(chat_server: LocalServer) -> None:
    for city in ("Tokyo", "Lima", "Vienna"):
        message = reply(chat_server, f"How is the weather in {city}?", tools=[WEATHER])["message"]
        assert json.loads(message["tool_calls"][0]["function"]["arguments"])["city"] == city


def test_the_next_question_may_be_answered_by_a_tool_again(chat_server: LocalServer) -> None:
    first = [{"role": "user", "content": "How is the weather?"}]
    message = reply(chat_server, first, tools=[WEATHER])["message"]
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "18 degrees"}
    later = [{"role": "assistant", "content": "It is warm."}, {"role": "user", "content": "And tomorrow?"}]
    again = reply(chat_server, [*first, message, result, *later], tools=[WEATHER])
    assert len(again["message"]["tool_calls"]) == 1


def test_the_word_both_makes_two_calls(chat_server: LocalServer) -> None:
    for seed in range(5):
        called = reply(chat_server, "The weather in both cities?", tools=[WEATHER], seed=seed)
        assert [call["function"]["name"] for call in called["message"]["tool_calls"]] == ["get_weather"] * 2
        assert len({call["id"] for call in called["message"]["tool_calls"]}) == 2


def test_json_fits_its_schema(chat_server: LocalServer) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer", "minimum": 10, "maximum": 99},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "mood": {"enum": ["good", "bad"]},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "required": ["name", "age", "tags", "mood", "note"],
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    for seed in range(5):
        choice = reply(chat_server, "Who is it?", response_format=wanted, seed=seed)
        person = json.loads(choice["message"]["content"])
        assert choice["finish_reason"] == "stop"
        assert list(person) == schema["required"]
        assert 10 <= person["age"] <= 99
        assert len(person["tags"]) >= 2
        assert person["mood"] in ("good", "bad")


@pytest.mark.parametrize("colour", COLOURS)
def test_the_colour_of_a_picture_is_seen(chat_server: LocalServer, colour: str) -> None:
    parts = [{"type": "text", "text": "Which colour is it?"}, picture(colour)]
    content = reply(chat_server, [{"role": "user", "content": parts}])["message"]["content"]
    assert [name for name in COLOURS if name in content] == [colour]


def test_one_chat_server_makes_embeddings_too(chat_server: LocalServer) -> None:
    assert hits(chat_server) >= 3  # chance would give 1 of 10


def test_lexical_embeddings_find_the_passage(embedding_server: LocalServer) -> None:
    assert hits(embedding_server) >= 8


@pytest.mark.parametrize("server", ["thinking_server", "forced_thinking_server"])
def test_thoughts_come_before_the_answer(server: str, request: pytest.FixtureRequest) -> None:
    running: LocalServer = request.getfixturevalue(server)
    message = reply(running, "Hello!")["message"]
    assert message["reasoning_content"]
    assert message["content"].endswith(".")
    assert "think" not in message["content"]
    called = reply(running, "The weather?", tools=[WEATHER])["message"]
    assert called["reasoning_content"]
    assert len(called["tool_calls"]) == 1


def test_thinking_can_be_switched_off_unless_it_is_forced(
    thinking_server: LocalServer, forced_thinking_server: LocalServer
) -> None:
    off = {"enable_thinking": False}
    quiet = reply(thinking_server, "Hello!", chat_template_kwargs=off)["message"]
    assert not quiet.get("reasoning_content")
    assert quiet["content"].endswith(".")
    assert reply(forced_thinking_server, "Hello!", chat_template_kwargs=off)["message"]["reasoning_content"]


def test_the_reranker_puts_the_passage_with_the_words_first(rerank_server: LocalServer) -> None:
    documents = ["Cats sleep all day.", "The server listens on port 8080.", "Bread is baked in an oven."]
    body = {"query": "On which port does the server listen?", "documents": documents}
    response = httpx.post(f"{rerank_server.base_url}/v1/rerank", json=body, timeout=30)
    assert response.status_code == 200, response.text
    assert response.json()["results"][0]["index"] == 1
