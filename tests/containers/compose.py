"""Reads docker-compose.yml as Compose does: aliases, and variables with their defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.docs.test_pages import ROOT

FILE = ROOT / "docker-compose.yml"


def compose(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the file with the variables of `environ`; one that is not set needs its default."""
    text = re.sub(
        r"\$\{(\w+)(?::-([^}]*))?\}",
        lambda found: environ.get(found[1]) or _default(found),
        FILE.read_text(encoding="utf-8"),
    )
    return yaml.safe_load(text)


def _default(found: re.Match[str]) -> str:
    assert found[2] is not None, f"{found[1]} has no default"
    return found[2]


def services(environ: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Return the services by name."""
    return compose(environ or {})["services"]
