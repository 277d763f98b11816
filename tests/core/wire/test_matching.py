"""Whether a text matches a pattern of a JSON schema, which is JavaScript's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vessel_core.wire.matching import matches


@pytest.mark.parametrize(
    ("pattern", "fits", "faults"),
    [
        (r"^\d$", ["7"], ["٣", "7\n"]),
        (r"^\D$", ["٣", "a"], ["7"]),
        (r"^\w$", ["a", "_"], ["é"]),
        (r"^\W$", ["é", "-"], ["a"]),
        (r"^\s\S$", [" a", "\xa0a", "\t\xa0", "\ufeffa"], ["a ", "aa"]),
        (r"^[\d\-.]+$", ["1-.2"], ["٣", "a"]),
        (r"^[\w-.]+$", ["a-.b"], ["é"]),
        (r"^[^\d]$", ["a", "٣"], ["7"]),
        (r"^[^\s]$", ["a", "\xa0"], [" "]),
        (r"^[^\S]$", [" ", "\xa0"], ["a"]),
        (r"^[[&~\b]+$", ["[&~", "\b"], ["a"]),
        (r"\bcat\b", ["a cat", "cat"], ["cats"]),
        (r"^a\/\<b\>$", ["a/<b>"], ["a/b"]),
        (r"^\u0041\x42$", ["AB"], ["ab"]),
        (r"^\p{L}$", ["é"], ["1"]),
        ("b", ["abc"], ["ac"]),
        (r"^(?=.*[A-Z])(?=.*\d)(?!.*\s).{8,}$", ["Abcdefg1"], ["abcdefg1", "Abcdefgh", "Abc defg1", "Abcd1"]),
        (r"^(?!admin$|root$)(?=(a|r))\w+$", ["admins", "root_"], ["admin", "root", "bob", "a b"]),
        (r"^(?=[)]\))", ["))"], [")", "a))"]),
    ],
)
def test_a_pattern_means_what_it_means_in_javascript(pattern: str, fits: list[str], faults: list[str]) -> None:
    assert [matches(pattern, text) for text in fits] == [True] * len(fits)
    assert [matches(pattern, text) for text in faults] == [False] * len(faults)


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        r"(?=a)b",
        r"^(?=a",
        r"^(?=b)?b",
        r"^(?=a)a|b",
        r"^a(?!c)b",
        r"^(?=a\b(?!c))",
        r"(a)\1",
        r"\Z",
        "[]a]",
        "[^]",
        r"\cA",
        r"((a{999}){999}){999}",
    ],
)
def test_of_a_pattern_that_cannot_be_told_nothing_is_said(pattern: str) -> None:
    assert matches(pattern, "b") is None


def test_a_text_that_is_no_unicode_is_not_told() -> None:
    assert matches("a", "\ud83d") is None


@pytest.mark.parametrize("pattern", [r"^(a+)+$", r"^([a-z0-9]+\.?)+@example\.com$", r"^(a|aa)+$", r"^(.*a){20}$"])
def test_no_pattern_takes_longer_than_its_text_is_long(pattern: str) -> None:
    """Python's own matcher would still be at it when the sun has burned out."""
    assert matches(pattern, "a" * 20_000 + "!") is False


@given(st.text(), st.text())
def test_any_pattern_makes_a_verdict(pattern: str, text: str) -> None:
    assert matches(pattern, text) in (True, False, None)
