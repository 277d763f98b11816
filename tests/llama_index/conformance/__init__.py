"""What LlamaIndex expects of an LLM or an embedding model, as tests that any integration can run: see the README."""

from .dialects import OLLAMA, OPENAI, Dialect
from .embedding import EmbeddingConformance, OpenAIEmbeddingConformance
from .llm import (
    LLMConformance,
    ParallelToolConformance,
    StructuredConformance,
    ThinkingConformance,
    ToolConformance,
    VisionConformance,
)
from .wire import OpenAIWireConformance, WireConformance

__all__ = [
    "OLLAMA",
    "OPENAI",
    "Dialect",
    "EmbeddingConformance",
    "LLMConformance",
    "OpenAIEmbeddingConformance",
    "OpenAIWireConformance",
    "ParallelToolConformance",
    "StructuredConformance",
    "ThinkingConformance",
    "ToolConformance",
    "VisionConformance",
    "WireConformance",
]
