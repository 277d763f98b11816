"""Models on servers that play what the tests wrote."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from llama_index.llms.vessel import Vessel

from tests.fake_server import Chat, FakeServer, Request, Response, openai_server


@contextmanager
def scripted(chat: Chat, **options: Any) -> Generator[tuple[Vessel, FakeServer]]:
    """Yield a model on a server that plays `chat`, and that server."""
    with openai_server(chat) as server:
        llm = Vessel(backend="openai", base_url=server.base_url, model="demo", **options)
        try:
            yield llm, server
        finally:
            llm.close()


def sent(server: FakeServer, number: int = -1) -> dict[str, Any]:
    """Return the body of a chat request that was really sent."""
    return server.asked("/v1/chat/completions")[number].json()


def in_turn(*answers: Chat) -> Any:
    """Return a chat that plays one answer after the other, the last one again and again."""
    left = list(answers)

    def chat(_: Request) -> Response:
        played = left.pop(0) if len(left) > 1 else left[0]
        assert isinstance(played, bytes)
        return Response.stream(played)

    return chat
