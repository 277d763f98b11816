"""The wheels, built once, and empty environments to install them in."""

from __future__ import annotations

import sys
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.packaging.distributions import CORE, FOLDERS, LANGCHAIN, LLAMA_INDEX, run


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel of each distribution, built from this checkout."""
    target = tmp_path_factory.mktemp("wheels")
    for folder in FOLDERS.values():
        run([sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", target, folder])
    return {name: next(target.glob(f"{name.replace('-', '_')}-*.whl")) for name in FOLDERS}


@pytest.fixture(scope="session")
def environments(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A Python with the core alone, and one with the core and each face, named by what was installed last."""
    folder = tmp_path_factory.mktemp("environments")

    def install(name: str) -> Path:
        venv.create(folder / name, with_pip=False, symlinks=True)
        python = folder / name / "bin" / "python"
        wanted = [wheels[CORE]] if name == CORE else [wheels[CORE], wheels[name]]
        run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile", *wanted], folder)
        return python

    names = (CORE, LANGCHAIN, LLAMA_INDEX)
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(install, names), strict=True))
