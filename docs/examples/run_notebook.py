"""Runs a notebook from top to bottom and keeps its outputs: `python docs/examples/run_notebook.py notebooks/quickstart.ipynb`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import nbformat
from nbclient import NotebookClient

__all__ = ["read", "run"]


def read(path: Path) -> Any:
    """Return a notebook."""
    return cast("Any", nbformat.read(path, as_version=4))  # pyright: ignore[reportUnknownMemberType] - it has no types


def run(notebook: Any, times: int = 1) -> None:
    """Run every cell, in order, the whole notebook several times in one kernel. An error in a cell is raised."""
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", record_timing=False)
    with client.setup_kernel():
        for _ in range(times):
            for index, cell in enumerate(notebook.cells):
                client.execute_cell(cell, index)
    for number, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), 1):
        cell.execution_count = number
        cell.outputs = joined(cell.outputs)
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = number


def joined(outputs: list[Any]) -> list[Any]:
    """Return the outputs with pieces of one stream put together, as a reader sees them."""
    whole: list[Any] = []
    for output in outputs:
        if whole and output.output_type == whole[-1].output_type == "stream" and output.name == whole[-1].name:
            whole[-1].text += output.text
        else:
            whole.append(output)
    return whole


def main() -> None:
    """Run the notebooks named on the command line, and write them back."""
    for name in map(Path, sys.argv[1:]):
        notebook = read(name)
        run(notebook)
        nbformat.write(notebook, name)  # pyright: ignore[reportUnknownMemberType]


if __name__ == "__main__":
    main()
