"""What many OpenAI-compatible servers have beside chat and embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from vessel_core.backends.base import Flow
from vessel_core.types import Ranked
from vessel_core.wire import MAX_LINE, ReplyStream
from vessel_core.wire.completion import CompletionStream, encode_openai, read_openai
from vessel_core.wire.rerank import decode_rerank, encode_rerank


def rerank(query: str, documents: Sequence[str], model: str | None, top_n: int | None) -> Flow[list[Ranked]]:
    """Rank documents by `/v1/rerank`."""
    call = encode_rerank(query, documents, model, top_n)
    reply = yield replace(call, read=partial(decode_rerank, count=len(documents), top_n=top_n))
    return reply.document


def completion_stream(limit: int = MAX_LINE, tops: int = 0) -> ReplyStream:
    """Read `/v1/completions`."""
    return CompletionStream(read_openai, limit=limit, tops=tops)


FEATURES: Mapping[str, Callable[..., Any]] = {
    "rerank": rerank,
    "complete": encode_openai,
    "completion_stream": completion_stream,
}
