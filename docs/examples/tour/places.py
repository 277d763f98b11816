"""Where the models run: servers that are found, else the embedded one."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal, TypedDict

from vessel_core import Capabilities, Client, LocalServer, ModelInfo, ServerInfo, demo_models, discover
from vessel_core.backends import find_backend
from vessel_core.local import DemoKind

from tour.report import Missing, Report

__all__ = ["Place", "Places", "find_places"]


class Options(TypedDict):
    """What each class of Vessel takes to know its server and its model."""

    backend: str
    base_url: str
    model: str


@dataclass(frozen=True, slots=True)
class Place:
    """A model on a server, and what it can do."""

    server: ServerInfo
    model: ModelInfo

    @property
    def options(self) -> Options:
        """The arguments that lead to this model."""
        return {"backend": self.server.backend, "base_url": self.server.base_url, "model": self.model.id}

    @property
    def can(self) -> Capabilities:
        """What the model can do: `True`, `False`, or `None` where the server doesn't say."""
        return self.model.capabilities

    def __str__(self) -> str:
        version = self.server.version or "unknown"
        said = "" if "unknown" in version else f" {version}"
        return f"{self.model.id} on {find_backend(self.server.backend).title}{said} at {self.server.base_url}"


@dataclass(frozen=True, slots=True)
class Places:
    """Who answers: chat, what is seen, embedded, thought about. `embedded` tells that all of it is our own server."""

    chat: Place
    seeing: Place
    embedding: Place
    thinking: Place
    embedded: bool

    def need(self, ability: Literal["tools", "vision", "structured_output", "reasoning", "embeddings"]) -> None:
        """Raise `Missing` if the model for it is known not to have an ability."""
        places = {"vision": self.seeing, "reasoning": self.thinking, "embeddings": self.embedding}
        place = places.get(ability, self.chat)
        if getattr(place.can, ability) is False:
            raise Missing(f"{place.model.id} has no {ability.replace('_', ' ')}.")


def find_places(report: Report, stack: ExitStack) -> Places:
    """Look for running servers, and start the embedded one if there is none; it ends with the stack."""
    with report.waiting("Looking for a server…"):
        found = discover()
    for server in found:
        report.line(f"  {server.base_url}: {_state(server)}", "dim")
    if usable := [server for server in found if server.connected and server.models]:
        return _on(usable)
    report.line(
        "No server with a model is running, so this starts the embedded one: llama.cpp and small models of our own."
    )
    report.line("One is trained to talk about Vessel and to use tools; the others show that everything works.", "dim")
    return _embedded(report, stack)


def _state(server: ServerInfo) -> str:
    """Say in a few words what answers at an address."""
    if not server.connected:
        return "no LLM server answers"
    backend = find_backend(server.backend)
    models = ", ".join(model.id for model in server.models)
    return f"{backend.title}, {models or server.error or f'without a model: {backend.then or backend.start}'}"


def _on(running: list[ServerInfo]) -> Places:
    """Use what the user runs: a server named in the environment first, then one with a loaded model."""
    running = sorted(running, key=lambda server: (server.source is None, not any(_loaded(m) for m in server.models)))
    chat = _place(running[0])
    embedding = next(
        (Place(server, model) for server in running for model in server.models if model.kind == "embedding"), chat
    )
    return Places(chat, seeing=chat, embedding=embedding, thinking=chat, embedded=False)


def _loaded(model: ModelInfo) -> bool:
    return model.state in ("loaded", None)


def _embedded(report: Report, stack: ExitStack) -> Places:
    """Start a server for each job."""
    with report.waiting("Building the models…"):
        for kind in ("chat", "vision", "embedding", "thinking"):
            demo_models.path(kind, progress=lambda line: report.line(f"  {line}", "dim"))
    kinds: tuple[DemoKind, ...] = ("assistant", "chat", "embedding", "thinking")
    chat, seeing, embedding, thinking = (
        _place(_started(stack.enter_context(LocalServer.demo(kind)))) for kind in kinds
    )
    return Places(chat, seeing, embedding, thinking, embedded=True)


def _started(server: LocalServer) -> ServerInfo:
    with Client("llamacpp", base_url=server.base_url) as client:
        return client.info()


def _place(server: ServerInfo) -> Place:
    with Client(server.backend, base_url=server.base_url) as client:
        return Place(server, client.model_info())
