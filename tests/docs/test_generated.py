"""What is generated on the pages is what would be generated now."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.examples import (
    feature_table,
    field_table,
    migration_llamaindex,
    migration_page,
    option_table,
    quirk_table,
    suite_table,
)
from docs.examples.generated import ROOT, Part, run

MODULES = (feature_table, option_table, quirk_table, suite_table, migration_llamaindex)
SEVERAL = (migration_page, field_table)
PARTS = {
    **{module.PART: module for module in MODULES},
    **{part: module for module in SEVERAL for part in module.PARTS},
}
PLACES = [(part, page) for part in PARTS for page in part.pages]


@pytest.mark.parametrize(("part", "page"), PLACES, ids=[f"{part.name} in {page.name}" for part, page in PLACES])
def test_the_page_has_what_is_generated_now(part: Part, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert part.within(text) == text, f"run python -m {PARTS[part].__name__} --write"


def test_a_part_is_printed_or_written_between_its_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- counts -->\nold\n<!-- end of counts -->\nafter\n", encoding="utf-8")
    part = Part("counts", lambda: "new", (page,))
    monkeypatch.setattr("sys.argv", ["python"])
    run(part)
    assert capsys.readouterr().out == "new\n"
    assert "old" in page.read_text(encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["python", "--write"])
    run(part)
    assert page.read_text(encoding="utf-8") == "before\n<!-- counts -->\n\nnew\n\n<!-- end of counts -->\nafter\n"


@pytest.mark.parametrize(
    "page", ["", "<!-- counts -->", "<!-- end of counts -->", "<!-- end of counts --><!-- counts -->"]
)
def test_a_page_without_the_marks_is_an_error(page: str) -> None:
    with pytest.raises(ValueError, match="has no <!-- counts --> with an <!-- end of counts --> after it"):
        Part("counts", lambda: "new", (ROOT / "README.md",)).within(page)
