"""Everything that is measured, under one set of names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import ours, peers
from benchmarks.floors import Bare, Httpx, HttpxTransport, Lists
from benchmarks.frameworks import LangChainFloor, LlamaIndexFloor, on_socket

CLIENTS: dict[str, Callable[[str], Any]] = {
    "ChatVessel": ours.chat_vessel("llamacpp"),
    "ChatVessel, apart": ours.chat_vessel("llamacpp", together=False),
    "ChatVessel on Ollama": ours.chat_vessel("ollama"),
    "ChatVessel on Ollama, apart": ours.chat_vessel("ollama", together=False),
    "vessel_core, 2,000 at once": ours.core("llamacpp", at_once=2000),
    "Vessel": ours.vessel("llamacpp"),
    "Vessel, apart": ours.vessel("llamacpp", together=False),
    "Vessel on Ollama": ours.vessel("ollama"),
    "Vessel on Ollama, apart": ours.vessel("ollama", together=False),
    "vessel_core": ours.core("llamacpp"),
    "vessel_core, apart": ours.core("llamacpp", together=False),
    "vessel_core on Ollama": ours.core("ollama"),
    "vessel_core on Ollama, apart": ours.core("ollama", together=False),
    "VesselEmbeddings": ours.vessel_embeddings("llamacpp", batch_size=2048),
    "VesselEmbeddings on Ollama": ours.vessel_embeddings("ollama", batch_size=256, concurrency=1),
    "VesselEmbedding": ours.vessel_embedding,
    "vessel_core arrays": ours.arrays,
    "httpx + orjson": lambda url: Httpx(url, "/v1/chat/completions"),
    "httpx + orjson on Ollama": lambda url: Httpx(url, "/api/chat"),
    "httpx's transport + orjson": lambda url: HttpxTransport(url, "/v1/chat/completions"),
    "socket + orjson": lambda url: Bare(url, "/v1/chat/completions"),
    "langchain-core": LangChainFloor,
    "langchain-core on a socket": lambda url: LangChainFloor(url, on_socket(url)),
    "llama-index-core": LlamaIndexFloor,
    "llama-index-core on a socket": lambda url: LlamaIndexFloor(url, on_socket(url)),
    "lists of floats": Lists,
    "ChatOpenAI": peers.chat_openai,
    "ChatOllama": peers.chat_ollama,
    "OpenAILike": peers.openai_like,
    "LlamaIndex Ollama": peers.ollama,
    "OpenAIEmbeddings": peers.openai_embeddings,
    "OllamaEmbeddings": peers.ollama_embeddings,
}
