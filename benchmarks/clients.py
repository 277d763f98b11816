"""Everything that is measured, under one set of names; each client is imported only in the process that measures it.

A chat has `stream`, `astream` (both yield the text of each piece), `invoke` and `ainvoke`; an embedding model has `embed`.
Every client is set up as its users do for a local server, in its fastest documented way.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from benchmarks.wire import arguments, words

PROMPT = "Why is the sky blue?"
KEY = "none"


class Chat:
    """A chat model; the client's own classes are made by `make`, once for each model name."""

    def __init__(self, url: str, make: Callable[[str, str], Any]) -> None:
        self._url = url
        self._make = make
        self._made: dict[str, Any] = {}

    def of(self, model: str) -> Any:
        """Return the client's own object for a model."""
        if model not in self._made:
            self._made[model] = self._make(self._url, model)
        return self._made[model]

    def construct(self, model: str) -> Any:
        """Make a new object."""
        return self._make(self._url, model)


class LangChain(Chat):
    """Any LangChain chat model."""

    def stream(self, model: str) -> Iterator[str]:
        for chunk in self.of(model).stream(PROMPT):
            yield chunk.content

    async def astream(self, model: str) -> AsyncIterator[str]:
        async for chunk in self.of(model).astream(PROMPT):
            yield chunk.content

    def invoke(self, model: str) -> str:
        return self.of(model).invoke(PROMPT).content

    async def ainvoke(self, model: str) -> str:
        return (await self.of(model).ainvoke(PROMPT)).content

    def added(self, model: str) -> Iterator[str]:
        """Add the chunks up and look at the tool calls after each, as agents do."""
        full = None
        for chunk in self.of(model).stream(PROMPT):
            full = chunk if full is None else full + chunk
            yield str(len(full.tool_calls))


class LlamaIndex(Chat):
    """Any LlamaIndex LLM."""

    def __init__(self, url: str, make: Callable[[str, str], Any]) -> None:
        from llama_index.core.base.llms.types import ChatMessage

        super().__init__(url, make)
        self._messages = [ChatMessage(PROMPT)]

    def of(self, model: str) -> Any:
        """Return the client's own object; what it asks once about a model is asked here."""
        if model in self._made:
            return self._made[model]
        llm = super().of(model)
        if hasattr(llm, "connect"):
            llm.connect()
        return llm

    def stream(self, model: str) -> Iterator[str]:
        for response in self.of(model).stream_chat(self._messages):
            yield response.delta or ""

    async def astream(self, model: str) -> AsyncIterator[str]:
        async for response in await self.of(model).astream_chat(self._messages):
            yield response.delta or ""

    def invoke(self, model: str) -> str:
        return self.of(model).chat(self._messages).message.content

    async def ainvoke(self, model: str) -> str:
        return (await self.of(model).achat(self._messages)).message.content

    def added(self, model: str) -> Iterator[str]:
        """Ask for the tool calls of each response, as agents do."""
        llm = self.of(model)
        for response in llm.stream_chat(self._messages):
            yield str(len(llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)))


class Core(Chat):
    """Vessel's core alone."""

    def stream(self, model: str) -> Iterator[str]:
        for delta in self.of(model)[0].stream([{"role": "user", "content": PROMPT}]):
            yield delta.text

    async def astream(self, model: str) -> AsyncIterator[str]:
        async for delta in self.of(model)[1].stream([{"role": "user", "content": PROMPT}]):
            yield delta.text

    def invoke(self, model: str) -> str:
        return self.of(model)[0].chat([{"role": "user", "content": PROMPT}]).text


class Httpx:
    """httpx and orjson and nothing else: what any client on httpx pays."""

    def __init__(self, url: str, path: str) -> None:
        import httpx
        import orjson

        self._loads = orjson.loads
        self._url = url + path
        self._native = path == "/api/chat"
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._client = httpx.Client(limits=limits, timeout=600)
        self._async_client = httpx.AsyncClient(limits=limits, timeout=600)

    def _body(self, model: str) -> bytes:
        return json.dumps({"model": model, "messages": [{"role": "user", "content": PROMPT}], "stream": True}).encode()

    def _texts(self, held: bytes, data: bytes) -> tuple[bytes, list[str]]:
        *lines, held = (held + data).split(b"\n")
        texts: list[str] = []
        for line in lines:
            if self._native and line:
                texts.append(self._loads(line)["message"]["content"])
            elif line.startswith(b"data: {"):
                choices = self._loads(line[6:])["choices"]
                texts.append((choices and choices[0]["delta"].get("content")) or "")
        return held, texts

    def stream(self, model: str) -> Iterator[str]:
        held = b""
        with self._client.stream("POST", self._url, content=self._body(model)) as response:
            for data in response.iter_raw():
                held, texts = self._texts(held, data)
                yield from texts

    async def astream(self, model: str) -> AsyncIterator[str]:
        held = b""
        async with self._async_client.stream("POST", self._url, content=self._body(model)) as response:
            async for data in response.aiter_raw():
                held, texts = self._texts(held, data)
                for text in texts:
                    yield text

    def invoke(self, model: str) -> str:
        return "".join(self.stream(model))

    async def ainvoke(self, model: str) -> str:
        return "".join([text async for text in self.astream(model)])


class Embedding:
    """An embedding model: `make` makes the client's own object, `call` embeds with it."""

    def __init__(self, url: str, make: Callable[[str, str], Any], call: Callable[[Any, list[str]], Any]) -> None:
        self._url = url
        self._make = make
        self._call = call
        self._made: dict[str, Any] = {}

    def embed(self, model: str, texts: list[str]) -> Any:
        if model not in self._made:
            self._made[model] = self._make(self._url, model)
        return self._call(self._made[model], texts)


class Lists:
    """The least that vectors take as the lists of floats that LangChain wants: they are made, and nothing is asked."""

    def __init__(self, url: str) -> None:
        self._row = array("f", [0.1 * at for at in range(1024)])

    def embed(self, model: str, texts: list[str]) -> list[list[float]]:
        return [self._row.tolist() for _ in texts]


class LangChainFloor(LangChain):
    """What langchain-core itself costs: a model that yields chunks as they are, and asks nobody."""

    def __init__(self, url: str) -> None:
        super().__init__(url, self._floor)

    @staticmethod
    def _floor(_: str, model: str) -> Any:
        from langchain_core.language_models.chat_models import BaseChatModel
        from langchain_core.messages import AIMessage, AIMessageChunk
        from langchain_core.messages.tool import tool_call_chunk
        from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

        kind, size = model.split("-")[:2]
        text = arguments(int(size)) if kind == "tool" else ""
        pieces = [text[at : at + 2] for at in range(0, len(text), 2)]

        class Floor(BaseChatModel):
            @property
            def _llm_type(self) -> str:
                return "floor"

            def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
                for token in words(int(size)) if kind == "text" else ():
                    yield ChatGenerationChunk(message=AIMessageChunk(content=token))
                for at, piece in enumerate(pieces):
                    name, call_id = ("write", "call_1") if at == 0 else (None, None)
                    call = tool_call_chunk(name=name, args=piece, id=call_id, index=0)
                    yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[call]))

            def _generate(self, *_: Any, **__: Any) -> ChatResult:
                return ChatResult(generations=[ChatGeneration(message=AIMessage(content="".join(words(int(size)))))])

            async def _agenerate(self, *_: Any, **__: Any) -> ChatResult:
                return self._generate()

        return Floor()


# ---------------------------------------------------------------------------------------------------------------- ours


def _transport(*, fast: bool) -> None:
    """Have the async clients of this process use aiohttp, or httpx's own connections."""
    os.environ["VESSEL_FAST"] = "1" if fast else "0"


def _chat_vessel(backend: str, *, fast: bool = False, **options: Any) -> Callable[[str], LangChain]:
    def make(url: str, model: str) -> Any:
        from langchain_vessel import ChatVessel

        _transport(fast=fast)
        return ChatVessel(backend=backend, base_url=url, model=model, **options)

    return lambda url: LangChain(url, make)


def _vessel(backend: str, *, fast: bool = False, **options: Any) -> Callable[[str], LlamaIndex]:
    def make(url: str, model: str) -> Any:
        from llama_index.llms.vessel import Vessel

        _transport(fast=fast)
        return Vessel(backend=backend, base_url=url, model=model, **options)

    return lambda url: LlamaIndex(url, make)


def _core(backend: str, *, fast: bool = False, **options: Any) -> Callable[[str], Core]:
    def make(url: str, model: str) -> Any:
        from vessel_core import Client

        _transport(fast=fast)
        client = Client(backend, base_url=url, model=model, **options)
        return client, client.to_async()

    return lambda url: Core(url, make)


def _vessel_embeddings(backend: str) -> Callable[[str], Embedding]:
    def make(url: str, model: str) -> Any:
        from langchain_vessel import VesselEmbeddings

        return VesselEmbeddings(backend=backend, base_url=url, model=model, batch_size=2048)

    return lambda url: Embedding(url, make, lambda made, texts: made.embed_documents(texts))


def _arrays(url: str) -> Embedding:
    def make(url: str, model: str) -> Any:
        from vessel_core import Client

        return Client("llamacpp", base_url=url, model=model)

    return Embedding(url, make, lambda made, texts: made.embed(texts, batch_size=128, concurrency=1).array())


def _vessel_embedding(url: str) -> Embedding:
    def make(url: str, model: str) -> Any:
        from llama_index.embeddings.vessel import VesselEmbedding

        return VesselEmbedding(backend="llamacpp", base_url=url, model=model, embed_batch_size=2048)

    return Embedding(url, make, lambda made, texts: made.get_text_embedding_batch(texts))


# --------------------------------------------------------------------------------------------------------------- peers


def _chat_openai(url: str) -> LangChain:
    def make(url: str, model: str) -> Any:
        from langchain_openai import ChatOpenAI

        return ChatOpenAI(base_url=url + "/v1", api_key=KEY, model=model)

    return LangChain(url, make)


def _chat_ollama(url: str) -> LangChain:
    def make(url: str, model: str) -> Any:
        from langchain_ollama import ChatOllama

        return ChatOllama(base_url=url, model=model)

    return LangChain(url, make)


def _openai_like(url: str) -> LlamaIndex:
    def make(url: str, model: str) -> Any:
        from llama_index.llms.openai_like import OpenAILike

        return OpenAILike(
            api_base=url + "/v1", api_key=KEY, model=model, is_chat_model=True, is_function_calling_model=True
        )

    return LlamaIndex(url, make)


def _ollama(url: str) -> LlamaIndex:
    def make(url: str, model: str) -> Any:
        from llama_index.llms.ollama import Ollama

        return Ollama(base_url=url, model=model, context_window=4096, request_timeout=600)

    return LlamaIndex(url, make)


def _openai_embeddings(url: str) -> Embedding:
    def make(url: str, model: str) -> Any:
        from langchain_openai import OpenAIEmbeddings

        return OpenAIEmbeddings(
            base_url=url + "/v1", api_key=KEY, model=model, chunk_size=2048, check_embedding_ctx_length=False
        )

    return Embedding(url, make, lambda made, texts: made.embed_documents(texts))


def _ollama_embeddings(url: str) -> Embedding:
    def make(url: str, model: str) -> Any:
        from langchain_ollama import OllamaEmbeddings

        return OllamaEmbeddings(base_url=url, model=model)

    return Embedding(url, make, lambda made, texts: made.embed_documents(texts))


CLIENTS: dict[str, Callable[[str], Any]] = {
    "ChatVessel": _chat_vessel("llamacpp"),
    "ChatVessel on Ollama": _chat_vessel("ollama"),
    "Vessel": _vessel("llamacpp"),
    "Vessel on Ollama": _vessel("ollama"),
    "ChatVessel, fast": _chat_vessel("llamacpp", fast=True),
    "ChatVessel, fast, apart": _chat_vessel("llamacpp", fast=True, together=False),
    "Vessel, fast": _vessel("llamacpp", fast=True),
    "Vessel, fast, apart": _vessel("llamacpp", fast=True, together=False),
    "vessel_core": _core("llamacpp"),
    "vessel_core, fast": _core("llamacpp", fast=True),
    "vessel_core on Ollama": _core("ollama"),
    "VesselEmbeddings": _vessel_embeddings("llamacpp"),
    "VesselEmbeddings on Ollama": _vessel_embeddings("ollama"),
    "VesselEmbedding": _vessel_embedding,
    "vessel_core arrays": _arrays,
    "httpx + orjson": lambda url: Httpx(url, "/v1/chat/completions"),
    "httpx + orjson on Ollama": lambda url: Httpx(url, "/api/chat"),
    "langchain-core": LangChainFloor,
    "lists of floats": Lists,
    "ChatOpenAI": _chat_openai,
    "ChatOllama": _chat_ollama,
    "OpenAILike": _openai_like,
    "LlamaIndex Ollama": _ollama,
    "OpenAIEmbeddings": _openai_embeddings,
    "OllamaEmbeddings": _ollama_embeddings,
}
