"""LangChain on local LLM servers: llama.cpp, LM Studio, Ollama and any OpenAI-compatible server."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_vessel import blocks, loading
from langchain_vessel.chat import ChatVessel

if TYPE_CHECKING:
    from langchain_vessel.completion import VesselLLM
    from langchain_vessel.content import image_block
    from langchain_vessel.embeddings import VesselEmbeddings
    from langchain_vessel.naming import register_providers, vessel
    from langchain_vessel.rerank import VesselRerank

__all__ = [
    "ChatVessel",
    "VesselEmbeddings",
    "VesselLLM",
    "VesselRerank",
    "image_block",
    "register_providers",
    "vessel",
]

_AT_FIRST_USE = {
    "VesselEmbeddings": "embeddings",
    "VesselLLM": "completion",
    "VesselRerank": "rerank",
    "image_block": "content",
    "register_providers": "naming",
    "vessel": "naming",
}
"""What is imported when somebody asks for it: what LangChain loads for these is no part of a chat."""


def __getattr__(name: str) -> Any:
    if name not in _AT_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_AT_FIRST_USE[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_AT_FIRST_USE]


blocks.register()
loading.register()
