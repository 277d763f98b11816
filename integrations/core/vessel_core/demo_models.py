"""Small GGUF models for tests, examples and a first look: real files for a real llama.cpp server, without a download.

One is trained: the assistant answers questions about Vessel, calls tools, copies an answer out of a passage, writes JSON.
The others are built in a second or two, their weights wired by hand. The chat model answers with sentences of ours, makes
valid tool calls, writes JSON to a schema, sees the colour of a picture. It knows nothing: what it puts into an argument
or a field has the right type, and unless it is one of sixteen cities that the conversation names, no meaning. What they
are made from is a distribution of its own, `vessel-demo-model`, whose README says how good the assistant is.

    >>> from vessel_core import demo_models
    >>> demo_models.path("chat")  # doctest: +SKIP
    PosixPath('…/vessel/demo-models/…/chat.gguf')
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Literal, get_args

from vessel_core.errors import ServerStartError

__all__ = ["CACHE_VARIABLE", "DemoModels", "Kind", "build", "default_directory", "path"]

#: Names another folder for the cache.
CACHE_VARIABLE = "VESSEL_CACHE_DIR"

Kind = Literal["assistant", "chat", "vision", "thinking", "thinking_forced", "embedding", "rerank"]
Progress = Callable[[str], None]

#: What the models are made with, all part of the `demo` extra.
_MODULES = ("vessel_demo_model", "gguf", "numpy", "tokenizers")


@dataclass(frozen=True, slots=True)
class DemoModels:
    """Where each demo model is; `vision` is the image encoder (`mmproj`) that belongs to `chat`."""

    assistant: Path
    chat: Path
    vision: Path
    thinking: Path
    thinking_forced: Path
    embedding: Path
    rerank: Path


def build(directory: Path | None = None, *, progress: Progress | None = None) -> DemoModels:
    """Build every demo model that is not in `directory` yet, and return where they are.

    `directory` is `default_directory()` unless given. `progress` is called with a line before each file that is built.
    Raises `ServerStartError` if the `demo` extra is not installed, and `OSError` if the folder can't be written.
    """
    return DemoModels(**{kind: path(kind, directory, progress=progress) for kind in get_args(Kind)})


def path(kind: Kind, directory: Path | None = None, *, progress: Progress | None = None) -> Path:
    """Return the file of one demo model, built first if need be, or unpacked.

    Arguments and errors are those of `build`. Several processes may ask at once: each file appears whole, and its
    bytes are the same whoever wrote it.
    """
    if kind not in get_args(Kind):
        raise ServerStartError(f"There is no demo model {kind!r}.", hint=f"There are: {', '.join(get_args(Kind))}.")
    file = (directory or default_directory()) / f"{kind.replace('_', '-')}.gguf"
    if not file.is_file():
        _require_extra()
        if progress is not None:
            progress(f"Building the demo model {file.name} in {file.parent}")
        try:
            _write(kind, file)
        except OSError as error:
            raise ServerStartError(
                f"The demo model can't be written to {file.parent}: {error.strerror}.",
                hint=f"Name another folder in the variable {CACHE_VARIABLE}.",
            ) from error
    return file


def default_directory() -> Path:
    """Return `demo-models/<version>` in the folder that `VESSEL_CACHE_DIR` names, else in the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser() / "demo-models" / _version()
    _require("platformdirs")
    from platformdirs import user_cache_path

    return user_cache_path("vessel", appauthor=False) / "demo-models" / _version()


@cache
def _version() -> str:
    """Return a digest of what the models are made from, so that a file of another Vessel is never taken for ours."""
    sources = sorted(file for file in _sources().rglob("*") if file.suffix in {".py", ".txt", ".jinja", ".gz"})
    return hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()[:12]


def _sources() -> Path:
    """Return the folder of what the models are made from."""
    _require("vessel_demo_model")
    return Path(str(files("vessel_demo_model")))


def _write(kind: Kind, file: Path) -> None:
    from vessel_demo_model import chat, gguf_file, lexical, vision

    match kind:
        case "assistant":
            gguf_file.unpack(_sources() / "assistant.gguf.gz", file)
        case "chat":
            chat.write_chat(file, "plain")
        case "thinking" | "thinking_forced":
            chat.write_chat(file, kind)
        case "vision":
            vision.write_vision(file)
        case "embedding":
            lexical.write_embedding(file)
        case "rerank":
            lexical.write_rerank(file)


def _require_extra() -> None:
    for module in _MODULES:
        _require(module)


def _require(module: str) -> None:
    try:
        import_module(module)
    except ImportError as error:
        raise ServerStartError(
            f"The demo models need the package '{module.replace('_', '-')}', which is not installed.",
            hint="Install it with: pip install 'vessel-core[demo]', in a checkout: pip install ./integrations/demo-model",
        ) from error
