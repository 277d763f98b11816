"""What tests of several hosts share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, cast

from vessel_core import Client, Message
from vessel_core.vetting import SAMPLE

from tests.fake_server import FakeServer, Request, Response, llamacpp_server, transcript

HELLO: list[Message] = [{"role": "user", "content": "Hello"}]
BUSY = Response.json({"error": {"message": "no slot", "type": "unavailable_error", "code": 503}}, 503)


def until(reached: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a state that another thread or process brings about."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def asked(server: FakeServer, path: str = "/v1/embeddings") -> int:
    """Count the requests of calls; what hosts are compared by is none."""
    return sum(request.json().get("input") != SAMPLE if request.body else 1 for request in server.asked(path))


def chatting() -> FakeServer:
    return llamacpp_server(transcript("llamacpp/text.sse"))


def played(answer: Any, request: Request) -> Response:
    """Return what a route answers."""
    return cast("Response", answer(request) if callable(answer) else answer)


def hang_when(event: threading.Event, server: FakeServer) -> None:
    """Let a server say nothing at all while the event is set."""
    never = threading.Event()

    def hanging(answer: Any) -> Callable[[Request], Response]:
        def respond(request: Request) -> Response:
            return Response(wait=never) if event.is_set() else played(answer, request)

        return respond

    for path, answer in list(server.routes.items()):
        server.routes[path] = hanging(answer)


def named(model: str, **facts: Any) -> dict[tuple[str, str], Any]:
    """The list of a llama.cpp server that has one model, of which it says so much."""
    meta = {"n_vocab": 329, "n_embd": 384, "n_params": 917376, "size": 3669504, "ftype": "all F32", **facts}
    item = {"id": model, "owned_by": "llamacpp", "meta": meta}
    return {("GET", "/v1/models"): Response.json({"object": "list", "data": [item]})}


def until_met(client: Client) -> None:
    """Wait until each host was vetted."""
    until(lambda: bool(client.models()) and "new" not in {host.state for host in client.hosts()})
