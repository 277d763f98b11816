"""Fixtures for the LlamaIndex face: `Vessel` and `VesselEmbedding` on the real servers, closed at the end."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.embeddings.vessel import VesselEmbedding
from llama_index.llms.vessel import Vessel
from llama_index_instrumentation import get_dispatcher
from vessel_core.local import LocalServer

#: What LlamaIndex's own packages warn of, whoever uses them.
WARNINGS = [
    # llama-index-workflows looks at every attribute of an agent to find its steps, deprecated ones of pydantic too.
    r"ignore:The `__(fields|fields_set)__` attribute is deprecated:pydantic.warnings.PydanticDeprecatedSince20",
    # A ReAct agent asks its context whether it runs.
    r"ignore:is_running called from within a step:DeprecationWarning",
    r"ignore:The `model_(fields|computed_fields)` attribute on the instance:DeprecationWarning",
    r"ignore:Accessing the 'model_(fields|computed_fields)' attribute on the instance:DeprecationWarning",
    # Its `asyncio_run` makes event loops that it does not close (a loop's own sockets are of family 1, AF_UNIX).
    r"ignore:unclosed event loop:ResourceWarning",
    r"ignore:unclosed <socket.socket fd=\d+, family=1,:ResourceWarning",
    # Its default memory of a chat engine leaves a database open.
    r"ignore:<aiosqlite.core.Connection object:ResourceWarning",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let those warnings pass in the tests of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for warning in WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="module")
def nothing_left_open() -> Iterator[None]:
    """Finalise what LlamaIndex leaves open while its warnings are let pass, before they hit the test of somebody else."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def spans() -> Iterator[SimpleSpanHandler]:
    """Keep the spans of a test."""
    root, handler = get_dispatcher(), SimpleSpanHandler()
    handlers: list[Any] = vars(root)["span_handlers"]
    handlers.append(handler)
    yield handler
    handlers.remove(handler)


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
