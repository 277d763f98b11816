"""Takes secrets out of texts: some servers repeat in an error what they were sent, the key among it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator

from pydantic import SecretStr

from vessel_core.errors import FailedResponse, VesselError

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
    letters only is a word.
    """
    whole = [secret.get_secret_value() for secret in secrets if secret is not None]
    parts = [part for value in whole for part in _parts(value) if not part.isalpha()]
    return sorted({text for text in (*whole, *parts) if len(text) >= SHORTEST}, key=len, reverse=True)


def _parts(value: str) -> Iterator[str]:
    yield from re.split(r"[\s;,=]+", value)
    if value[:6].lower() == "basic ":
        try:
            pair = base64.b64decode(value[6:], validate=True).decode("utf-8", "replace")
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
    """Take secrets out of an error: its message, and the server's words and headers that ride on it."""
    secrets = list(secrets)
    error.message = hidden(error.message, secrets)
    error.args = (error.message,)
    if (said := error.response) is not None:
        headers = {name: hidden(value, secrets) for name, value in said.headers.items()}
        error.response = FailedResponse(said.status_code, headers, hidden(said.text, secrets))
