"""LlamaIndex's embeddings from local servers: llama.cpp, LM Studio, Ollama and any OpenAI-compatible server.

from llama_index.embeddings.vessel import VesselEmbedding

embedding = VesselEmbedding(model="nomic-embed-text")
embedding.get_text_embedding("Local models keep data at home.")
"""

from llama_index.embeddings.vessel.base import VesselEmbedding

__all__ = ["VesselEmbedding"]
