"""The table of LangChain's own tests: which of them run on which server with Vessel's classes, and why some do not.

`python -m docs.examples.suite_table` prints it; with `--write` it takes its place in docs/langchain-suites.md. It is made
from the classes that run the suites, and from the reasons written beside them; a test that skips itself fails.
"""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

from docs.examples.generated import ROOT, Part, run
from tests.langchain import test_integration_suites as integration
from tests.langchain import test_unit_suites as unit

REAL, SCRIPTED = "real llama.cpp", "scripted server"
GUARD = "test_no_overrides_DO_NOT_OVERRIDE"


def runners(module: ModuleType) -> list[type[Any]]:
    """Return the classes of a module that pytest runs."""
    return [made for name, made in inspect.getmembers(module, inspect.isclass) if name.startswith("Test")]


def tests_of(suite: type[Any]) -> list[str]:
    """Return the names of a suite's tests, as its authors ordered them."""
    found: dict[str, None] = {}
    for base in reversed(suite.__mro__):
        found |= dict.fromkeys(name for name in vars(base) if name.startswith("test_") and name != GUARD)
    return list(found)


def where(suite: type[Any]) -> str:
    """Return which server a class runs on."""
    return REAL if "Real" in suite.__name__ else SCRIPTED


def left_out(suite: type[Any], test: str) -> str | None:
    """Return why a test does not run in a class, `None` if it does."""
    only_scripted = integration.NEEDS_SENSE.get(test) if where(suite) == REAL else None
    return integration.PDF.get(test) or only_scripted


def cell(suites: list[type[Any]], test: str) -> str:
    """Return what a test does on one server: the output versions it ran in."""
    versions = sorted({getattr(suite, "output_version", "ran") for suite in suites if left_out(suite, test) is None})
    return f"✔ {', '.join(versions)}".replace("✔ ran", "✔") if versions else "–"


def chat_and_embeddings(title: str, suites: list[type[Any]]) -> list[str]:
    """Return the table of one integration suite."""
    by_server = {server: [suite for suite in suites if where(suite) == server] for server in (REAL, SCRIPTED)}
    lines = [f"## {title}", "", f"| test | {REAL} | {SCRIPTED} | why not |", "| --- | --- | --- | --- |"]
    for test in tests_of(suites[0]):
        reasons = dict.fromkeys(reason for suite in suites if (reason := left_out(suite, test)))
        cells = [cell(by_server[server], test) for server in (REAL, SCRIPTED)]
        lines.append(f"| `{test}` | {cells[0]} | {cells[1]} | {'; '.join(reasons)} |")
    return [*lines, ""]


def units() -> list[str]:
    """Return the table of the unit suites, which ask no server."""
    lines = ["## Unit suites, without a server", "", "| class | tests |", "| --- | --- |"]
    for suite in runners(unit):
        names = ", ".join(f"`{test}`" for test in tests_of(suite))
        lines += [f"| `{suite.__name__.removeprefix('Test')}` | {names} |"]
    return lines


def table() -> str:
    """Return all tables as Markdown."""
    suites = runners(integration)
    embeddings = [suite for suite in suites if "Embeddings" in suite.__name__]
    chat = [suite for suite in suites if suite not in embeddings]
    parts = [
        *chat_and_embeddings("Chat, on servers", chat),
        *chat_and_embeddings("Embeddings, on servers", embeddings),
        *units(),
    ]
    return "\n".join(parts)


PART = Part("suites", table, (ROOT / "docs/langchain-suites.md",))

if __name__ == "__main__":
    run(PART)
