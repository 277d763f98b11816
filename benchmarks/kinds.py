"""What a client is here: a chat has `stream`, `astream` (both yield the text of each piece), `invoke` and `ainvoke`; an embedding
model has `embed`. A client's own package is imported only in the process that measures it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

PROMPT = "Why is the sky blue?"


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
