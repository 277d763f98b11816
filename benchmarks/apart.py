"""What is measured outside a worker: imports in fresh processes, and installed sizes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.processes import ENVIRONMENT, ROOT

#: httpx and pydantic in use: a client that does no more than define a model has loaded these.
HTTPX_AND_PYDANTIC = "import httpx\nfrom pydantic import BaseModel\nclass Model(BaseModel):\n    value: int"
LANGCHAIN = "from langchain_core.language_models.chat_models import BaseChatModel"
LLAMA_INDEX = "import llama_index.core"

SOURCES = {
    "core": ROOT / "integrations/core",
    "langchain": ROOT / "integrations/langchain",
    "llama-index": ROOT / "integrations/llama-index",
}


def importing(before: str, then: str) -> float:
    """Return the CPU milliseconds that `then` takes in a fresh process in which `before` has run."""
    code = f"import time\n{before}\nbegan = time.process_time()\n{then}\nprint(time.process_time() - began)"
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT, cwd=ROOT)
    return float(done.stdout) * 1000


def size(face: str) -> float:
    """Return the megabytes that core and face bring beside the framework, whose own needs are httpx and pydantic as well:
    their files and what pip compiles. The weights of the demo assistant are not among them: only an extra asks for these."""
    files = [file for name in ("core", face) for file in tracked(SOURCES[name])]
    return sum(file.stat().st_size + (compiled(file) if file.suffix == ".py" else 0) for file in files) / 1e6


def tracked(folder: Path) -> list[Path]:
    """Return the files of a folder that git knows."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=folder, capture_output=True, text=True, check=True).stdout
    return [folder / name for name in listed.split("\0") if name]


def compiled(file: Path) -> int:
    """Return the bytes of a file's compiled form."""
    import marshal

    return len(marshal.dumps(compile(file.read_bytes(), str(file), "exec")))
