"""The notebook runs from top to bottom, twice in one kernel, and is committed with what it printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from run_notebook import read, run

from tests.docs.test_pages import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell: Any) -> str:
    """All that a cell printed or returned, as text."""
    parts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "".join("".join(part) for part in parts)


def test_there_is_a_quickstart() -> None:
    assert ROOT / "notebooks/quickstart.ipynb" in NOTEBOOKS


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_twice_in_one_kernel(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LLAMACPP_URL", "LMSTUDIO_URL", "OLLAMA_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # whatever runs on this machine stays out of it
    notebook = read(path)
    run(notebook, times=2)
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    together = "\n".join(printed(cell) for cell in code_cells(notebook))
    for shown in ("It is sunny in", "looks green", "Trip(city=", "from: Lisbon is the capital", "'type': 'reasoning'"):
        assert shown in together


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_with_its_outputs_and_without_errors(path: Path) -> None:
    cells = code_cells(read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(
        output.output_type != "error" and output.get("name") != "stderr" for cell in cells for output in cell.outputs
    )
    silent = [cell.source for cell in cells if not cell.outputs]
    assert all(source.splitlines()[-1].endswith(".stop()") for source in silent)
