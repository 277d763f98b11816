"""Programs for ChatOllama, ChatOpenAI(base_url=…), ChatLiteLLM and their embeddings run with import and class name changed.

Each is in `programs/`, as its author would have it, with its own asserts. It runs on a scripted server of the kind it was
written for and on a real llama.cpp server. Three of them can't be taken over as they are everywhere: `REASONS` says why.
docs/migration-langchain.md is made from all this.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from langchain_core.exceptions import ModelInvalidRequestError, ModelNotFoundError
from vessel_core.local import LocalServer

from tests.fake_server import FakeServer
from tests.langchain.sensible import sensible_ollama, sensible_server

PROGRAMS = sorted(Path(__file__).with_name("programs").glob("*.py.txt"))
CLASSES = {
    "ChatOllama": "ChatVessel",
    "ChatOpenAI": "ChatVessel",
    "ChatLiteLLM": "ChatVessel",
    "OllamaEmbeddings": "VesselEmbeddings",
    "OpenAIEmbeddings": "VesselEmbeddings",
}
TIMINGS = '`eval_duration`: the timings are the same for every server, `response_metadata["timings"]`'
REASONS: dict[tuple[str, str], tuple[type[Exception], str]] = {
    ("ollama_durations", "scripted"): (KeyError, TIMINGS),
    ("ollama_durations", "real"): (KeyError, TIMINGS),
    ("ollama_context", "real"): (
        ModelInvalidRequestError,
        "`num_ctx`: a llama.cpp server's context is set when it starts, so it is refused there",
    ),
    ("litellm_ollama", "scripted"): (
        ModelNotFoundError,
        '`ollama_chat/llama3.1`: the model has no prefix here; say `backend="ollama"`, or nothing',
    ),
}
"""Where a program can't be taken over as it is: the error, and what it names and why."""


def name_of(program: Path) -> str:
    return program.name.removesuffix(".py.txt")


def renamed(program: Path) -> str:
    """Return the program with import and class name changed."""
    text = re.sub(r"from langchain_(ollama|openai|litellm) import", "from langchain_vessel import", program.read_text())
    for theirs, ours in CLASSES.items():
        text = re.sub(rf"\b{theirs}\b", ours, text)
    return text


def taken_over(program: Path, url: str) -> str:
    """Return the renamed program at the place of the server."""
    return re.sub(r"http://localhost:\d+", url, renamed(program))


def run(program: Path, url: str, where: str) -> set[str]:
    """Run a program, whose own asserts say whether it works; return the names it made."""
    code = compile(taken_over(program, url), name_of(program), "exec", dont_inherit=True)
    reason = REASONS.get((name_of(program), where))
    names: dict[str, Any] = {"__name__": "program"}
    with nullcontext() if reason is None else pytest.raises(reason[0], match=reason[1].split("`")[1]):
        exec(code, names)
    return names.keys() - {"__name__", "__builtins__"}


@contextmanager
def scripted(program: Path) -> Generator[FakeServer]:
    make = sensible_ollama if "ollama" in name_of(program) else sensible_server
    with make() as server:
        yield server


@pytest.mark.parametrize("program", PROGRAMS, ids=name_of)
def test_a_program_runs_on_the_kind_of_server_it_was_written_for(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted(program) as server:
        monkeypatch.setenv("OLLAMA_URL", server.base_url)
        assert run(program, server.base_url, "scripted")
        assert any(request.method == "POST" for request in server.requests)


@pytest.mark.parametrize("program", PROGRAMS, ids=name_of)
def test_a_program_runs_on_a_real_server(
    program: Path,
    monkeypatch: pytest.MonkeyPatch,
    chat_server: LocalServer,
    thinking_server: LocalServer,
    embedding_server: LocalServer,
) -> None:
    name = name_of(program)
    server = embedding_server if "embeddings" in name else thinking_server if "reasoning" in name else chat_server
    monkeypatch.setenv("LLAMACPP_URL", server.base_url)
    for other in ("OLLAMA_URL", "LMSTUDIO_URL"):
        monkeypatch.setenv(other, server.base_url)  # nothing else on this machine is asked
    assert run(program, server.base_url, "real")


def test_there_are_enough_and_nearly_all_need_no_other_change() -> None:
    assert len(PROGRAMS) == 22
    changed = {name for name, _ in REASONS}
    assert changed <= {name_of(program) for program in PROGRAMS}
    assert len(PROGRAMS) - len(changed) >= 18
