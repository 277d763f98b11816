"""The table of options is made from the code."""

from __future__ import annotations

from option_table import PAGE, SHOWN, cell, table, with_table
from vessel_core.backends import find_backend
from vessel_core.options import OPTION_NAMES


def test_the_table_on_the_page_is_the_generated_one() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_table(text) == text, "run docs/examples/option_table.py --write"


def test_the_table_has_a_row_for_each_option_and_a_column_for_each_server() -> None:
    lines = table().splitlines()
    assert len(lines) == len(OPTION_NAMES) + 2
    assert {line.count("|") for line in lines} == {len(SHOWN) + 2}


def test_the_table_says_what_is_sent_what_is_refused_and_what_is_not_known() -> None:
    ollama, lmstudio = find_backend("ollama"), find_backend("lmstudio")
    assert (cell(ollama, "max_tokens"), cell(ollama, "n"), cell(ollama, "reasoning"), cell(ollama, "strict")) == (
        "`options.num_predict`",
        "–",
        "`think`",
        "`truncate`",
    )
    assert (cell(lmstudio, "min_p"), cell(lmstudio, "mirostat")) == ("?", "–")
