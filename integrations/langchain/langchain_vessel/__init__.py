"""LangChain on local LLM servers: llama.cpp, LM Studio, Ollama and any OpenAI-compatible server."""

from langchain_vessel import blocks, loading
from langchain_vessel.chat import ChatVessel
from langchain_vessel.content import image_block
from langchain_vessel.embeddings import VesselEmbeddings

__all__ = ["ChatVessel", "VesselEmbeddings", "image_block"]

blocks.register()
loading.register()
