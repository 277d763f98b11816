"""LangChain's own unit suites."""

from __future__ import annotations

from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests
from langchain_vessel import ChatVessel, VesselEmbeddings


class TestChatVessel(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatVessel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "qwen3:8b", "backend": "ollama"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"OLLAMA_URL": "http://gpu-box:11434"}, {"backend": "ollama", "model": "m"}, {"model": "m"}


class TestChatVesselWithContentBlocks(TestChatVessel):
    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "qwen3:8b", "backend": "ollama", "output_version": "v1"}


class TestVesselEmbeddings(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return VesselEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "nomic-embed-text", "backend": "ollama"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"OLLAMA_URL": "http://gpu-box:11434"}, {"backend": "ollama", "model": "m"}, {"model": "m"}
