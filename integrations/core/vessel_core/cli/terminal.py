"""Text from a model or a server, made harmless for a terminal: it can't move the cursor, retitle the window or hide itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.text import Text

from vessel_core.errors import VesselError
from vessel_core.harmless import harmless

_SAID: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"\bbase_url=(?=['…])", "--url "),
    (r"(?<=`)base_url(?=`)|(?<=right )base_url|(?<=give )base_url(?=,)|\bbase_url(?= (names|holds))", "--url"),
    (r"\bbackend=(?=['…])", "--backend "),
    (r"api_key=…, at a shell |, or with its header's name into headers=", ""),
    (r"\bapi_key(=(?=['…])| (?=holds))", "--key "),
    (r"into api_key=", "into --key or VESSEL_API_KEY"),
    (r"(?<=`)model=(?=…)", "--model "),
    (r"(?<=`)(num_ctx|max_tokens)(?=`|=)", r"-o \1"),
    (r"extra_body=(\{.*\})", lambda found: f"-o 'extra_body={found[1].replace(chr(39), chr(34))}'"),
    (r"`ChatOptions` says .*", "Options go as -o NAME=VALUE, such as -o temperature=0.2 or -o 'stop=[\"END\"]'."),
    (r"`models\(\)`", "`vessel models`"),
    (r"`load\('(.*?)'\)`", r"`vessel load \1`"),
    (r"Wait longer with `Timeout\(load=…\)`", "Try again later"),
    (r"`verify='ca\.pem'`", "SSL_CERT_FILE=ca.pem"),
    (r"`Timeout\(first_token=…\)`", "it with `-o timeout=…`"),
    (
        r"Raise `Timeout\((request|between_tokens)=…\)`( if the server is that slow)?",
        "Is it busy, or stuck? See its log",
    ),
    (r" See `Timeout\(connect=…\)`\.| What came is in `partial`\.|, or LocalServer\.demo\(.*?\) in code", ""),
)
"""What errors say of a function's arguments, and what it is at a shell."""

UNFOLDED = 1000
"""Columns where nobody looks: what goes to a file, a pipe or an issue is whole."""


class Terminal(Console):
    """A console on which every text is harmless, whoever wrote it, and `:name:` no emoji."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, emoji=False)
        if not self.is_terminal:
            self.width = UNFOLDED

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text as it is shown."""
        return super().render_str(harmless(text), **options)


def at_shell(said: str) -> str:
    """Return what is said with the command's options where it names arguments of a function."""
    for argument, option in _SAID:
        said = re.sub(argument, option, said)
    return said


def complain(error: VesselError) -> None:
    """Say on standard error what went wrong and what to do, in red."""
    warn(at_shell(str(error)), style="red")


def warn(said: str, style: str = "yellow") -> None:
    """Say something on standard error; a terminal gets its lines broken between words."""
    console = Terminal(stderr=True)
    console.print(said, style=style, markup=False, highlight=False, soft_wrap=not console.is_terminal)


def hanging(said: str, indent: int, console: Console) -> str:
    """Return a text broken to the width of a console, with its lines after the first `indent` columns in."""
    lines = [line.plain.rstrip() for line in Text(harmless(said)).wrap(console, console.width - indent)]
    return f"\n{' ' * indent}".join(lines)
