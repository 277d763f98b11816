"""A real `llama-server` as a router. The embedded server is built without that mode, so `make test-llama-server` fetches
the binary, or takes the one that LLAMA_SERVER names; nothing of this runs with the other tests.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from vessel_core import Message, Tool, demo_models
from vessel_core.errors import ModelLoading, ModelNotFound, ResponseError, Unsupported

from tests.core.driving import Connect, opened

HELLO: list[Message] = [{"role": "user", "content": "Hello"}]
WEATHER: Tool = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
#: What `--models-preset` reads. The name of the first stands in URLs, and the last file is cut off.
PRESETS = """\
[plain/chat:F16]
model = {folder}/chat.gguf
[eyes]
model = {folder}/chat.gguf
mmproj = {folder}/vision.gguf
[encoder]
model = {folder}/embedding.gguf
embeddings = true
[ranker]
model = {folder}/rerank.gguf
reranking = true
[broken]
model = {folder}/broken.gguf
"""
CHAT = "plain/chat:F16"
LISTENING = re.compile(r"listening on (http://[0-9.:]+)")


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    with opened(request.param) as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in ("chat", "vision", "embedding", "rerank"):
        shutil.copy(demo_models.path(name), folder / f"{name}.gguf")
    (folder / "broken.gguf").write_bytes((folder / "chat.gguf").read_bytes()[:3000])
    (folder / "presets.ini").write_text(PRESETS.format(folder=folder))
    return folder


@contextmanager
def llama_server(folder: Path, *arguments: str) -> Generator[str]:
    """Run the router on a port that the system picks, and read from its log where it listens."""
    models = ["--models-preset", str(folder / "presets.ini")]
    small = ["--no-warmup", "--ctx-size", "2048", "--parallel", "2", "--threads", "1", "--metrics"]
    command = [os.environ["LLAMA_SERVER"], "--host", "127.0.0.1", "--port", "0", *models, *small, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            url = next(found[1] for found in map(LISTENING.search, process.stdout) if found)
            threading.Thread(target=process.stdout.read, daemon=True).start()  # a full pipe would stop the server
            yield url
        finally:
            process.terminate()


@pytest.fixture
def router(folder: Path) -> Iterator[str]:
    with llama_server(folder) as url:
        yield url


def test_it_is_recognised_and_says_what_it_knows(connect: Connect, router: str) -> None:
    client = connect("auto", base_url=router)
    found = {model.id: model for model in client.models()}
    assert client.target.server.backend.name == "llamacpp"
    kinds = {name: model.kind for name, model in found.items()}
    assert kinds == {CHAT: None, "eyes": None, "encoder": "embedding", "ranker": "rerank", "broken": None}
    assert {model.state for model in found.values()} == {"unloaded"}
    assert (found["eyes"].capabilities.vision, found[CHAT].capabilities.vision) == (True, None)
    assert client.info().version is not None


def test_a_model_is_loaded_described_and_unloaded(connect: Connect, router: str) -> None:
    client = connect(base_url=router)
    assert client.capabilities(CHAT).tools is None
    assert [step.status for step in client.load(CHAT)][-1] == "loaded"
    assert [step.status for step in client.load(CHAT)] == ["loaded"]
    described = client.model_info(CHAT)
    assert (described.state, described.context_length, described.capabilities.tools) == ("loaded", 1024, True)
    client.unload(CHAT)
    client.unload(CHAT)


def test_every_kind_of_work_finds_its_model_without_a_name(connect: Connect, router: str) -> None:
    client = connect(base_url=router)
    list(client.load(CHAT))
    reply = client.chat([{"role": "user", "content": "What is the weather in Paris?"}], tools=[WEATHER])
    assert (reply.model, reply.tool_calls[0]["function"]["name"]) == (CHAT, "get_weather")
    assert client.complete("Hello", max_tokens=4).model == CHAT
    gap = client.complete("The ", suffix=" sea", max_tokens=4)
    assert (gap.model, gap.finish) == (CHAT, "stop")
    assert len(client.embed(["a fox", "a dog"]).vectors) == 2
    assert client.rerank("fox", ["a car", "a fox"])[0].index == 1


def test_every_question_about_a_model_finds_it_without_a_name(connect: Connect, router: str) -> None:
    client = connect(base_url=router)
    list(client.load(CHAT))
    assert client.detokenize(client.tokenize("Hello there")) == "Hello there"
    assert client.count_tokens("Hello there") == len(client.tokenize("Hello there", model=CHAT))
    assert client.count_chat_tokens(HELLO, tools=[WEATHER]) > client.count_chat_tokens(HELLO) > 5
    assert "Hello" in client.apply_template(HELLO)
    assert len(client.slots()) == 2
    assert "llamacpp:prompt_tokens_total" in client.metrics()
    assert client.lora_adapters() == []


def test_what_can_not_be_had_is_said(connect: Connect, router: str) -> None:
    client = connect(base_url=router)
    for ask in (
        lambda: client.chat(HELLO, model="eye"),
        lambda: list(client.load("eye")),
        lambda: client.unload("eye"),
    ):
        with pytest.raises(ModelNotFound, match="did you mean 'eyes'"):
            ask()
    with pytest.raises(ModelLoading, match="exit code 1"):
        list(client.load("broken"))
    with pytest.raises(ResponseError):
        client.chat(HELLO, model="broken")
    with pytest.raises(Unsupported, match="--reranking"):
        client.rerank("q", ["a"], model=CHAT)


def test_a_router_that_loads_nothing_by_itself(connect: Connect, folder: Path) -> None:
    with llama_server(folder, "--no-models-autoload") as url:
        client = connect(base_url=url)
        with pytest.raises(ModelNotFound, match=r"not loaded[\s\S]*`load\('eyes'\)`"):
            client.chat(HELLO, model="eyes")
        list(client.load("eyes"))
        assert client.chat(HELLO, model="eyes").text
        assert client.model_info().id == "eyes"
