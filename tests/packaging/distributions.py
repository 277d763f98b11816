"""The four distributions, and how the tests run programs."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CORE = "vessel-core"
DEMO_MODEL = "vessel-demo-model"
LANGCHAIN = "langchain-vessel"
LLAMA_INDEX = "llama-index-vessel"
FOLDERS = {
    CORE: ROOT,
    DEMO_MODEL: ROOT / "integrations/demo-model",
    LANGCHAIN: ROOT / "integrations/langchain",
    LLAMA_INDEX: ROOT / "integrations/llama-index",
}
CORE_SOURCES = ROOT / "integrations/core/vessel_core"
FACE_SOURCES = (FOLDERS[LANGCHAIN] / "langchain_vessel", FOLDERS[LLAMA_INDEX] / "llama_index")


def project(distribution: str) -> dict[str, Any]:
    """Return the `[project]` table of a distribution."""
    return tomllib.loads((FOLDERS[distribution] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def sources(*folders: Path) -> list[Path]:
    """Return the Python files below some folders."""
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def run(command: Sequence[str | Path], folder: Path = ROOT, **variables: str) -> str:
    """Run a program and return what it printed; fail with all it said if it didn't end with 0."""
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, capture_output=True, text=True, env=environment() | variables
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def environment() -> dict[str, str]:
    """Return the environment without what would let a program find this checkout's modules."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_", "COVERAGE"))}


def tool(name: str) -> Path:
    """Return the program of that name that belongs to the running Python."""
    return Path(sys.executable).with_name(name)
