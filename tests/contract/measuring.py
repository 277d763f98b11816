"""How a row of the table is measured: a probe for each, run on every kind of server that a candidate talks to."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from tests.contract.stand import BOTH, Candidate, Kind, Said, serving
from tests.fake_server import Answer, FakeServer, Routes

YES, PARTLY, NO, NONE = "✔", "~", "✘", "–"
_WORSE = {NO: 0, PARTLY: 1, YES: 2}


@dataclass(slots=True)
class Bench:
    """A candidate in front of one kind of server."""

    candidate: Candidate
    kind: Kind

    @contextmanager
    def at(
        self, answer: Said | Answer, routes: Routes | None = None, **options: Any
    ) -> Generator[tuple[Any, FakeServer]]:
        """Give the candidate's chat model and the server that answers it."""
        with serving(self.kind, answer, routes) as server:
            yield self.candidate.chat(server.base_url, **options), server

    @contextmanager
    def embedding(self, routes: Routes | None = None, *, adapted: bool = True) -> Generator[tuple[Any, FakeServer]]:
        """Give the candidate's embeddings and the server that answers them."""
        with serving(self.kind, Said(), routes) as server:
            yield self.candidate.embeddings(server.base_url, adapted=adapted), server

    @contextmanager
    def other(self, name: str, routes: Routes) -> Generator[tuple[Any, FakeServer]]:
        """Give one of the candidate's further classes and the server that answers it; raises if it has none."""
        with serving(self.kind, Said(), routes) as server:
            yield self.candidate.others[name](server.base_url), server

    @property
    def path(self) -> str:
        """Where this server is asked to chat."""
        return "/api/chat" if self.kind == "ollama" else "/v1/chat/completions"

    def body(self, server: FakeServer) -> dict[str, Any]:
        """Return what was asked last."""
        return server.asked(self.path)[-1].json()


Probe = Callable[[Bench], "bool | str"]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    group: str
    title: str
    probe: Probe
    kinds: tuple[Kind, ...]


def measure(row: Row, candidate: Candidate) -> str:
    """Return the mark of a candidate in a row: the worst of the servers it was tried on, `–` where it has no meaning.

    What a probe raises means that the candidate does not do it.
    """
    if candidate.without & {row.group, row.title}:
        return NONE
    marks = [_mark(row.probe, Bench(candidate, kind)) for kind in candidate.kinds if kind in row.kinds]
    return min(marks, key=_WORSE.__getitem__) if marks else NONE


def _mark(probe: Probe, bench: Bench) -> str:
    with _only_this_machine(), _without_keys(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _tried(lambda: probe(bench))


def _tried(probe: Callable[[], bool | str]) -> str:
    try:
        found = probe()
    except Exception:
        return NO
    return found if isinstance(found, str) else YES if found else NO


@contextmanager
def _only_this_machine() -> Generator[None]:
    """Look up no name outside of this machine: some candidates would download a tokenizer."""
    real = socket.getaddrinfo

    def look(host: Any, *rest: Any, **named: Any) -> Any:
        if host not in ("127.0.0.1", "localhost", None):
            raise OSError(f"{host} is not this machine")
        return real(host, *rest, **named)

    with mock.patch.object(socket, "getaddrinfo", look):
        yield


@contextmanager
def _without_keys() -> Generator[None]:
    """Let nobody find a key in the environment."""
    with mock.patch.dict(os.environ):
        for name in [name for name in os.environ if name.endswith("_API_KEY")]:
            del os.environ[name]
        yield


class Rows(list[Row]):
    """The rows in order; a probe is added with its group and its title."""

    def add(self, group: str, title: str, kinds: tuple[Kind, ...] = BOTH) -> Callable[[Probe], Probe]:
        """Return the decorator of a probe."""

        def added(probe: Probe) -> Probe:
            self.append(Row(group, title, probe, kinds))
            return probe

        return added


def best(probe: Callable[[dict[str, Any]], bool | str], *spellings: dict[str, Any]) -> str:
    """Return the best mark of an option that each class spells as it likes."""
    return max((_tried(lambda spelling=spelling: probe(spelling)) for spelling in spellings), key=_WORSE.__getitem__)


def parts(*held: bool) -> str:
    """Return one mark for several things: all, some, none."""
    return YES if all(held) else PARTLY if any(held) else NO
