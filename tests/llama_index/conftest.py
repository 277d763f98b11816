"""Fixtures for the LlamaIndex face: `Vessel` and `VesselEmbedding` on the real servers, closed at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from llama_index.embeddings.vessel import VesselEmbedding
from llama_index.llms.vessel import Vessel
from vessel_core.local import LocalServer


@pytest.fixture
def llm(chat_server: LocalServer) -> Iterator[Vessel]:
    """Chat, tools, schemas and pictures on a real llama.cpp server."""
    llm = Vessel(backend="llamacpp", base_url=chat_server.base_url, temperature=0, seed=1)
    yield llm
    llm.close()


@pytest.fixture
def thinking_llm(thinking_server: LocalServer) -> Iterator[Vessel]:
    """A model that thinks before it answers."""
    llm = Vessel(backend="llamacpp", base_url=thinking_server.base_url, temperature=0, seed=1)
    yield llm
    llm.close()


@pytest.fixture
def embedding(embedding_server: LocalServer) -> Iterator[VesselEmbedding]:
    """Lexical embeddings on a real llama.cpp server."""
    embedding = VesselEmbedding(backend="llamacpp", base_url=embedding_server.base_url)
    yield embedding
    embedding.close()
