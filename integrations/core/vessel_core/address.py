"""Base URLs: checked, cleaned, and told apart into local and remote."""

from __future__ import annotations

import base64
import ipaddress
import re
import socket
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import SecretStr

from vessel_core.errors import InvalidConfig

_REACHED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
_UNSEEN = ("Cc", "Cs")  # control characters, lone surrogates
_LONGEST = 4000
_HOST = r"[A-Za-z0-9_.-]*|[0-9a-fA-F:.]+(%\w+)?"
_LOCAL_NAMES = ("localhost", "host.docker.internal", "gateway.docker.internal")
_LOCAL_ENDINGS = (".local", ".localhost", ".localdomain", ".internal", ".home.arpa", ".lan")


@dataclass(frozen=True, slots=True)
class Address:
    """A server's root, without `/v1`, a trailing slash or a user name; `authorization` is what the user name became."""

    root: str
    authorization: SecretStr | None = None

    @property
    def secure(self) -> bool:
        """Whether the server is reached by TLS."""
        return self.root.startswith("https://")

    @property
    def local(self) -> bool:
        """Whether the host is this machine or on its network, so that no proxy may see what is sent there."""
        host = (urlsplit(self.root).hostname or "").removesuffix(".")  # a name may end with the dot of the root
        if host in _LOCAL_NAMES or host.endswith(_LOCAL_ENDINGS) or "." not in host.strip("[]"):
            return ":" not in host or _is_private(host)
        return _is_private(host)


def _is_private(host: str) -> bool:
    """Tell whether a host is an address of this machine or its network, in any spelling (`127.1`, `0x7f.1`)."""
    try:
        address = ipaddress.ip_address(host if ":" in host else socket.inet_ntoa(socket.inet_aton(host)))
    except (OSError, ValueError):
        return False
    return address.is_private or address.is_loopback or address.is_link_local


def parse_address(url: str, *, source: str = "base_url", lenient: bool = False) -> Address:
    """Return the address in `url`; raise `InvalidConfig` naming `source` if it has no scheme or host, or has a query.

    `/v1`, `/api` and slashes at the end are dropped, and `0.0.0.0` and `[::]` (where servers listen) become `127.0.0.1`
    and `[::1]` (where they are reached). With `lenient=True` a missing scheme means `http://`, as in `OLLAMA_HOST=0.0.0.0:11434`.
    """
    text = url.strip()
    if lenient and text and "://" not in text:
        text = f"http://{text}"
    parts = _split(text, source)
    if parts.scheme not in ("http", "https"):
        hint = f"Did you mean {source}='http://{text}'?" if "://" not in text and text else None
        raise InvalidConfig(f"{source}={_shown(text)!r} has no scheme http:// or https://.", hint=hint)
    if not parts.hostname:
        raise InvalidConfig(f"{source}={_shown(text)!r} has no host.", hint="Write it like http://localhost:8080.")
    if parts.query:
        hint = "A key goes into api_key=, or with its header's name into headers=; a URL is shown and stored."
        raise InvalidConfig(f"{source}={_shown(text)!r} has a query (?…), of which nothing would be sent.", hint=hint)
    path = parts.path.rstrip("/")
    for ending in ("/v1/chat/completions", "/chat/completions", "/v1", "/api"):
        path = path.removesuffix(ending)
    host = _REACHED.get(parts.hostname, parts.hostname)
    host = f"[{host}]" if ":" in host else host
    root = f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{path.rstrip('/')}"
    return Address(root, _basic(parts) if parts.username else None)


def without_login(url: str) -> tuple[str, SecretStr | None]:
    """Return a URL without user name and password, and the `Authorization` they stand for: a URL is shown and stored, and
    a header is not."""
    if "@" not in url:
        return url, None
    address = parse_address(url)
    return (address.root, address.authorization) if address.authorization is not None else (url, None)


def without_logins(urls: str | Sequence[str]) -> tuple[str | list[str], SecretStr | None]:
    """Do what `without_login` does for one URL or several; raise `InvalidConfig` if these hold different logins.

    A header goes to every host, and one host's password is not another's business.
    """
    if isinstance(urls, str):
        return without_login(urls)
    plain = [without_login(url) for url in urls]
    logins = {None if login is None else login.get_secret_value(): login for _, login in plain}
    if len(logins) > 1:
        raise InvalidConfig(
            "base_url holds different logins for its hosts.",
            hint="Give all hosts one login, or pass a core `Client`, which keeps each with its host, as `client`.",
        )
    return [url for url, _ in plain], next(iter(logins.values()), None)


def _split(text: str, source: str) -> SplitResult:
    try:
        plain = text.isascii() and text.isprintable() and " " not in text
        if not plain and any(character.isspace() or unicodedata.category(character) in _UNSEEN for character in text):
            raise ValueError("it holds white space or control characters")
        if len(text) > _LONGEST:
            raise ValueError(f"it is longer than {_LONGEST} characters")
        parts = urlsplit(text)
        _ = parts.port
        host = parts.netloc.rpartition("@")[2]  # as it was written: a Kelvin sign is a small k as `hostname`
        if not (host.isascii() and re.fullmatch(_HOST, parts.hostname or "")):
            raise ValueError("its host holds characters that names of hosts don't have (write äö.example as xn--…)")
    except ValueError as error:
        raise InvalidConfig(f"{source}={_shown(text)!r} is no URL: {error}.") from None
    return parts


def _shown(text: str) -> str:
    """Return a URL without what stands before its `@` and in its query, which may be secret."""
    text = text.partition("?")[0]
    scheme, found, rest = text.partition("://")
    return f"{scheme}{found}{rest.rpartition('@')[2]}" if "@" in rest else text


def _basic(parts: SplitResult) -> SecretStr:
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return SecretStr(f"Basic {base64.b64encode(pair.encode()).decode()}")
