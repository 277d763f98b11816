"""How to reach a server: where, with which secret headers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from pydantic import SecretStr

from vessel_core.address import Address
from vessel_core.records import record
from vessel_core.types import Limits

if TYPE_CHECKING:
    import httpx

    from vessel_core.transport.async_shell import AsyncTransport
    from vessel_core.transport.sync_shell import Transport


@record
class Connection:
    """Where a server is, the headers it gets (a key among them), and how much of a reply is taken in."""

    address: Address
    headers: Mapping[str, SecretStr] = field(default_factory=dict[str, SecretStr])
    verify: bool | str = True
    limits: Limits = field(default_factory=Limits)

    def transport(self, http_transport: httpx.BaseTransport | None = None) -> Transport:
        """Return what makes calls. The first one loads httpx: who only imports us does not wait for it."""
        from vessel_core.transport.sync_shell import Transport

        return Transport(self, http_transport)

    def async_transport(self, http_transport: httpx.AsyncBaseTransport | None = None) -> AsyncTransport:
        """Return what makes calls, async."""
        from vessel_core.transport.async_shell import AsyncTransport

        return AsyncTransport(self, http_transport)
