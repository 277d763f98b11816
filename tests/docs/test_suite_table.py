"""The page of LangChain's own tests is made from the classes that run them."""

from __future__ import annotations

import re

from langchain_tests.integration_tests import ChatModelIntegrationTests

from docs.examples.suite_table import GUARD, table
from tests.langchain.test_integration_suites import NEEDS_SENSE, PDF


def test_every_standard_chat_test_has_a_row_that_says_where_it_ran_or_why_not() -> None:
    chat = table().partition("## Embeddings")[0]
    rows = {row[0]: row[1:] for row in re.findall(r"(?m)^\| `(test_\w+)` \| (.+) \| (.+) \| (.*) \|$", chat)}
    standard = {name for name in dir(ChatModelIntegrationTests) if name.startswith("test_")} - {GUARD}
    assert set(rows) == standard
    assert {name for name, row in rows.items() if row[0] == "–"} == {*NEEDS_SENSE, *PDF}
    assert {name for name, row in rows.items() if row[1] == "–"} == set(PDF)
    assert {row[1] for row in rows.values()} == {"✔ v0, v1", "–"}
    assert {name for name, row in rows.items() if row[2].strip()} == {*NEEDS_SENSE, *PDF}
