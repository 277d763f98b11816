"""Several servers by name, one of them active."""

from __future__ import annotations

from collections.abc import Iterator

from vessel_core.client import Client
from vessel_core.discovery import adiscover, discover
from vessel_core.errors import InvalidConfig, did_you_mean
from vessel_core.types import ServerInfo


class Registry:
    """Keeps clients by name.

        registry = Registry()
        registry.discover_and_register()
        registry.active.chat([{"role": "user", "content": "Hello"}])

    The first one registered is active until another is made so.
    """

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        self._active: str | None = None

    def register(self, name: str, client: Client) -> Client:
        """Add a client; raise `InvalidConfig` if the name is taken or empty."""
        if not name.strip():
            raise InvalidConfig("A server needs a name.")
        if name in self._clients:
            raise InvalidConfig(
                f"There is a server {name!r} already: {self._clients[name]!r}.", hint="Unregister it first."
            )
        self._clients[name] = client
        self._active = self._active or name
        return client

    def unregister(self, name: str) -> Client:
        """Take a client out and return it, still open; if it was active, the first of the others becomes so."""
        client = self.get(name)
        del self._clients[name]
        if self._active == name:
            self._active = next(iter(self._clients), None)
        return client

    def get(self, name: str) -> Client:
        """Return a client; raise `InvalidConfig` naming those there are."""
        if name not in self._clients:
            names = ", ".join(map(repr, self._clients)) or "none"
            raise InvalidConfig(
                f"There is no server {name!r}{did_you_mean(name, self._clients)}", hint=f"Registered: {names}."
            )
        return self._clients[name]

    @property
    def active(self) -> Client:
        """The client in use; `InvalidConfig` if none is registered."""
        if self._active is None:
            raise InvalidConfig("No server is registered.", hint="Use `register` or `discover_and_register`.")
        return self._clients[self._active]

    def activate(self, name: str) -> Client:
        """Make a client the active one."""
        client = self.get(name)
        self._active = name
        return client

    def infos(self) -> dict[str, ServerInfo]:
        """Ask every server how it is."""
        return {name: client.info() for name, client in self._clients.items()}

    def discover_and_register(self, timeout: float = 3.0) -> list[ServerInfo]:
        """Find running servers and register those that aren't yet, by backend's name; return what was found."""
        return self._add(discover(timeout))

    async def adiscover_and_register(self, timeout: float = 3.0) -> list[ServerInfo]:
        """Find and register, as `discover_and_register`."""
        return self._add(await adiscover(timeout))

    def _add(self, found: list[ServerInfo]) -> list[ServerInfo]:
        known = {client.target.address.root for client in self._clients.values() if client.target.address}
        for info in found:
            if info.connected and info.base_url not in known:
                self.register(self._free(info.backend), Client(info.backend, base_url=info.base_url))
                known.add(info.base_url)
        return found

    def _free(self, name: str) -> str:
        """Return the name, with a number where it is taken."""
        number, free = 2, name
        while free in self._clients:
            number, free = number + 1, f"{name}-{number}"
        return free

    def __iter__(self) -> Iterator[str]:
        return iter(self._clients)

    def __len__(self) -> int:
        return len(self._clients)

    def __contains__(self, name: object) -> bool:
        return name in self._clients

    def __repr__(self) -> str:
        return f"Registry({', '.join(f'{name}*' if name == self._active else name for name in self._clients)})"
