"""What the frameworks themselves cost: models that yield what is there, or what a bare socket brings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Protocol

from benchmarks.floors import Bare
from benchmarks.kinds import LangChain, LlamaIndex
from benchmarks.wire import arguments, words


class Texts(Protocol):
    """Where the texts of an answer come from."""

    def stream(self, model: str) -> Iterator[str]: ...

    def astream(self, model: str) -> AsyncIterator[str]: ...


class Ready:
    """Texts that are there."""

    def stream(self, model: str) -> Iterator[str]:
        return iter(words(int(model.split("-")[1])) if model.startswith("text") else ())

    async def astream(self, model: str) -> AsyncIterator[str]:
        for text in self.stream(model):
            yield text


def on_socket(url: str) -> Texts:
    """Return the texts that a bare socket brings."""
    return Bare(url, "/v1/chat/completions")


class LangChainFloor(LangChain):
    """What langchain-core itself costs: a model that yields chunks as they are."""

    def __init__(self, url: str, source: Texts | None = None) -> None:
        self._source = source or Ready()
        super().__init__(url, self._floor)

    def _floor(self, _: str, model: str) -> Any:
        from langchain_core.language_models.chat_models import BaseChatModel
        from langchain_core.messages import AIMessage, AIMessageChunk
        from langchain_core.messages.tool import tool_call_chunk
        from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

        source, pieces = self._source, _pieces(model)

        class Floor(BaseChatModel):
            @property
            def _llm_type(self) -> str:
                return "floor"

            def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
                for text in source.stream(model):
                    yield ChatGenerationChunk(message=AIMessageChunk(content=text))
                for at, piece in enumerate(pieces):
                    name, call_id = ("write", "call_1") if at == 0 else (None, None)
                    call = tool_call_chunk(name=name, args=piece, id=call_id, index=0)
                    yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[call]))

            async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
                async for text in source.astream(model):
                    yield ChatGenerationChunk(message=AIMessageChunk(content=text))

            def _generate(self, *_: Any, **__: Any) -> ChatResult:
                message = AIMessage(content="".join(source.stream(model)))
                return ChatResult(generations=[ChatGeneration(message=message)])

            async def _agenerate(self, *_: Any, **__: Any) -> ChatResult:
                return self._generate()

        return Floor()


def _pieces(model: str) -> Sequence[str]:
    kind, size = model.split("-")[:2]
    text = arguments(int(size)) if kind == "tool" else ""
    return [text[at : at + 2] for at in range(0, len(text), 2)]


class LlamaIndexFloor(LlamaIndex):
    """What llama-index-core itself costs: a model that yields responses as they are."""

    def __init__(self, url: str, source: Texts | None = None) -> None:
        self._source = source or Ready()
        super().__init__(url, self._floor)

    def _floor(self, _: str, model: str) -> Any:
        from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
        from llama_index.core.llms.callbacks import llm_chat_callback
        from llama_index.core.llms.custom import CustomLLM

        source = self._source

        def response(whole: str, text: str) -> ChatResponse:
            return ChatResponse(message=ChatMessage(role="assistant", content=whole), delta=text)

        class Floor(CustomLLM):
            @property
            def metadata(self) -> LLMMetadata:
                return LLMMetadata()

            # The class wants these two, though a chat never comes through them.
            def complete(self, *_: Any, **__: Any) -> CompletionResponse:
                raise NotImplementedError

            def stream_complete(self, *_: Any, **__: Any) -> Any:
                raise NotImplementedError

            @llm_chat_callback()
            def stream_chat(self, messages: Sequence[ChatMessage], **_: Any) -> Any:
                def responses() -> Iterator[ChatResponse]:
                    whole = ""
                    for text in source.stream(model):
                        whole += text
                        yield response(whole, text)

                return responses()

            @llm_chat_callback()
            async def astream_chat(self, messages: Sequence[ChatMessage], **_: Any) -> Any:
                async def responses() -> AsyncIterator[ChatResponse]:
                    whole = ""
                    async for text in source.astream(model):
                        whole += text
                        yield response(whole, text)

                return responses()

        return Floor()
