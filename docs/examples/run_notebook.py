"""Runs notebooks from top to bottom and keeps their outputs: `python docs/examples/run_notebook.py notebooks/quickstart.ipynb`.

They run as Jupyter would run them, in their own folder. `make notebooks` runs them all again, say with another demo model.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import nbformat
from nbclient import NotebookClient

__all__ = ["FOLDER", "Run", "kernel", "read"]

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
Run = Callable[[Any, int], None]
"""Runs a notebook so many times. An error in a cell is raised."""


def read(path: Path) -> Any:
    """Return a notebook."""
    return cast("Any", nbformat.read(path, as_version=4))  # pyright: ignore[reportUnknownMemberType] - it has no types


@contextmanager
def kernel() -> Generator[Run]:
    """Start a kernel, and give what runs notebooks in it, one after the other; each finds no name of another."""
    folder = {"metadata": {"path": str(FOLDER)}}
    client = NotebookClient(_notebook(), timeout=120, kernel_name="python3", record_timing=False, resources=folder)

    def run(notebook: Any, times: int) -> None:
        client.nb = notebook
        for _ in range(times):
            for index, cell in enumerate(notebook.cells):
                client.execute_cell(cell, index)
        _tidy(notebook)
        client.nb = _notebook("%reset -f")
        client.execute_cell(client.nb.cells[0], 0)

    with client.setup_kernel():
        yield run


def _notebook(*cells: str) -> Any:
    made: Any = nbformat.v4
    return made.new_notebook(cells=[made.new_code_cell(cell) for cell in cells])


def _tidy(notebook: Any) -> None:
    """Number the cells from 1, and put together what was printed in pieces."""
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
    for output in whole:
        if output.output_type == "stream":  # a bar of tqdm's overwrites itself
            output.text = "\n".join(line.rpartition("\r")[2] for line in output.text.split("\n"))
    return whole


def main() -> None:
    """Run the notebooks named on the command line, and write them back."""
    with kernel() as run:
        for name in map(Path, sys.argv[1:]):
            notebook = read(name)
            run(notebook, 1)
            nbformat.write(notebook, name)  # pyright: ignore[reportUnknownMemberType]


if __name__ == "__main__":
    main()
