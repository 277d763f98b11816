"""LlamaIndex's reranker for local servers that rank: llama.cpp, vLLM, TEI, Infinity.

from llama_index.postprocessor.vessel import VesselRerank

engine = index.as_query_engine(similarity_top_k=20, node_postprocessors=[VesselRerank(top_n=4)])
"""

from llama_index.postprocessor.vessel.base import VesselRerank

__all__ = ["VesselRerank"]
