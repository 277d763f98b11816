"""The table of options is made from the code."""

from __future__ import annotations

from vessel_core.backends import find_backend
from vessel_core.options import OPTION_NAMES

from docs.examples.option_table import SHOWN, cell, table


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
