"""Vessel passes all of the suite: on real servers, and on exact bytes in both dialects."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from llama_index.core.llms import LLM
from llama_index.embeddings.vessel import VesselEmbedding
from llama_index.llms.vessel import Vessel
from vessel_core.local import LocalServer

from tests.llama_index.conformance import (
    OLLAMA,
    Dialect,
    EmbeddingConformance,
    LLMConformance,
    OpenAIEmbeddingConformance,
    OpenAIWireConformance,
    ParallelToolConformance,
    StructuredConformance,
    ThinkingConformance,
    VisionConformance,
    WireConformance,
)

SUITE = Path(__file__).parent / "conformance"


def test_the_suite_stands_alone() -> None:
    """It can be copied to another project: it needs pytest, pydantic and LlamaIndex's core."""
    needed: set[str] = set()
    for source in SUITE.glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                needed.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                needed.add(str(node.module))
    others = {name for name in needed if name.partition(".")[0] not in sys.stdlib_module_names}
    assert {".".join(name.split(".")[:2]) for name in others} == {"pytest", "pydantic", "llama_index.core"}


class OnLlamaCpp:
    """Makes the objects, and closes them."""

    base_url = ""
    context_window = 8192

    def closing(self, server: LocalServer) -> Iterator[None]:
        self.base_url = server.base_url
        self.made: list[Vessel] = []
        yield
        for llm in self.made:
            llm.close()

    def make(self) -> LLM:
        self.made.append(Vessel(backend="llamacpp", base_url=self.base_url, temperature=0, seed=1))
        return self.made[-1]


@pytest.mark.usefixtures("nothing_left_open")
class TestVesselOnARealServer(
    OnLlamaCpp, LLMConformance, ParallelToolConformance, StructuredConformance, VisionConformance
):
    @pytest.fixture(autouse=True)
    def on_server(self, chat_server: LocalServer) -> Iterator[None]:
        yield from self.closing(chat_server)


@pytest.mark.usefixtures("nothing_left_open")
class TestVesselOnARealServerThatThinks(
    OnLlamaCpp, LLMConformance, ThinkingConformance, ParallelToolConformance, StructuredConformance
):
    @pytest.fixture(autouse=True)
    def on_server(self, thinking_server: LocalServer) -> Iterator[None]:
        yield from self.closing(thinking_server)


class TestVesselOnTheWire(OpenAIWireConformance):
    def make(self, base_url: str) -> LLM:
        return Vessel(backend="openai", base_url=base_url, model="demo")


class TestVesselOnLMStudiosWire(OpenAIWireConformance):
    def make(self, base_url: str) -> LLM:
        return Vessel(backend="lmstudio", base_url=base_url, model="demo")


class TestVesselOnLlamaCppsWire(OpenAIWireConformance):
    def make(self, base_url: str) -> LLM:
        return Vessel(backend="llamacpp", base_url=base_url, model="demo")


class TestVesselOnOllamasWire(WireConformance):
    @property
    def dialect(self) -> Dialect:
        return OLLAMA

    def make(self, base_url: str) -> LLM:
        return Vessel(backend="ollama", base_url=base_url, model="demo")


class TestVesselEmbedding(OpenAIEmbeddingConformance):
    def make(self, base_url: str, batch_size: int) -> VesselEmbedding:
        return VesselEmbedding(backend="openai", base_url=base_url, model_name="demo", embed_batch_size=batch_size)


class TestVesselEmbeddingOnOllama(EmbeddingConformance):
    @property
    def dialect(self) -> Dialect:
        return OLLAMA

    def make(self, base_url: str, batch_size: int) -> VesselEmbedding:
        return VesselEmbedding(backend="ollama", base_url=base_url, model_name="demo", embed_batch_size=batch_size)
