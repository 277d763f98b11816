"""Every public name is shown in code that runs, in the docs."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

from tests.docs.test_pages import PAGES, blocks

MODULES = (
    *("vessel_core", "langchain_vessel"),
    *("llama_index.llms.vessel", "llama_index.embeddings.vessel", "llama_index.postprocessor.vessel"),
)


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_shown_in_code_that_runs(module: str) -> None:
    code = "\n".join(text for page in PAGES for _, language, text in blocks(page) if language == "python")
    names: list[str] = import_module(module).__all__
    assert [name for name in names if not re.search(rf"\b{name}\b", code)] == []


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_says_what_it_is(module: str) -> None:
    public = import_module(module)
    assert [name for name in public.__all__ if not (getattr(public, name).__doc__ or "").strip()] == []
