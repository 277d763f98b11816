"""Programs written for other classes run with Vessel's: only the import and the class are changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Settings
from vessel_core.local import LocalServer

from tests.fake_server import FakeServer, Request, Response, ollama_server
from tests.llama_index.conformance.dialects import OLLAMA
from tests.llama_index.conformance.pictures import png
from tests.llama_index.drop_in.porting import PROGRAMS, ported

pytestmark = pytest.mark.usefixtures("nothing_left_open")


def answered(request: Request) -> Response:
    """Answer as a model on Ollama would: with a call, with JSON, with what it sees, else with a text."""
    body: dict[str, Any] = request.json()
    messages: list[dict[str, Any]] = body["messages"]
    pictures = sum(len(message.get("images", ())) for message in messages)
    if body.get("tools") and all(message["role"] != "tool" for message in messages):
        script = OLLAMA.calls(("add", {"a": 1, "b": 2}))
    elif body.get("format"):
        script = OLLAMA.text(json.dumps({"name": "Rosa", "album": "Boats", "songs": [{"title": "One"}]}))
    elif pictures:
        script = OLLAMA.text(f"I see {pictures} picture.")
    else:
        script = OLLAMA.text("Boats", " float.", reasoning=["Let me", " see."] if body.get("think") else ())
    return Response.stream(script, content_type="application/x-ndjson")


@pytest.fixture
def ollama() -> Iterator[FakeServer]:
    with ollama_server(answered, models=("demo",)) as server:
        yield server


@pytest.fixture
def settings() -> Iterator[None]:
    """Put LlamaIndex's settings back."""
    inner: Any = Settings
    before = dict(inner.__dict__)
    yield
    inner.__dict__.update(before)


def test_there_are_twenty() -> None:
    assert len(PROGRAMS) == 20


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_runs_with_the_class_changed(
    program: Path, ollama: FakeServer, chat_server: LocalServer, embedding_server: LocalServer, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(png(0, 0, 255))
    names: dict[str, Any] = {
        "__name__": "__main__",
        "OLLAMA": ollama.base_url,
        "LLAMACPP": chat_server.base_url,
        "EMBEDDING": embedding_server.base_url,
        "PICTURE": picture,
    }
    source = ported(program.read_text())
    assert "vessel" in source
    exec(compile(source, program.name, "exec", dont_inherit=True), names)
    for value in names.values():
        if type(value).__name__ in ("Vessel", "VesselEmbedding"):
            value.close()
    names.clear()
