"""Takes secrets out of texts: some servers repeat in an error what they were sent, the key among it."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, cast

from pydantic import SecretStr

from vessel_core.errors import VesselError

SHORTEST = 6
"""Shorter texts than this are words rather than keys, and stay in what a server says."""

HIDDEN = "…"

TELLING = (
    *("api", "auth", "bearer", "cookie", "credential", "jwt", "key"),
    *("pass", "secret", "session", "sid", "signature", "token"),
)
"""What the name of a header has in it whose value is secret."""


def is_secret(header: str) -> bool:
    """Tell by its name whether a header holds a secret."""
    return any(word in header.lower() for word in TELLING)


def secret_texts(secrets: Iterable[SecretStr | None]) -> list[str]:
    """Return what must not be shown of header values, longest first: the whole ones, and the keys in them.

    `Bearer k`, `session=k; theme=dark` and the user name and password of `Basic …` hold secrets in the middle; a part of
    letters only is a word, unless it stands where a key or password does. Each counts as JSON and Python write it too.
    """
    found = {part for secret in secrets if secret is not None for part in _parts(secret.get_secret_value())}
    written = {form for text in found for form in (text, json.dumps(text)[1:-1], repr(text)[1:-1])}
    return sorted((text for text in written if len(text) >= SHORTEST), key=len, reverse=True)


def _parts(value: str) -> Iterator[str]:
    yield value
    yield from (part for part in re.split(r"[\s;,=]+", value) if not part.isalpha())
    scheme, _, login = value.partition(" ")
    if scheme.lower() in ("bearer", "token"):
        yield login.strip()
    if scheme.lower() == "basic":
        try:
            pair = base64.b64decode(login, validate=True).decode("utf-8", "replace")
        except binascii.Error:
            return
        yield pair
        yield pair.partition(":")[2]


def hidden(text: str, secrets: Iterable[str]) -> str:
    """Return a text without secrets."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


def hide_in(error: VesselError, secrets: Iterable[str]) -> None:
    """Take secrets out of an error, all that rides on it, and the texts of what it came from."""
    secrets = list(secrets)
    for each in chain(error):
        each.args = _without(each.args, secrets)
        held: dict[str, Any] = getattr(each, "__dict__", {})
        ours = isinstance(each, VesselError)
        held.update({name: _without(value, secrets) for name, value in held.items() if ours or isinstance(value, str)})


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and everything it came from, the members of groups included."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        each = todo.pop(0)
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            todo += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]


def _without(value: Any, secrets: list[str]) -> Any:
    """Return a value without secrets in its texts: a text, a collection or a dataclass of them; others as they are."""
    if isinstance(value, str):
        return hidden(value, secrets)
    if type(value) in (list, tuple):
        return type(value)(_without(each, secrets) for each in value)
    if isinstance(value, dict):
        return {name: _without(each, secrets) for name, each in cast("dict[str, Any]", value).items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: _without(getattr(value, each.name), secrets) for each in fields(value)})
    return value
