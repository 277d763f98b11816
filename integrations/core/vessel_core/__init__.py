"""Vessel's adapter core: one client for llama.cpp, LM Studio, Ollama and any OpenAI-compatible server."""

from typing import TYPE_CHECKING, Any

from vessel_core.async_client import AsyncClient
from vessel_core.client import Client
from vessel_core.discovery import adiscover, discover
from vessel_core.errors import VesselError
from vessel_core.hosts import HostStatus, Routing
from vessel_core.media import audio_part, image_part
from vessel_core.registry import Registry
from vessel_core.shown import follow
from vessel_core.types import (
    Capabilities,
    ChatReply,
    Delta,
    Embeddings,
    Limits,
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

if TYPE_CHECKING:
    from vessel_core.diagnosis import doctor
    from vessel_core.local import LocalServer

__all__ = [
    "AsyncClient",
    "Capabilities",
    "ChatReply",
    "Client",
    "Delta",
    "Embeddings",
    "HostStatus",
    "Limits",
    "LocalServer",
    "Message",
    "ModelInfo",
    "Progress",
    "Ranked",
    "Registry",
    "Routing",
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
    "doctor",
    "follow",
    "image_part",
]


def __getattr__(name: str) -> Any:
    """Import the doctor, or the embedded server, when somebody asks for it."""
    if name == "doctor":
        from vessel_core.diagnosis import doctor

        return doctor
    if name == "LocalServer":
        from vessel_core.local import LocalServer

        return LocalServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
