"""What no client can go below: httpx with a parser, langchain-core without any call, lists without any request."""

from __future__ import annotations

import json
from array import array
from collections.abc import AsyncIterator, Iterator
from typing import Any

from benchmarks.kinds import PROMPT, LangChain
from benchmarks.wire import arguments, words


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


class HttpxTransport(Httpx):
    """httpx's connections without its clients, as ours are used."""

    def __init__(self, url: str, path: str) -> None:
        import httpx

        super().__init__(url, path)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._pool = httpx.HTTPTransport(limits=limits)
        self._async_pool = httpx.AsyncHTTPTransport(limits=limits)

    def _request(self, model: str) -> Any:
        import httpx

        return httpx.Request("POST", self._url, content=self._body(model))

    def stream(self, model: str) -> Iterator[str]:
        held = b""
        response = self._pool.handle_request(self._request(model))
        for data in response.stream:
            held, texts = self._texts(held, data)
            yield from texts
        response.close()

    async def astream(self, model: str) -> AsyncIterator[str]:
        held = b""
        response = await self._async_pool.handle_async_request(self._request(model))
        async for data in response.stream:
            held, texts = self._texts(held, data)
            for text in texts:
                yield text
        await response.aclose()


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
