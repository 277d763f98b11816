"""What a client is given by name, checked."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypedDict, Unpack

from pydantic import SecretStr

from vessel_core.address import parse_address
from vessel_core.backends import find_backend
from vessel_core.errors import InvalidConfig
from vessel_core.hosts import Routing
from vessel_core.pool import HostPool
from vessel_core.request import checked_timeout
from vessel_core.target import Target
from vessel_core.types import Limits, Timeout
from vessel_core.wire.quirks import checked_quirks

_FRAMING = frozenset({"content-length", "te", "trailer", "transfer-encoding", "upgrade"})
"""Headers that say how a message is framed, or that the connection becomes another: what is sent must be true of them."""


class TargetOptions(TypedDict, total=False):
    """What a client takes by name; see `Client`. `headers` values are secret; `verify` may be a file of CA certificates.

    With `fetch_image_urls` pictures given by URL are fetched here, from the public internet only; without, a server that
    fetches them gets the URL. `limits` bounds what is taken in of a reply. `routing` says how calls are spread over several
    `base_url`. `quirks` switches what is known of the server, by the names of `vessel_core.wire.Quirks`.
    """

    base_url: str | Sequence[str] | None
    model: str | None
    api_key: str | SecretStr | None
    headers: Mapping[str, str | SecretStr] | None
    timeout: Timeout | float | None
    max_retries: int
    verify: bool | str
    routing: Routing | None
    together: bool
    fetch_image_urls: bool
    limits: Limits | None
    quirks: Mapping[str, Any] | None


def make_target(backend: str = "auto", **options: Unpack[TargetOptions]) -> Target:
    """Return a checked target; raise `InvalidConfig` naming what can't be right."""
    base_url, model = options.get("base_url"), options.get("model")
    if isinstance(base_url, list | tuple) and not base_url:
        raise InvalidConfig("base_url is an empty list.", hint="Name a server, or leave it out: then one is found.")
    urls: list[Any] = list(base_url) if isinstance(base_url, list | tuple) else [base_url]
    needed = {"backend", *(["base_url"] if base_url is not None else [])}
    for name, given in (("backend", backend), *(("base_url", url) for url in urls), ("model", model)):
        if not isinstance(given, str | None) or (given is None and name in needed):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidConfig(f"{name}={given!r} is a {type(given).__name__}, not a text.")
    max_retries, key = options.get("max_retries", 2), options.get("api_key")
    if max_retries < 0:
        raise InvalidConfig(f"max_retries={max_retries} is below 0.")
    key = SecretStr(key) if isinstance(key, str) else key
    if key is not None:
        _check_header("api_key", key)
    addresses = [parse_address(url) for url in urls if url is not None]
    routing = options.get("routing")
    _check_routing(routing, base_url, len(addresses))
    return Target(
        backend=None if backend.strip().lower() == "auto" else find_backend(backend),
        address=addresses[0] if addresses else None,
        model=model or None,
        api_key=key if key and key.get_secret_value() else None,
        headers=_headers(options.get("headers") or {}),
        timeout=checked_timeout(options.get("timeout")),
        max_retries=max_retries,
        verify=options.get("verify", True),
        pool=HostPool(addresses, routing) if len(addresses) > 1 else None,
        together=options.get("together", True),
        fetch_image_urls=options.get("fetch_image_urls", False),
        limits=_limits(options.get("limits")),
        switched=checked_quirks(options.get("quirks") or {}),
    )


def _check_routing(routing: object, base_url: object, hosts: int) -> None:
    """Refuse a routing that can't be right; a list of one host is a list."""
    if routing is None:
        return
    if not isinstance(routing, Routing):
        raise InvalidConfig(f"routing={routing!r} is a {type(routing).__name__}.", hint="Give: Routing(slots=…).")
    if base_url is None or isinstance(base_url, str):
        raise InvalidConfig("`routing` is for several hosts.", hint="Give a list of URLs as `base_url`.")
    routing.slots_of(hosts)


def given_target(backend: str = "auto", **options: Unpack[TargetOptions]) -> Target:
    """Return a checked target for who gave these options; warn of `verify=False`."""
    target = make_target(backend, **options)
    warn_unverified(target.verify)
    return target


def warn_unverified(verify: bool | str) -> None:
    """Warn of TLS certificates that are not checked."""
    if verify is False:
        warnings.warn(
            "verify=False: whoever stands between here and the server can read and change all that is sent, the key too. "
            "For a certificate of your own say verify='ca.pem'.",
            stacklevel=4,
        )


def _limits(limits: Limits | None) -> Limits:
    limits = limits or Limits()
    for each in fields(limits):
        if not isinstance(size := getattr(limits, each.name), int) or size < 1:
            raise InvalidConfig(f"limits: {each.name}={size!r} is not above 0.", hint="It is in bytes.")
    return limits


def _headers(given: Mapping[str, str | SecretStr]) -> dict[str, SecretStr]:
    headers = {name: value if isinstance(value, SecretStr) else SecretStr(value) for name, value in given.items()}
    for name, value in headers.items():
        if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII):
            raise InvalidConfig(  # which isn't shown: a key may stand in its place
                "A name in headers holds characters that can't stand in one.",
                hint="Give: headers={'Authorization': 'Bearer …'}.",
            )
        _check_header(f"headers[{name!r}]", value)
        if name.lower() in _FRAMING:
            raise InvalidConfig(
                f"headers[{name!r}] can't be given: the client itself says how a request is framed.",
                hint="Leave it out.",
            )
        if name.lower() == "connection" and value.get_secret_value().lower() not in ("close", "keep-alive"):
            raise InvalidConfig(f"headers[{name!r}] is neither 'close' nor 'keep-alive'.", hint="Leave it out.")
    return headers


def _check_header(name: str, value: SecretStr) -> None:
    """Refuse what can't stand in a header; what it is isn't shown, since it may be a key with a line break after it."""
    if not re.fullmatch(r"(?!\s)[\t\x20-\x7e]*(?<!\s)", value.get_secret_value()):
        raise InvalidConfig(
            f"{name} holds characters that can't be sent in a header.",
            hint="Is there a blank or a line break at its end?",
        )
