"""LangChain's own integration suites, each test on a real llama.cpp server, a scripted one, or both.

The demo model of the real server knows nothing: its arguments have the right type and no meaning. What needs a sensible
model (`NEEDS_SENSE`) runs on the scripted server only, everything else on both, in each output version.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests
from langchain_vessel import ChatVessel, VesselEmbeddings
from vessel_core.local import LocalServer

from tests.fake_server import llamacpp_server
from tests.langchain.media import picture, silence
from tests.langchain.sensible import sensible_server

_VALUES = "the arguments must be those of the question; the demo model's are only of the right type"
_SECOND = "there must be a second model"

NEEDS_SENSE = {
    "test_tool_calling": _VALUES,
    "test_tool_calling_async": _VALUES,
    "test_unicode_tool_call_integration": _VALUES,
    "test_invoke_with_model_override": _SECOND,
    "test_ainvoke_with_model_override": _SECOND,
    "test_stream_with_model_override": _SECOND,
    "test_astream_with_model_override": _SECOND,
    "test_audio_inputs": "the model must hear",
}
"""What does not run on the real server, and why; it runs on the scripted one."""

_NO_PDF = "no local server reads PDFs; Vessel refuses them by name"
PDF = {"test_pdf_inputs": _NO_PDF, "test_pdf_tool_message": _NO_PDF}
"""What runs nowhere, and why. See `test_content` for what is done instead."""


class _Chat(ChatModelIntegrationTests):
    """What holds on every server. The suite gets its pictures and sound from the internet; here they are made.

    What is left out for good: PDFs, which no local server reads, and pictures that a server would fetch itself.
    """

    output_version = "v0"
    place: dict[str, Any]

    @pytest.fixture(autouse=True)
    def _media(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def get(url: str, **_: Any) -> httpx.Response:
            made = silence() if url.endswith(".wav") else picture("red")
            return httpx.Response(200, content=made, request=httpx.Request("GET", url))

        monkeypatch.setattr(httpx, "get", get)
        monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "nobody is asked")

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatVessel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**self.place, "max_tokens": 200, "temperature": 0, "output_version": self.output_version}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supported_usage_metadata_details(self) -> Any:
        return {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}

    @property
    def enable_vcr_tests(self) -> bool:
        return True  # the server is this machine's: nothing is recorded, see `vcr_config` in conftest

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> Any:
        model = ChatVessel(**self.chat_model_params)
        model.invoke("The same question twice")
        if not stream:
            return model.invoke("The same question twice")
        chunks = list(model.stream("The same question twice"))
        return chunks[0].__add__(chunks[1:])


class _OnRealServer(_Chat):
    @pytest.fixture(autouse=True)
    def _server(self, chat_server: LocalServer) -> None:
        self.place = {"base_url": chat_server.base_url}

    @property
    def model_override_value(self) -> str:
        return "demo-chat"


class _OnScriptedServer(_Chat):
    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        with sensible_server() as server:
            self.place = {"base_url": server.base_url}
            yield

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "another-model"


class TestRealServer(_OnRealServer):
    pass


class TestRealServerV1(_OnRealServer):
    output_version = "v1"


class TestScriptedServer(_OnScriptedServer):
    pass


class TestScriptedServerV1(_OnScriptedServer):
    output_version = "v1"


class _Embeddings(EmbeddingsIntegrationTests):
    place: dict[str, Any]

    @property
    def embeddings_class(self) -> type[Embeddings]:
        return VesselEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return self.place


class TestRealEmbeddings(_Embeddings):
    @pytest.fixture(autouse=True)
    def _server(self, embedding_server: LocalServer) -> None:
        self.place = {"base_url": embedding_server.base_url}


class TestScriptedEmbeddings(_Embeddings):
    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        with llamacpp_server() as server:
            self.place = {"base_url": server.base_url}
            yield
