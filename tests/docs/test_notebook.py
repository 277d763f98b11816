"""The notebooks run from top to bottom, twice in one kernel, and are committed with what they printed."""

from __future__ import annotations

import ast
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from run_notebook import FOLDER, Run, kernel, read

from tests.docs.test_pages import ROOT, blocks

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SHOWN = {
    "quickstart": (
        "It is sunny in",
        "looks green",
        "Trip(city=",
        "from: Ollama listens on port",
        "'type': 'reasoning'",
    ),
    "rag_langchain": ("passages of", "vectors", "tokens", "fit"),
    "rag_llamaindex": ("passages of", "embedded, 0 the second time"),
    "agents": ("get_weather({'city': 'Berlin'})", "came    It is sunny in", "answer"),
    "vision": ("green", "blue", "takes no pictures"),
    "structured_output": ("Trip(city='Lisbon'", "'city': 'Lisbon', 'days': ", "→ None", '"stay"'),
    "embeddings_seen": ("vectors of", "True True", "<Figure"),
    "servers_compared": ("4 at once", "<Figure"),
}
#: What a bar of tqdm's leaves behind.
BAR = re.compile(r"(.*\[\d\d:\d\d.*\])?")


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """One kernel for all, which find no server of this machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LLAMACPP_URL", "LMSTUDIO_URL", "OLLAMA_URL"):
            patch.setenv(name, "http://127.0.0.1:9")
        with kernel() as running:
            yield running


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook: Any) -> str:
    """All that the cells printed or returned, as text."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    parts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
    return "\n".join("".join(part) for part in parts)


def complaints(notebook: Any) -> list[Any]:
    """Return what went wrong, or was written to stderr by anything but a bar."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return [
        output
        for output in outputs
        if output.output_type == "error"
        or (output.get("name") == "stderr" and not all(BAR.fullmatch(line) for line in output.text.splitlines()))
    ]


KNOWN_HOSTS = ("127.0.0.1", "localhost", "docs.langchain.com")
#: What is installed for an import, where that isn't its own name; pydantic comes with our own packages.
INSTALLED = {
    "IPython": "jupyterlab",
    "PIL": "pillow",
    "langchain_core": "./integrations/langchain",
    "langchain_vessel": "./integrations/langchain",
    "llama_index": "./integrations/llama-index",
    "numpy": "matplotlib",
    "pydantic": "'.[server]'",
    "vessel_core": "'.[server]'",
}


def imported(notebook: Any) -> set[str]:
    """Return the packages that a notebook imports."""
    found: set[str] = set()
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names


def test_what_the_notebooks_import_is_installed_by_the_lines_of_their_page() -> None:
    (lines,) = (code for _, kind, code in blocks(ROOT / "docs/notebooks.md") if kind == "sh")
    installed = {word for line in lines.splitlines() if line.startswith("pip install") for word in line.split()[2:]}
    needed = set[str]().union(*(imported(read(path)) for path in NOTEBOOKS))
    assert {INSTALLED.get(name, name) for name in needed} <= installed
    assert {"tqdm", "./integrations/demo-model"} <= installed  # for the bars, and for the assistant


def test_every_notebook_is_known() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(SHOWN)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_twice_in_one_kernel(path: Path, run: Run) -> None:
    notebook = read(path)
    committed = [bool(cell.outputs) for cell in code_cells(notebook)]
    run(notebook, 2)
    assert complaints(notebook) == []
    assert [bool(cell.outputs) for cell in code_cells(notebook)] == committed
    assert [shown for shown in SHOWN[path.stem] if shown not in printed(notebook)] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_with_its_outputs_and_without_errors(path: Path) -> None:
    notebook = read(path)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert complaints(notebook) == []
    assert [shown for shown in SHOWN[path.stem] if shown not in printed(notebook)] == []
    assert any("await " in cell.source or "async " in cell.source for cell in cells)  # beside what is not awaited


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_notebook_printed_tells_nothing_of_the_machine_it_ran_on(path: Path) -> None:
    outputs = [output for cell in code_cells(read(path)) for output in cell.outputs]
    shown = "\n".join(
        str(output.get("text", "")) + str(output.get("data", {}).get("text/html", "")) for output in outputs
    )
    shown += printed(read(path))
    hosts = set(re.findall(r"https?://([\w.-]+)", shown))  # one may be cut at the end of a passage
    assert {host for host in hosts if not any(known.startswith(host) for known in KNOWN_HOSTS)} == set()
    assert re.findall(r"(?<![\w.])/(?:home|root|tmp|Users|var|opt|usr)/\S*", shown) == []
    assert platform.release() not in shown
    assert re.findall(r"Linux-\d|Windows-\d|macOS-\d", shown) == []
