"""What the page on coming from another class says to change, and nothing else: the import, and the class."""

from __future__ import annotations

import re
from pathlib import Path

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.txt"))

CHANGES = (
    (r"llama_index\.llms\.(ollama|openai_like|lmstudio) import \w+", "llama_index.llms.vessel import Vessel"),
    (
        r"llama_index\.embeddings\.(ollama|openai_like) import \w+",
        "llama_index.embeddings.vessel import VesselEmbedding",
    ),
    (r"\b(OllamaEmbedding|OpenAILikeEmbedding)\b", "VesselEmbedding"),
    (r"\b(Ollama|OpenAILike|LMStudio)\b", "Vessel"),
)


def ported(program: str) -> str:
    """Return a program with the import and the class changed."""
    for pattern, ours in CHANGES:
        program = re.sub(pattern, ours, program)
    return program
