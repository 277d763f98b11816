"""The site holds every page once, and loads nothing from elsewhere. `make docs` builds it, and finds broken links."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.docs.test_pages import DOCS, ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]


def pages(navigation: list[dict[str, Any]]) -> Iterator[Path]:
    for entry in navigation:
        for target in entry.values():
            if isinstance(target, str):
                yield ROOT / "docs" / target
            else:
                yield from pages(target)


def test_every_page_is_in_the_navigation_once() -> None:
    assert sorted(pages(PROJECT["nav"])) == DOCS


def test_fonts_are_not_fetched_from_elsewhere() -> None:
    assert PROJECT["theme"]["font"] is False
