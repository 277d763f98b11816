"""Every `python` block of the README and the docs runs, in order, against a real server.

A `text` block right behind one is what it prints.
"""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from vessel_core.local import LocalServer

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "integrations").rglob("README.md")), *DOCS]
FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<language>.*)$")
#: The languages a block may have. What is none of these is misspelt, and would not run. test_shell.py reads what is typed,
#: test_compose.py YAML, and those of the migration pages the differences.
LANGUAGES = {"python", "sh", "text", "yaml", "diff"}


def blocks(page: Path) -> list[tuple[int, str, str]]:
    """Return each fenced block of a page: the line it begins on, its language, its text."""
    found: list[tuple[int, str, str]] = []
    opened: tuple[int, str, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = FENCE.match(line)
        if opened is None and fence is not None:
            opened, lines = (number, fence["fence"], fence["language"].strip()), []
        elif opened is not None and line.strip() == opened[1]:
            found.append((opened[0], opened[2], dedent("\n".join(lines))))  # in a tab it is indented
            opened = None
        else:
            lines.append(line)
    assert opened is None, f"{page}: the block of line {opened[0] if opened else 0} is not closed"
    return found


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def with_python() -> list[Path]:
    return [page for page in PAGES if any(language == "python" for _, language, _ in blocks(page))]


@pytest.fixture
def event_loop_of_sync_code() -> Iterator[None]:
    """LlamaIndex's sync methods run on the thread's event loop: one that is made for them is closed by nobody."""
    with asyncio.Runner() as runner:
        asyncio.set_event_loop(runner.get_loop())
        yield
    gc.collect()  # what a page leaves open is its own fault, not of the test that comes upon it


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")  # LlamaIndex's workflows
@pytest.mark.usefixtures("event_loop_of_sync_code")
@pytest.mark.parametrize("page", with_python(), ids=name)
def test_the_python_blocks_of_a_page_run(
    page: Path,
    chat_server: LocalServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LLAMACPP_URL", chat_server.base_url)
    monkeypatch.chdir(tmp_path)  # so that nothing a page writes is left in the checkout
    namespace: dict[str, Any] = {"__name__": "__main__"}
    before = ""
    for line, language, code in blocks(page):
        if language == "python":
            exec(compile("\n" * line + code, str(page), "exec", dont_inherit=True), namespace)
        printed = capsys.readouterr().out
        if language == "text" and before:
            assert before.strip() == code.strip(), f"{name(page)}, line {line}"
        before = printed


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_says_its_language(page: Path) -> None:
    assert {language for _, language, _ in blocks(page)} <= LANGUAGES


def test_the_pages_that_show_code_are_all_run() -> None:
    ran = {name(page) for page in with_python()}
    expected = {"README.md", "docs/start.md", "docs/servers.md", "docs/langchain.md", "docs/llamaindex.md"}
    assert ran >= expected


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name(page)} links to {target}"
        if anchor:
            headings = re.findall(r"(?m)^#+ (.+)$", file.read_text(encoding="utf-8"))
            assert anchor in {slug(heading) for heading in headings}, f"{name(page)} links to {target}"


def slug(heading: str) -> str:
    """Return the anchor of a heading, as GitHub and MkDocs make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def test_a_page_whose_code_sends_a_picture_says_which_demo_model_sees() -> None:
    sending = [
        page
        for page in DOCS
        if any("image_block(png" in code or "ImageBlock(image" in code for _, _, code in blocks(page))
    ]
    assert len(sending) > 4
    assert [name(page) for page in sending if "vessel serve --demo chat" not in page.read_text(encoding="utf-8")] == []
