"""Every public name is shown in code that runs, in the docs, and stands in the reference with what it says of itself."""

from __future__ import annotations

import ast
import inspect
import re
from importlib import import_module
from textwrap import dedent
from typing import Any

import pytest
from langchain_vessel import ChatVessel
from llama_index.llms.vessel import Vessel
from pydantic import BaseModel

from tests.docs.test_pages import PAGES, ROOT, blocks

MODULES = (
    *("vessel_core", "langchain_vessel"),
    *("llama_index.llms.vessel", "llama_index.embeddings.vessel", "llama_index.postprocessor.vessel"),
)
REFERENCE = "\n".join(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs/api").glob("*.md")))


def public(module: str) -> list[str]:
    names: list[str] = import_module(module).__all__
    return names


def referred() -> list[Any]:
    """Return what the reference shows: the things that are named in it, and those of the modules that are."""
    shown: list[Any] = []
    for target, options in re.findall(r"(?m)^::: (\S+)\n((?: .*\n)*)", REFERENCE + "\n"):
        try:
            module = import_module(target)
        except ModuleNotFoundError:
            home, _, name = target.rpartition(".")
            shown.append(getattr(import_module(home), name))
        else:
            members = re.search(r"members: \[(.*)\]", options)
            shown += [getattr(module, name) for name in (members[1].split(", ") if members else public(target))]
    return shown


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_shown_in_code_that_runs(module: str) -> None:
    code = "\n".join(text for page in PAGES for _, language, text in blocks(page) if language == "python")
    assert [name for name in public(module) if not re.search(rf"\b{name}\b", code)] == []


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_says_what_it_is(module: str) -> None:
    home = import_module(module)
    assert [name for name in public(module) if not (getattr(home, name).__doc__ or "").strip()] == []


@pytest.mark.parametrize(
    "module", [*MODULES, "vessel_core.errors", "vessel_core.bulk", "vessel_core.ray", "langchain_vessel.errors"]
)
def test_every_public_name_is_in_the_reference(module: str) -> None:
    home, shown = import_module(module), referred()
    assert [name for name in public(module) if getattr(home, name) not in shown] == []


@pytest.mark.parametrize("made", [ChatVessel, Vessel])
def test_the_reference_shows_what_a_class_has_from_the_bases_of_its_own(made: type[BaseModel]) -> None:
    place = "langchain_vessel" if made is ChatVessel else made.__module__.removesuffix(".base")
    asked = re.search(rf"::: {place}\.{made.__name__}\n    options:\n(?:      .*\n)*", REFERENCE)
    assert asked
    assert "inherited_members: true" in asked[0]


def code_at_the_edge(name: str, thing: Any) -> list[str]:
    """Return the paragraphs of a docstring that are code, but would be read as prose: they are not indented, or no line is
    less, as in a docstring that goes on with nothing else."""
    found: list[str] = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(thing.__doc__ or ""))[1:]:
        if not paragraph.startswith((" ", "-", "`")) and re.search(r"[(=]", paragraph):
            try:
                ast.parse(dedent(paragraph))
            except SyntaxError:
                continue
            found.append(f"{name}: {paragraph}")
    return found


@pytest.mark.parametrize("module", [*MODULES, "vessel_core.bulk"])
def test_an_example_in_a_docstring_is_indented(module: str) -> None:
    wrong: list[str] = []
    for name in public(module):
        thing = getattr(import_module(module), name)
        wrong += code_at_the_edge(name, thing)
        for inside, member in inspect.getmembers(thing) if inspect.isclass(thing) else ():
            home = getattr(getattr(member, "fget", member), "__module__", None) or ""
            if not inside.startswith("_") and re.match(r"vessel_core|langchain_vessel|llama_index\.\w+\.vessel", home):
                wrong += code_at_the_edge(f"{name}.{inside}", member)
    assert wrong == []
