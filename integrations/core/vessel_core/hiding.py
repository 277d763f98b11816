"""Takes secrets out of texts: some servers repeat in an error what they were sent, the key among it."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from itertools import takewhile
from traceback import clear_frames
from typing import Any, cast
from urllib.parse import quote

from pydantic import SecretStr

from vessel_core.errors import VesselError

SHORTEST = 6
"""Shorter texts than this are words rather than keys, and stay in what a server says."""

HIDDEN = "…"

BEGINNING = 8
"""As many characters of a secret are one where a text was cut."""

TELLING = (
    *("api", "auth", "bearer", "cookie", "credential", "jwt", "key", "otp", "-pat-"),
    *("pass", "pwd", "secret", "session", "sid", "signature", "token", "vault"),
)
"""What the name of a header has in it, with a dash at both ends, whose value is secret."""


def is_secret(header: str) -> bool:
    """Tell by its name whether a header holds a secret."""
    name = f"-{header.lower()}-".replace("_", "-")
    return any(word in name for word in TELLING)


def secret_texts(secrets: Iterable[SecretStr | None]) -> list[str]:
    """Return what must not be shown of header values, longest first: the whole ones, and the keys in them.

    `Bearer k`, `session=k; theme=dark` and the user name and password of `Basic …` hold secrets in the middle; a part of
    letters only is a word, unless it stands where a key or password does. Each counts as it is written elsewhere too.
    """
    found = {part for secret in secrets if secret is not None for part in _parts(secret.get_secret_value())}
    written = {form for text in found for form in _spellings(text)}
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


def _spellings(text: str) -> Iterator[str]:
    """Yield a text as it is, and as JSON, Python, URLs, and the JSON of PHP and .NET write it."""
    written = json.dumps(text)[1:-1]
    yield from (text, written, repr(text)[1:-1], quote(text, safe=""), written.replace("/", "\\/"))
    yield "".join(f"\\u{ord(each):04X}" if each in "+&<>'`" else each for each in written)


def hidden(text: str, secrets: Iterable[str]) -> str:
    """Return a text without secrets, nor what is left of one where the text was cut."""
    secrets = list(secrets)
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    for secret in secrets:
        at = text.find(secret[:BEGINNING]) if len(secret) > BEGINNING else -1
        while at >= 0:
            end = at + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(secret, text[at:], strict=False)))
            if text[end : end + 1] in ("", HIDDEN, "'", '"'):
                text = text[:at] + HIDDEN + text[end:]
            at = text.find(secret[:BEGINNING], at + 1)
    return text


def hide_in(error: VesselError, secrets: Iterable[str]) -> None:
    """Take secrets out of an error, all that rides on it, and the texts of what it came from."""
    secrets = list(secrets)
    for each in chain(error):
        each.args = _without(each.args, secrets)
        held: dict[str, Any] = getattr(each, "__dict__", {})
        ours = isinstance(each, VesselError)
        held.update({name: _without(value, secrets) for name, value in held.items() if ours or isinstance(value, str)})


def empty_frames(error: VesselError) -> None:
    """Empty the frames that an error and what it came from went through, once they have ended: they hold what came."""
    for each in chain(error):
        clear_frames(each.__traceback__)


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
