"""What goes out: the request of a call, and how connections are made."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from importlib.util import find_spec
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpx

from vessel_core.address import Address
from vessel_core.errors import InvalidConfig, InvalidRequest
from vessel_core.records import record
from vessel_core.transport.calls import Watch
from vessel_core.transport.connection import Connection
from vessel_core.types import Timeout
from vessel_core.version import VERSION
from vessel_core.wire import Call
from vessel_core.wire.jsontext import dumps

KEEPALIVE = 4.0

HEADERS = {
    "accept": (b"Accept", b"*/*"),
    "accept-encoding": (b"Accept-Encoding", b"identity"),
    "connection": (b"Connection", b"keep-alive"),
    "user-agent": (b"User-Agent", f"vessel/{VERSION}".encode()),
}
"""What every request says, by lower-case name."""


@record
class Request:
    """A request as connections take it: `fields` are its headers, `content` its body. Connecting may take `connect` seconds, a
    single read or write as many; `watch` is told of both.

    httpx's own is made for httpx's transports alone: it takes as long as writing all of it.
    """

    method: str
    url: httpx.URL
    fields: Sequence[tuple[bytes, bytes]]
    content: bytes = b""
    connect: float | None = None
    read: float | None = None
    write: float | None = None
    watch: Watch = field(default_factory=Watch)


class Outgoing:
    """Writes the requests of a connection."""

    __slots__ = ("_fields", "_root")

    def __init__(self, connection: Connection) -> None:
        self._root = connection.address.root
        self._fields = _header_fields(connection)

    def request(self, call: Call, wait: Timeout, watch: Watch) -> Request:
        """Return the request of a call."""
        content = b"" if call.body is None else _encoded(call.body)  # first: what it raises must not show the key
        url = _url(self._root + call.path)
        read = wait.first_token if call.stream else wait.request
        fields = {"host": (b"Host", url.netloc), **self._fields}
        if call.body is not None:
            fields["content-length"] = (b"Content-Length", b"%d" % len(content))
            fields["content-type"] = (b"Content-Type", b"application/json")
        return Request(call.method, url, list(fields.values()), content, wait.connect, read, read, watch)


def _header_fields(connection: Connection) -> dict[str, tuple[bytes, bytes]]:
    """Return the headers of every request; what the caller named stands in place of ours, however it is spelt."""
    given = {
        name.lower(): (name.encode(), value.get_secret_value().encode()) for name, value in connection.headers.items()
    }
    login = connection.address.authorization
    if login is not None:
        given.setdefault("authorization", (b"Authorization", login.get_secret_value().encode()))
    return {**HEADERS, **given}


def pool_arguments(connection: Connection) -> dict[str, Any]:
    """Return the arguments of `httpx.HTTPTransport` and `httpx.AsyncHTTPTransport`."""
    return {
        "verify": _tls(connection.verify) if connection.address.secure else None,
        # httpx scans a bounded pool for each request and release: no bound, the caller's concurrency is the bound
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=KEEPALIVE),
        "proxy": _proxy(connection.address),
    }


def _proxy(address: Address) -> str | None:
    """Return the proxy that the environment names for a server, if that is neither local nor excepted."""
    if address.local:
        return None
    scheme, _, rest = address.root.partition("://")
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(rest.partition("/")[0]):
        return None
    return _usable(proxy if "://" in proxy else f"http://{proxy}")


def _usable(proxy: str) -> str:
    """Return a proxy's URL; raise `InvalidConfig` for one that is none, or whose protocol isn't spoken."""
    try:
        scheme = httpx.Proxy(proxy).url.scheme
    except (ValueError, httpx.InvalidURL):
        scheme = ""
    if scheme in ("http", "https") or (scheme and find_spec("socksio")):
        return proxy
    raise InvalidConfig(
        f"The environment names a proxy that can't be used{f': {scheme}://' if scheme else ''}.",
        hint="`HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY` take http:// and https:// (socks5:// with `httpx[socks]`).",
    )


@lru_cache(64)
def _url(url: str) -> httpx.URL:
    return httpx.URL(url)


def _tls(verify: bool | str) -> ssl.SSLContext:
    if verify is True:
        try:
            return httpx.create_ssl_context()
        except (OSError, ssl.SSLError) as error:
            hint = "Does `SSL_CERT_FILE` name a file of them?"
            raise InvalidConfig(f"The CA certificates can't be read: {error}.", hint=hint) from None
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
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(
            f"The request can't be written as JSON: {error}.", hint="See `extra_body`, tools, schemas."
        ) from None
