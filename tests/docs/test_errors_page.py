"""The page of errors is what is really raised, and each of them says where and what to do."""

from __future__ import annotations

import inspect

import pytest
from vessel_core import errors
from vessel_core.errors import ConnectTimeout, ResponseError, ServerTimeout, VesselError

from tests.docs.error_catalogue import PART, Entry, entries, listing


@pytest.fixture(scope="module")
def found() -> list[Entry]:
    return entries()


def test_the_page_is_what_is_raised_now(found: list[Entry]) -> None:
    (page,) = PART.pages
    text = page.read_text(encoding="utf-8")
    assert PART.within(text, listing(found)) == text, "run python -m tests.docs.error_catalogue --write"


def test_every_kind_of_error_is_on_it(found: list[Entry]) -> None:
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, VesselError)}
    bases = {VesselError, ResponseError}
    without_a_place = {ConnectTimeout}  # it takes an address that swallows what is sent
    assert {type(entry.error) for entry in found} == kinds - bases - without_a_place
    assert ServerTimeout in kinds
    assert len(found) >= 60


def test_an_error_of_a_server_names_it_its_url_and_the_next_step(found: list[Entry]) -> None:
    for entry in found:
        assert entry.error.message.strip(), entry.title
        assert entry.error.hint, entry.title
        if entry.asked and entry.title != "no server at all":
            assert entry.error.backend, entry.title
            assert f"[{entry.error.backend} at {entry.error.url}]" in str(entry.error), entry.title


def test_no_two_situations_are_told_in_the_same_words(found: list[Entry]) -> None:
    assert len({entry.text for entry in found}) == len(found)
