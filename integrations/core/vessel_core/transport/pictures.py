"""Fetches pictures from the web, for who has asked for that with `fetch_image_urls=True`.

A URL in a message may come from anybody, and this machine may reach what its author can't: its own services, the local
network, a cloud's metadata. So the name is resolved once, every address it has must be a public one, and the connection
goes to that address: what the name says a moment later (DNS rebinding) counts for nothing. TLS and `Host` keep the name.
No proxy, no redirect to another host, no cookie, no key; 20 MB and 5 seconds for all of it; what isn't a picture by its
first bytes is refused.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from queue import Empty, SimpleQueue
from typing import Any

import httpcore
import httpx

from vessel_core.errors import InvalidMedia
from vessel_core.media import MAX_FILE, sniff_image
from vessel_core.wire import Reply

SECONDS = 5.0
"""How long a picture may take, from the first connection to the last byte."""

REDIRECTS = 3
"""How many redirects on the same host are followed."""

HEADERS = (("Accept", "image/*"), ("Accept-Encoding", "identity"), ("User-Agent", "vessel"))
REFUSED = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24"),
        *("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "fec0::/10", "3fff::/20"),
    )
)
"""Addresses that may count as public and aren't: clouds' own services, IPv6 ones that carry an IPv4 address or are a site's."""

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def fetch_picture(url: str) -> Reply:
    """Return the bytes of a picture; raise `InvalidMedia` for what is none, can't be fetched or must not be."""
    deadline = time.monotonic() + SECONDS
    place = _place(url)
    try:
        pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context() if place.scheme == "https" else None,
            network_backend=_Pinned(_resolved(place, deadline), deadline),
            http2=False,
        )
        with pool:
            return Reply(200, body=_fetched(pool, place, deadline))
    except (httpcore.TimeoutException, TimeoutError):
        raise _refused(url, f"it did not come within {SECONDS:g} s") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError) as error:
        raise _refused(url, f"its server can't be reached: {type(error).__name__} {error}".strip()) from None


def _refused(url: str, why: str) -> InvalidMedia:
    return InvalidMedia(f"The picture at {url[:100]!r} is not sent: {why}.", hint="Fetch it yourself, pass its bytes.")


def _place(url: str) -> httpx.URL:
    """Return a checked URL: http or https, with a host, without a user name, made of printable characters."""
    try:
        place = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        raise _refused(url, "it is no URL") from None
    plain = re.fullmatch(r"[\w.:-]+", place.raw_host.decode("ascii")) and not re.search(r"[\x00-\x20\x7f]", url)
    if place.scheme not in ("http", "https") or not plain:
        raise _refused(url, "it is no http or https URL")
    if place.userinfo:
        raise _refused(url, "it holds a user name")
    return place


def _port(place: httpx.URL) -> int:
    return place.port or (443 if place.scheme == "https" else 80)


def _resolved(place: httpx.URL, deadline: float) -> str:
    """Return the address to connect to: the first of the host's, once all of them are known to be public."""
    host, port = place.raw_host.decode("ascii"), _port(place)
    came: SimpleQueue[list[Any] | None] = SimpleQueue()

    def look() -> None:
        try:
            came.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError):
            came.put(None)

    threading.Thread(target=look, daemon=True).start()  # a look-up itself knows no deadline
    try:
        found = came.get(timeout=_left(deadline))
    except Empty:
        raise TimeoutError from None
    if found is None:
        raise _refused(str(place), "its host is unknown")
    addresses = [str(each[4][0]).partition("%")[0] for each in found]
    if not addresses or not all(is_public(address) for address in addresses):
        raise _refused(str(place), "its host is not on the public internet")
    return addresses[0]


def is_public(text: str) -> bool:
    """Tell whether an address is one of the public internet: not this machine, its networks, or a cloud's metadata."""
    address: IPAddress = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    unusual = address.is_multicast or address.is_reserved or address.is_unspecified or _of_a_site(address)
    return address.is_global and not unusual and not any(address in network for network in REFUSED)


def _of_a_site(address: IPAddress) -> bool:
    """Tell whether an address is one of ISATAP: a router of the site takes it for the IPv4 address at its end."""
    return address.version == 6 and (int(address) >> 32) & 0xFDFFFFFF == 0x5EFE


def _fetched(pool: httpcore.ConnectionPool, place: httpx.URL, deadline: float) -> bytes:
    for _ in range(REDIRECTS + 1):
        wait = {"connect": SECONDS, "read": SECONDS, "write": SECONDS, "pool": SECONDS}
        headers = [*HEADERS, ("Host", place.netloc.decode("ascii"))]
        with pool.stream("GET", str(place), headers=headers, extensions={"timeout": wait}) as response:
            if response.status not in (301, 302, 303, 307, 308):
                return _picture(place, response, deadline)
            place = _next_place(place, response)
    raise _refused(str(place), f"it is redirected more than {REDIRECTS} times")


def _next_place(place: httpx.URL, response: httpcore.Response) -> httpx.URL:
    """Return where a redirect leads, if that is the same host: the address that was checked is the one connected to."""
    location = next((value for name, value in response.headers if name.lower() == b"location"), b"")
    try:
        following = _place(str(place.join(location.decode("ascii"))))
    except (httpx.InvalidURL, ValueError) as error:
        raise _refused(str(place), "it is redirected to no picture's URL") from error
    if following.host != place.host or _port(following) != _port(place) or following.scheme != place.scheme:
        raise _refused(str(place), "it is redirected to another place")
    return following


def _picture(place: httpx.URL, response: httpcore.Response, deadline: float) -> bytes:
    if response.status != 200:
        raise _refused(str(place), f"its server answers {response.status}")
    data = bytearray()
    for part in response.iter_stream():
        data += part
        if len(data) > MAX_FILE:
            raise _refused(str(place), f"it is larger than {MAX_FILE // 1024 // 1024} MB")
        if time.monotonic() > deadline:
            raise TimeoutError
    if sniff_image(bytes(data[:32])) is None:
        raise _refused(str(place), "it is no picture")
    return bytes(data)


class _Pinned(httpcore.NetworkBackend):
    """Connects to one address, whatever name is asked for, and to no other; every step ends by the deadline."""

    def __init__(self, address: str, deadline: float) -> None:
        self._address = address
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        stream = httpcore.SyncBackend().connect_tcp(self._address, port, _left(self._deadline))
        return _Hurried(stream, self._deadline)


class _Hurried(httpcore.NetworkStream):
    """A connection whose every read and write has the time that is left for all of them."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, _left(self._deadline))
        return _Hurried(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout
    return left
