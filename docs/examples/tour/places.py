"""Where the models run: servers that are found, else the embedded one."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal, TypedDict

from vessel_core import Capabilities, Client, LocalServer, ModelInfo, ServerInfo, VesselError, demo_models, discover
from vessel_core.backends import find_backend
from vessel_core.local import DemoKind

from tour.material import PUZZLE
from tour.report import Missing, Report

__all__ = ["Place", "Places", "find_places"]


JOBS: dict[DemoKind, str] = {"chat": "pictures", "embedding": "passages", "thinking": "thoughts"}
"""What each demo model stands in for where a server isn't made for it."""


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
    """Who answers: chat, what is seen, embedded, thought about. `embedded` tells that all of it is our own servers."""

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
        return _on(usable, report, stack)
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
    return f"{backend.title}, {models or server.error or f'without a model. {backend.how_to_get_a_model}'}"


def _on(running: list[ServerInfo], report: Report, stack: ExitStack) -> Places:
    """Use what the user runs: a server named in the environment first, then one with a loaded model.

    The embedded servers do what it is known not to do, but for talk.
    """
    running = sorted(running, key=lambda server: (server.source is None, not any(_loaded(m) for m in server.models)))
    chat = _place(running[0])
    found: dict[DemoKind, Place | None] = {
        "chat": None if chat.can.vision is False else chat,
        "embedding": next((Place(server, one) for server in running for one in server.models if _embeds(one)), None),
        "thinking": chat if _thinks(chat) else None,
    }
    missing: list[DemoKind] = [kind for kind, place in found.items() if place is None]
    if missing:
        report.line(
            f"What it isn't made for is shown with embedded models: {', '.join(map(JOBS.__getitem__, missing))}."
        )
        _build(report, missing)
    seeing, embedding, thinking = (place or _demo(kind, stack) for kind, place in found.items())
    return Places(chat, seeing, embedding, thinking, embedded=False)


def _thinks(place: Place) -> bool:
    """Tell whether a model thinks before it answers; where the server doesn't say, by how an answer begins."""
    if place.can.reasoning is not None:
        return place.can.reasoning
    try:
        with (
            Client(**place.options) as client,
            closing(client.stream([{"role": "user", "content": PUZZLE}], reasoning=True)) as deltas,
        ):
            return any(delta.reasoning for delta in takewhile(lambda delta: not delta.text, deltas))
    except VesselError:
        return True  # the step that needs it shows what is wrong


def _embeds(model: ModelInfo) -> bool:
    """Tell whether a model is made for vectors; llama.cpp says only that it doesn't chat."""
    return model.kind == "embedding" or (model.kind is None and model.capabilities.chat is False)


def _loaded(model: ModelInfo) -> bool:
    return model.state in ("loaded", None)


def _embedded(report: Report, stack: ExitStack) -> Places:
    """Start a server for each job."""
    _build(report, JOBS)
    kinds: tuple[DemoKind, ...] = ("assistant", *JOBS)
    return Places(*(_demo(kind, stack) for kind in kinds), embedded=True)


def _build(report: Report, kinds: Iterable[DemoKind]) -> None:
    with report.waiting("Building the models…"):
        for kind in kinds:
            files: tuple[demo_models.Kind, ...] = ("chat", "vision") if kind == "chat" else (kind,)
            for file in files:
                demo_models.path(file, progress=lambda line: report.line(f"  {line}", "dim"))


def _demo(kind: DemoKind, stack: ExitStack) -> Place:
    """Start an embedded server; it ends with the stack."""
    server = stack.enter_context(LocalServer.demo(kind))
    with Client("llamacpp", base_url=server.base_url) as client:
        return _place(client.info())


def _place(server: ServerInfo) -> Place:
    with Client(server.backend, base_url=server.base_url) as client:
        return Place(server, client.model_info())
