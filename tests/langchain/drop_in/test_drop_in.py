"""Twenty programs for ChatOllama, ChatOpenAI(base_url=…) and their embeddings run with only import and class name changed.

Each is in `programs/`, as its author would have it, with its own asserts. It runs on a scripted server of the kind it was
written for and on a real llama.cpp server. Two of them can't be taken over as they are everywhere: `REASONS` says why.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain_core.exceptions import ModelInvalidRequestError
from vessel_core.local import LocalServer

from tests.fake_server import FakeServer
from tests.langchain.sensible import sensible_ollama, sensible_server

PROGRAMS = sorted(Path(__file__).with_name("programs").glob("*.py.txt"))
CLASSES = {
    "ChatOllama": "ChatVessel",
    "ChatOpenAI": "ChatVessel",
    "OllamaEmbeddings": "VesselEmbeddings",
    "OpenAIEmbeddings": "VesselEmbeddings",
}
REASONS: dict[tuple[str, str], tuple[type[Exception], str]] = {
    ("ollama_durations", "scripted"): (KeyError, "eval_duration: our timings are the same for every server"),
    ("ollama_durations", "real"): (KeyError, "eval_duration: our timings are the same for every server"),
    ("ollama_context", "real"): (ModelInvalidRequestError, "num_ctx: llama.cpp's context is set when it starts"),
}


def name_of(program: Path) -> str:
    return program.name.removesuffix(".py.txt")


def taken_over(program: Path, url: str) -> str:
    """Return the program with import and class name changed, and the place of the server."""
    text = program.read_text()
    text = re.sub(r"from langchain_(ollama|openai) import", "from langchain_vessel import", text)
    for theirs, ours in CLASSES.items():
        text = re.sub(rf"\b{theirs}\b", ours, text)
    return re.sub(r"http://localhost:\d+", url, text)


def run(program: Path, url: str, where: str) -> None:
    code = compile(taken_over(program, url), name_of(program), "exec", dont_inherit=True)
    reason = REASONS.get((name_of(program), where))
    names: dict[str, Any] = {"__name__": "program"}
    if reason is None:
        exec(code, names)
        return
    with pytest.raises(reason[0], match=reason[1].partition(":")[0]):
        exec(code, names)


@contextmanager
def scripted(program: Path) -> Generator[FakeServer]:
    make = sensible_ollama if name_of(program).startswith("ollama") else sensible_server
    with make() as server:
        yield server


@pytest.mark.parametrize("program", PROGRAMS, ids=name_of)
def test_a_program_runs_on_the_kind_of_server_it_was_written_for(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted(program) as server:
        monkeypatch.setenv("OLLAMA_URL", server.base_url)
        run(program, server.base_url, "scripted")
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
    run(program, server.base_url, "real")


def test_there_are_twenty_and_at_least_eighteen_need_no_other_change() -> None:
    assert len(PROGRAMS) == 20
    changed = {name for name, _ in REASONS}
    assert len(PROGRAMS) - len(changed) >= 18
