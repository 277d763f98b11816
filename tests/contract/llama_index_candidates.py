"""LlamaIndex's classes for local servers in front of the conformance suite, each made as its documentation has it.

`make compare-llamaindex` runs this in an environment that has them; what plays bytes to Vessel is in `test_conformance`. Each
test class names the column its results go to.
"""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

import pytest
from vessel_core.local import LocalServer

from tests.llama_index import test_conformance as ours
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


def made(name: str, /, **options: Any) -> Any:
    """Return an object of a class, by its full name: not every environment has it."""
    module, _, kind = name.rpartition(".")
    return getattr(importlib.import_module(module), kind)(**options)


OPENAI_LIKE = "llama_index.llms.openai_like.OpenAILike"
OPENAI_LIKE_EMBEDDING = "llama_index.embeddings.openai_like.OpenAILikeEmbedding"
LM_STUDIO = "llama_index.llms.lmstudio.LMStudio"
OLLAMA_LLM = "llama_index.llms.ollama.Ollama"
OLLAMA_EMBEDDING = "llama_index.embeddings.ollama.OllamaEmbedding"
CHATS: dict[str, Any] = {"is_chat_model": True, "is_function_calling_model": True, "api_key": "fake"}

# ------------------------------------------------------------------------------------------------ byte by byte


class TestVessel(ours.TestVesselOnTheWire):
    column: ClassVar = "Vessel"


class TestOpenAILike(OpenAIWireConformance):
    column: ClassVar = "OpenAILike"

    def make(self, base_url: str) -> Any:
        return made(OPENAI_LIKE, model="demo", api_base=f"{base_url}/v1", **CHATS)


class TestLMStudio(OpenAIWireConformance):
    column: ClassVar = "LMStudio"

    def make(self, base_url: str) -> Any:
        return made(LM_STUDIO, model_name="demo", base_url=f"{base_url}/v1", temperature=0.7)


class TestVesselByOllama(ours.TestVesselOnOllamasWire):
    column: ClassVar = "Vessel, Ollama"


class TestOllama(WireConformance):
    column: ClassVar = "Ollama"

    @property
    def dialect(self) -> Dialect:
        return OLLAMA

    def make(self, base_url: str) -> Any:
        return made(OLLAMA_LLM, model="demo", base_url=base_url, request_timeout=120.0, context_window=8000)


# --------------------------------------------------------------------------------------- on a real llama.cpp server


class OnChatServer(LLMConformance, ParallelToolConformance, StructuredConformance, VisionConformance):
    base_url = ""
    context_window = 8192

    @pytest.fixture(autouse=True)
    def on_server(self, chat_server: LocalServer) -> None:
        self.base_url = chat_server.base_url


class OnThinkingServer(ThinkingConformance):
    base_url = ""

    @pytest.fixture(autouse=True)
    def on_server(self, thinking_server: LocalServer) -> None:
        self.base_url = thinking_server.base_url


class RealVessel:
    column: ClassVar = "Vessel"
    base_url: str

    def make(self) -> Any:
        return made("llama_index.llms.vessel.Vessel", base_url=self.base_url, temperature=0, seed=1)


class RealOpenAILike:
    column: ClassVar = "OpenAILike"
    base_url: str

    def make(self) -> Any:
        return made(OPENAI_LIKE, model="demo-chat", api_base=f"{self.base_url}/v1", temperature=0, **CHATS)


class RealLMStudio:
    column: ClassVar = "LMStudio"
    base_url: str

    def make(self) -> Any:
        return made(LM_STUDIO, model_name="demo-chat", base_url=f"{self.base_url}/v1", temperature=0)


class TestVesselOnLlamaCpp(RealVessel, OnChatServer): ...


class TestOpenAILikeOnLlamaCpp(RealOpenAILike, OnChatServer): ...


class TestLMStudioOnLlamaCpp(RealLMStudio, OnChatServer): ...


class TestVesselThinking(RealVessel, OnThinkingServer): ...


class TestOpenAILikeThinking(RealOpenAILike, OnThinkingServer): ...


class TestLMStudioThinking(RealLMStudio, OnThinkingServer): ...


# -------------------------------------------------------------------------------------------------- embeddings


class TestVesselEmbedding(ours.TestVesselEmbedding):
    column: ClassVar = "Vessel"


class TestOpenAILikeEmbedding(OpenAIEmbeddingConformance):
    column: ClassVar = "OpenAILike"

    def make(self, base_url: str, batch_size: int) -> Any:
        options: dict[str, Any] = {"api_base": f"{base_url}/v1", "api_key": "fake", "embed_batch_size": batch_size}
        return made(OPENAI_LIKE_EMBEDDING, model_name="demo", **options)


class TestVesselEmbeddingByOllama(ours.TestVesselEmbeddingOnOllama):
    column: ClassVar = "Vessel, Ollama"


class TestOllamaEmbedding(EmbeddingConformance):
    column: ClassVar = "Ollama"

    @property
    def dialect(self) -> Dialect:
        return OLLAMA

    def make(self, base_url: str, batch_size: int) -> Any:
        return made(OLLAMA_EMBEDDING, model_name="demo", base_url=base_url, embed_batch_size=batch_size)
