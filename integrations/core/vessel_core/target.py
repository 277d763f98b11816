"""Which server and which model: given, or found at first use and then remembered."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast

from pydantic import SecretStr

from vessel_core.address import Address, parse_address
from vessel_core.backends import Backend, find_backend
from vessel_core.backends.base import Flow, plain_name
from vessel_core.discovery import Candidate, candidates, identify
from vessel_core.doubt import Doubt
from vessel_core.errors import (
    InvalidConfig,
    NoServerFound,
    ServerUnreachable,
    VesselError,
)
from vessel_core.hiding import empty_frames, hide_in, is_secret, secret_texts
from vessel_core.pool import HostPool
from vessel_core.records import record
from vessel_core.request import checked_timeout
from vessel_core.retry import Host, Retries, host_of
from vessel_core.transport.connection import Connection
from vessel_core.types import (
    ChatOptions,
    ChatReply,
    Delta,
    Limits,
    ModelInfo,
    ModelKind,
    ServerInfo,
    Timeout,
)
from vessel_core.wire import Quirks, Reply
from vessel_core.wire.options import RUNNER
from vessel_core.wire.reading import mapping
from vessel_core.wire.tools import unfinished


@record
class Server:
    """A server that is known: its backend and its address."""

    backend: Backend
    address: Address


@dataclass(slots=True, eq=False, repr=False)
class Target:
    """What a client talks to. Construction checks everything that can be checked and does no I/O.

    `known` is the server once it is found, `chosen` the model used for each kind when none was named, `described` what
    the server said of its models. Of several hosts `address` is the first, and `pool` holds them all. A sync and an async
    client may share one target.
    """

    backend: Backend | None
    address: Address | None
    model: str | None
    api_key: SecretStr | None
    headers: Mapping[str, SecretStr]
    timeout: Timeout
    max_retries: int
    verify: bool | str = True
    pool: HostPool | None = None
    together: bool = True
    fetch_image_urls: bool = False
    limits: Limits = field(default_factory=Limits)
    switched: Mapping[str, Any] = field(default_factory=dict[str, Any])
    known: Server | None = None
    chosen: dict[ModelKind, str | None] = field(default_factory=dict["ModelKind", "str | None"])
    described: dict[str | None, ModelInfo] = field(default_factory=dict["str | None", ModelInfo])
    seen: dict[str | None, ModelInfo] = field(default_factory=dict["str | None", ModelInfo])
    doubted: Doubt | None = None
    warned: set[str | None] = field(default_factory=set["str | None"])
    runner: dict[str, dict[str, Any]] = field(default_factory=dict["str", "dict[str, Any]"])

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: neither a key nor a secret header, and nothing that was learnt."""
        forgotten: dict[str, Any] = {
            "address": replace(self.address, authorization=None) if self.address else None,
            "api_key": None,
            "headers": {name: value for name, value in self.headers.items() if not is_secret(name)},
            "known": None,
            "chosen": {},
            "described": {},
            "seen": {},
            "doubted": None,
            "warned": set[str | None](),
            "runner": {},
        }
        return {each.name: getattr(self, each.name) for each in fields(self)} | forgotten

    def __deepcopy__(self, _: dict[int, Any]) -> Target:
        """Return a target of its own with the same key: a copy stays in this process, a pickle may not."""
        return replace(
            self, chosen=dict(self.chosen), described=dict(self.described), runner=copy.deepcopy(self.runner)
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    @property
    def server(self) -> Server:
        """The server, once it is known; `NoServerFound` before."""
        if self.known is None:
            raise NoServerFound("The server is not known yet.")
        return self.known

    @property
    def quirks(self) -> Quirks:
        """How the server differs from others, with what was switched by name."""
        quirks = self.server.backend.quirks
        return replace(quirks, **self.switched) if self.switched else quirks

    def quirks_of(self, model: str | None) -> Quirks:
        """Return the quirks with what the model's template was seen not to take; what was switched by name stays."""
        seen = self.seen.get(model or self.model or self.chosen.get("chat"))
        if seen is None:
            return self.quirks
        capabilities = seen.capabilities
        learnt: dict[str, Any] = {}
        if capabilities.repeated_roles is False:
            learnt |= {"repeated_roles": False, "system": "first"}
        if capabilities.late_system is False:
            learnt["system"] = "first"
        if capabilities.system_role is False:
            learnt["system"] = "never"
        learnt = {name: value for name, value in learnt.items() if name not in self.switched}
        return replace(self.quirks, **learnt) if learnt else self.quirks

    def slots(self, model: str | None) -> int | None:
        """Return how many requests a model was seen to work on at once."""
        seen = self.seen.get(model) or self.described.get(model)
        return seen.slots if seen else None

    def places(self) -> list[Candidate]:
        """Return where the server may be, when no address was given."""
        return candidates(os.environ, [self.backend]) if self.backend else candidates(os.environ)

    def settle(self) -> Server | None:
        """Return the server if it takes no request to know it."""
        if self.known is None and self.backend is not None:
            if self.address is not None:
                self.known = Server(self.backend, self.address)
            elif len(places := self.places()) == 1:
                self.known = Server(self.backend, places[0].address)
            elif not places:
                raise InvalidConfig(
                    f"backend={self.backend.name!r} has no default address.",
                    hint="Say where the server is: base_url='http://host:port/v1'.",
                )
        return self.known

    def found(self, found: ServerInfo) -> Server:
        """Remember the server that discovery chose, with the login of the URL it was found by."""
        addresses = (place.address for place in self.places() if place.address.root == found.base_url)
        self.known = Server(find_backend(found.backend), next(addresses, parse_address(found.base_url)))
        return self.known

    def recognise(self, address: Address) -> Flow[Server]:
        """Find out what kind of server answers at a given address."""
        self.known = Server((yield from identify()), address)
        return self.known

    def connection(self, address: Address) -> Connection:
        """Return how to reach an address. The key goes to the server that was given or found for it, and nowhere else."""
        headers = dict(self.headers)
        if self.api_key is not None:
            headers.setdefault("Authorization", SecretStr(f"Bearer {self.api_key.get_secret_value()}"))
        return Connection(address, headers, self.verify, self.limits)

    @property
    def retries(self) -> Retries:
        """How often to try again, and how to ask whether a loading model is ready."""
        health = self.known.backend.health if self.known else "/health"
        address = self.known.address if self.known else self.address
        host = host_of(address.root) if address else Host()
        elsewhere = self.pool.elsewhere if self.pool else None
        return Retries(self.max_retries, self.timeout, health, host=host, elsewhere=elsewhere, hear=self.hear)

    def within(self, timeout: Timeout | float | None) -> Retries:
        """Return `retries` of a call that has a timeout of its own."""
        return (
            self.retries if timeout is None else replace(self.retries, timeout=checked_timeout(timeout, self.timeout))
        )

    def alone(self, host: int | str) -> Target:
        """Return a target of one host, by its place or its URL; raise `InvalidConfig` if there is none."""
        addresses = self.pool.addresses if self.pool else tuple(filter(None, [self.address]))
        roots = [address.root for address in addresses]
        try:
            address = addresses[host if isinstance(host, int) else roots.index(parse_address(host, source="host").root)]
        except (IndexError, ValueError):
            raise InvalidConfig(f"There is no host {host!r}.", hint=f"Hosts: {', '.join(roots) or 'none'}.") from None
        return replace(self.__deepcopy__({}), address=address, pool=None, known=None)

    def label(self) -> str:
        """Say what is talked to, for a `repr`: no key, no header."""
        backend = self.known.backend.name if self.known else self.backend.name if self.backend else "auto"
        address = self.known.address if self.known else self.address
        parts = [
            repr(backend),
            f"base_url={self.where!r}" if address else "",
            f"model={self.model!r}" if self.model else "",
        ]
        return ", ".join(part for part in parts if part)

    @property
    def where(self) -> str | list[str] | None:
        """The URL of the server, or those of several, as far as known."""
        if self.pool is not None:
            return [address.root for address in self.pool.addresses]
        address = self.known.address if self.known else self.address
        return address.root if address else None

    def disconnected(self, error: VesselError) -> ServerInfo:
        """Return the state of a server that did not answer."""
        backend = self.known.backend if self.known else self.backend
        address = self.known.address if self.known else self.address
        return ServerInfo(
            backend.name if backend else "auto", address.root if address else "", False, error=error.message
        )

    def patience(self, patient: bool, timeout: Timeout | float | None = None) -> Retries:
        """Return the retries of a call, or none for who wants to know how things are now."""
        retries = self.within(timeout)
        return retries if patient else replace(retries, most=0, timeout=replace(retries.timeout, load=0.0))

    def explain(self, error: VesselError, since: float, received: Sequence[Delta] = ()) -> VesselError:
        """Put on an error the server and its URL, what had come of the answer, and how to start what isn't there."""
        error.elapsed = time.monotonic() - since
        if received and error.partial is None:
            error.partial = unfinished(ChatReply.gather(received))
        if secrets := self.secrets():
            hide_in(error, secrets)
            empty_frames(error)
        address = self.known.address if self.known else self.address
        backend = self.known.backend if self.known else self.backend
        if address is not None and (error.url is None or error.backend is None):
            where = address.root if self.pool is None else ", ".join(each.root for each in self.pool.addresses)
            error.backend, error.url = backend.title if backend else None, error.url or where
            if isinstance(error, ServerUnreachable) and error.refused and backend is not None:
                start = f"Start it: {backend.how_to_start}. Or" if backend.start else "Start it, or"
                error.hint = f"{start} give the right base_url."
        return error

    def secrets(self) -> list[str]:
        """Return the texts that nothing that is shown may hold: some servers repeat the key."""
        addresses = [self.address, self.known and self.known.address, *(self.pool.addresses if self.pool else ())]
        logins = [address.authorization for address in addresses if address]
        return secret_texts([self.api_key, *self.headers.values(), *logins])

    def doubt(self) -> Doubt:
        """Return what there is to say of who answers in the place of the server."""
        if self.doubted is None:
            source = next((place.source for place in self.places() if not self.address), None)
            self.doubted = Doubt(self.server.backend, source or self.server.address.root)
        return self.doubted

    def hear(self, reply: Reply) -> None:
        """Take a reply: the first one may tell that another server answers."""
        if self.known is not None:
            self.doubt().hear(reply)

    def hear_answer(self, received: Sequence[Delta]) -> None:
        """Take an answer that has come, which may tell it too."""
        if received:
            self.doubt().hear_answer(received[0])

    def forget(self) -> None:
        """Forget what was said of the models: one came, went or changed."""
        self.described.clear()
        self.seen = {}
        self.chosen.clear()

    def steady(
        self, model: str | None, options: Mapping[str, Any], extra_body: Mapping[str, Any] | None = None
    ) -> ChatOptions:
        """Keep an option that makes Ollama load its model anew the same from call to call, also where it is left out.

        It may be given to a call, to `load`, or in an `extra_body`, where Ollama reads it.
        """
        if "num_ctx" not in self.quirks.takes:
            return cast("ChatOptions", options)
        kept = self.runner.setdefault(plain_name(model or ""), {})
        extra = extra_body or {}
        beside = {name: value for name, value in extra.items() if self.quirks.takes.get(name) == name}
        for given in (options, mapping(extra.get("options")), beside):
            kept.update({name: value for name, value in given.items() if name in RUNNER and value is not None})
        missing = {name: value for name, value in kept.items() if name not in options}
        return cast("ChatOptions", {**options, **missing})
