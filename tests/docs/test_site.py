"""The site holds every page once, and loads nothing from elsewhere. `make docs` builds it, and finds broken links."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vessel_core.cli.app import app

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


def test_nothing_is_fetched_from_elsewhere() -> None:
    assert PROJECT["theme"]["font"] is False
    assert "http" not in (ROOT / "zensical.toml").read_text(encoding="utf-8")
    assert re.findall(r"url\(|@import", (ROOT / "docs/site.css").read_text(encoding="utf-8")) == []
    pages = {page.name: page.read_text(encoding="utf-8") for page in DOCS}
    assert [
        name for name, page in pages.items() if re.search(r"!\[[^]]*\]\(http|<(img|script|link)[^>]*http", page)
    ] == []


def test_a_link_that_is_broken_fails_the_build() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"(?m)^docs: .*\n\t.*zensical build .*--strict", makefile)


@pytest.mark.parametrize("picture", sorted((ROOT / "docs/pictures").glob("*.svg")), ids=lambda path: path.stem)
def test_a_picture_is_shown_and_fetches_nothing(picture: Path) -> None:
    drawn = picture.read_text(encoding="utf-8")
    assert not re.search(r"url\(.?http|href=.?http|@font-face", drawn)
    assert f"pictures/{picture.name}" in (ROOT / "docs/command.md").read_text(encoding="utf-8")


def test_every_command_is_on_its_page() -> None:
    page = (ROOT / "docs/command.md").read_text(encoding="utf-8")
    names = [command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands]
    assert len(names) > 8
    assert [name for name in names if f"vessel {name}" not in page] == []


@pytest.mark.parametrize("chart", sorted((ROOT / "docs/benchmarks").glob("*.svg")), ids=lambda path: path.stem)
def test_a_chart_is_as_wide_as_a_telephone_shows_at_its_full_size(chart: Path) -> None:
    width = re.search(r'<svg [^>]*?width="([\d.]+)pt"', chart.read_text(encoding="utf-8"))
    assert width is not None
    assert float(width[1]) <= 368
