"""Vessel's clients, as they are measured."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from benchmarks.kinds import PROMPT, Chat, Embedding, LangChain, LlamaIndex


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


def chat_vessel(backend: str, **options: Any) -> Callable[[str], LangChain]:
    def make(url: str, model: str) -> Any:
        from langchain_vessel import ChatVessel

        return ChatVessel(backend=backend, base_url=url, model=model, **options)

    return lambda url: LangChain(url, make)


def vessel(backend: str, **options: Any) -> Callable[[str], LlamaIndex]:
    def make(url: str, model: str) -> Any:
        from llama_index.llms.vessel import Vessel

        return Vessel(backend=backend, base_url=url, model=model, **options)

    return lambda url: LlamaIndex(url, make)


def core(backend: str, *, at_once: int | None = None, **options: Any) -> Callable[[str], Core]:
    def make(url: str, model: str) -> Any:
        from vessel_core import Client

        if at_once is not None:  # more than a client makes
            from vessel_core.transport import async_shell

            async_shell.most_at_once = lambda: at_once
        client = Client(backend, base_url=url, model=model, **options)
        return client, client.to_async()

    return lambda url: Core(url, make)


def vessel_embeddings(backend: str, **options: int) -> Callable[[str], Embedding]:
    def make(url: str, model: str) -> Any:
        from langchain_vessel import VesselEmbeddings

        return VesselEmbeddings(backend=backend, base_url=url, model=model, **options)

    return lambda url: Embedding(url, make, lambda made, texts: made.embed_documents(texts))


def arrays(url: str) -> Embedding:
    def make(url: str, model: str) -> Any:
        from vessel_core import Client

        return Client("llamacpp", base_url=url, model=model)

    return Embedding(url, make, lambda made, texts: made.embed(texts, batch_size=128, concurrency=1).array())


def vessel_embedding(url: str) -> Embedding:
    def make(url: str, model: str) -> Any:
        from llama_index.embeddings.vessel import VesselEmbedding

        return VesselEmbedding(backend="llamacpp", base_url=url, model=model, embed_batch_size=2048)

    return Embedding(url, make, lambda made, texts: made.get_text_embedding_batch(texts))
