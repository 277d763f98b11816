"""How to reach a server: where, with which secret headers."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic import SecretStr

from vessel_core.address import Address
from vessel_core.errors import InvalidConfig, InvalidRequest
from vessel_core.types import Limits, Timeout
from vessel_core.version import VERSION
from vessel_core.wire import Call
from vessel_core.wire.jsontext import dumps

KEEPALIVE = 4.0


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a server is, the headers it gets (a key among them), and how much of a reply is taken in."""

    address: Address
    headers: Mapping[str, SecretStr] = field(default_factory=dict[str, SecretStr])
    verify: bool | str = True
    limits: Limits = field(default_factory=Limits)

    def request_arguments(self, call: Call, wait: Timeout) -> dict[str, Any]:
        """Return the arguments of `httpx.Client.build_request` for a call."""
        content = None if call.body is None else _encoded(call.body)  # first: what it raises must not show the key
        headers = {name: value.get_secret_value() for name, value in self.headers.items()}
        if self.address.authorization is not None:
            headers.setdefault("Authorization", self.address.authorization.get_secret_value())
        if content is not None:
            headers["Content-Type"] = "application/json"
        read = wait.first_token if call.stream else wait.request
        return {
            "method": call.method,
            "url": self.address.root + call.path,
            "headers": headers,
            "content": content,
            "timeout": httpx.Timeout(connect=wait.connect, read=read, write=read, pool=None),
        }

    def client_arguments(self) -> dict[str, Any]:
        """Return the arguments of `httpx.Client` and `httpx.AsyncClient`."""
        return {
            "verify": _tls(self.verify) if self.address.secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            # httpx scans a bounded pool for each request and release: no bound, the caller's concurrency is the bound
            "limits": httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=KEEPALIVE),
            "trust_env": not self.address.local,
            "headers": {"Accept-Encoding": "identity", "User-Agent": f"vessel/{VERSION}"},
        }


def _tls(verify: bool | str) -> ssl.SSLContext:
    if verify is True:
        return httpx.create_ssl_context()
    if verify is False:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        return ssl.create_default_context(cafile=verify)
    except (OSError, ssl.SSLError) as error:
        raise InvalidConfig(f"verify={verify!r} is no file of CA certificates: {error}.") from None


def _encoded(body: Mapping[str, Any] | Sequence[Any]) -> bytes:
    try:
        return dumps(body)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(
            f"The request can't be written as JSON: {error}.", hint="See `extra_body`, tools, schemas."
        ) from None
