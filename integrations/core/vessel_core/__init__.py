"""Vessel's adapter core: one client for llama.cpp, LM Studio, Ollama and any OpenAI-compatible server."""

from vessel_core.client import AsyncClient, Client
from vessel_core.discovery import adiscover, discover
from vessel_core.errors import VesselError
from vessel_core.types import (
    Capabilities,
    ChatReply,
    Delta,
    Embeddings,
    Message,
    ModelInfo,
    ServerInfo,
    Timeout,
    Timings,
    Tool,
    ToolCall,
    Usage,
)

__all__ = [
    "AsyncClient",
    "Capabilities",
    "ChatReply",
    "Client",
    "Delta",
    "Embeddings",
    "Message",
    "ModelInfo",
    "ServerInfo",
    "Timeout",
    "Timings",
    "Tool",
    "ToolCall",
    "Usage",
    "VesselError",
    "adiscover",
    "discover",
]
