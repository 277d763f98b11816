"""LangChain on local LLM servers: llama.cpp, LM Studio, Ollama and any OpenAI-compatible server."""

from langchain_vessel import blocks, loading, pickling
from langchain_vessel.chat import ChatVessel
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

blocks.register()
loading.register()
pickling.register()
