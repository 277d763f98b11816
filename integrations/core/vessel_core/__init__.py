"""Vessel's adapter core: one client for llama.cpp, LM Studio, Ollama and any OpenAI-compatible server."""

from vessel_core.async_client import AsyncClient
from vessel_core.client import Client
from vessel_core.discovery import adiscover, discover
from vessel_core.errors import VesselError
from vessel_core.local import LocalServer
from vessel_core.media import audio_part, image_part
from vessel_core.registry import Registry
from vessel_core.types import (
    Capabilities,
    ChatReply,
    Delta,
    Embeddings,
    Message,
    ModelInfo,
    Progress,
    Ranked,
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
    "LocalServer",
    "Message",
    "ModelInfo",
    "Progress",
    "Ranked",
    "Registry",
    "ServerInfo",
    "Timeout",
    "Timings",
    "Tool",
    "ToolCall",
    "Usage",
    "VesselError",
    "adiscover",
    "audio_part",
    "discover",
    "image_part",
]
