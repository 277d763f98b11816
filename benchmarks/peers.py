"""The peers' clients, each set up as its users do for a local server, in its fastest documented way."""

from __future__ import annotations

from typing import Any

from benchmarks.kinds import Embedding, LangChain, LlamaIndex

KEY = "none"


def chat_openai(url: str) -> LangChain:
    def make(url: str, model: str) -> Any:
        from langchain_openai import ChatOpenAI

        return ChatOpenAI(base_url=url + "/v1", api_key=KEY, model=model)

    return LangChain(url, make)


def chat_ollama(url: str) -> LangChain:
    def make(url: str, model: str) -> Any:
        from langchain_ollama import ChatOllama

        return ChatOllama(base_url=url, model=model)

    return LangChain(url, make)


def openai_like(url: str) -> LlamaIndex:
    def make(url: str, model: str) -> Any:
        from llama_index.llms.openai_like import OpenAILike

        return OpenAILike(
            api_base=url + "/v1", api_key=KEY, model=model, is_chat_model=True, is_function_calling_model=True
        )

    return LlamaIndex(url, make)


def ollama(url: str) -> LlamaIndex:
    def make(url: str, model: str) -> Any:
        from llama_index.llms.ollama import Ollama

        return Ollama(base_url=url, model=model, context_window=4096, request_timeout=600)

    return LlamaIndex(url, make)


def openai_embeddings(url: str) -> Embedding:
    def make(url: str, model: str) -> Any:
        from langchain_openai import OpenAIEmbeddings

        return OpenAIEmbeddings(
            base_url=url + "/v1", api_key=KEY, model=model, chunk_size=128, check_embedding_ctx_length=False
        )

    return Embedding(url, make, lambda made, texts: made.embed_documents(texts))


def ollama_embeddings(url: str) -> Embedding:
    def make(url: str, model: str) -> Any:
        from langchain_ollama import OllamaEmbeddings

        return OllamaEmbeddings(base_url=url, model=model)

    return Embedding(url, make, lambda made, texts: made.embed_documents(texts))
