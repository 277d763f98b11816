"""The demo embedding model and the demo reranker: real `bert` GGUF files that compare words instead of meanings."""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_embedding", "write_rerank"]


def write_embedding(path: Path) -> None:
    """Write the embedding model."""
    raise NotImplementedError(path)


def write_rerank(path: Path) -> None:
    """Write the reranker."""
    raise NotImplementedError(path)
