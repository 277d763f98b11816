"""What newcomers are promised: how short the first program is, which pages there are, and where each wish is tested."""

from __future__ import annotations

import re

import pytest

from tests.docs.test_notebook import NOTEBOOKS
from tests.docs.test_pages import DOCS, ROOT, blocks

WISHES = (ROOT / "docs/wishes.md").read_text(encoding="utf-8")
#: The parts that the integration pages of each ecosystem have.
FORMS = {
    "langchain-integration": (
        *("Overview", "Setup", "Installation", "Instantiation", "Invocation", "Streaming", "Chaining", "Tool calling"),
        *("Structured output", "Image input", "Token usage and metadata", "API reference"),
    ),
    "llamaindex-integration": (
        *("Setup", "Usage", "Call chat with a list of messages", "Streaming", "Async", "Structured output"),
        *("Function calling", "Images", "API reference"),
    ),
}


def headings(page: str) -> list[str]:
    return re.findall(r"(?m)^#+ (.+)$", (ROOT / f"docs/{page}.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("kind", "marks", "most"),
    [
        ("python", ("langchain_vessel", ".stream("), 3),
        ("python", ("llama_index", ".stream_"), 3),
        ("sh", ("vessel chat",), 1),
    ],
    ids=["LangChain", "LlamaIndex", "the command"],
)
def test_the_first_page_has_a_streamed_answer_in_so_few_lines(kind: str, marks: tuple[str, ...], most: int) -> None:
    shown = [code for _, language, code in blocks(ROOT / "docs/index.md") if language == kind]
    (code,) = (code for code in shown if all(mark in code for mark in marks))
    assert len([line for line in code.splitlines() if line.strip()]) <= most


@pytest.mark.parametrize("page", FORMS)
def test_an_integration_page_has_the_parts_of_its_ecosystem(page: str) -> None:
    assert [part for part in headings(page) if part in FORMS[page]] == list(FORMS[page])


def test_the_first_page_leads_to_every_task_and_every_server() -> None:
    first = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    wanted = [page.relative_to(ROOT / "docs").as_posix() for page in DOCS if page.parent.name in ("tasks", "servers")]
    assert len(wanted) >= 12
    assert [page for page in wanted if f"({page})" not in first] == []


def test_the_page_of_the_notebooks_names_each() -> None:
    named = re.findall(r"(?m)^\| `(\w+)\.ipynb` \|", (ROOT / "docs/notebooks.md").read_text(encoding="utf-8"))
    assert sorted(named) == sorted(path.stem for path in NOTEBOOKS)


def test_each_of_the_fifteen_wishes_has_a_test_of_its_number_and_a_row() -> None:
    tests = re.findall(r"(?m)^def test_wish_(\d\d)_", (ROOT / "tests/test_wishes.py").read_text(encoding="utf-8"))
    assert [int(number) for number in tests] == list(range(1, 16))
    assert [int(number) for number in re.findall(r"(?m)^\| (\d+) \|", WISHES)] == list(range(1, 16))
    assert re.findall(r"(?m)^\| (U\d+) \|", WISHES) == [f"U{number}" for number in range(1, 13)]


def test_the_places_where_wishes_are_tested_are_there() -> None:
    places = set(re.findall(r"`(tests/[\w/.]+)`", WISHES))
    assert len(places) > 10
    assert sorted(place for place in places if not (ROOT / place).exists()) == []
