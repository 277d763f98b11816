"""The benchmark's own parts: what the server plays is what servers send, and the table says what was measured."""

from __future__ import annotations

import json

import pytest
from vessel_core import ChatReply
from vessel_core.types import ChatRequest
from vessel_core.wire import ollama, openai
from vessel_core.wire.quirks import Quirks

from benchmarks import apart, wire
from benchmarks.figures import Measure, Row, per_token
from benchmarks.report import as_json, as_markdown, as_text, from_json, result


def test_the_played_answers_are_whole() -> None:
    for dialect, events in ((openai, wire.llamacpp_text(30)), (ollama, wire.ollama_text(30))):
        stream = dialect.ChatStream(ChatRequest(messages=[]), Quirks())
        reply = ChatReply.gather([*stream.feed(b"".join(events)), *stream.close()])
        assert (reply.text, reply.finish) == ("".join(wire.words(30)), "stop")
        assert reply.usage is not None
        assert reply.usage.completion_tokens == 30


def test_the_played_call_holds_its_arguments() -> None:
    stream = openai.ChatStream(ChatRequest(messages=[]), Quirks())
    reply = ChatReply.gather([*stream.feed(b"".join(wire.llamacpp_tool(500))), *stream.close()])
    assert [call["function"]["arguments"] for call in reply.tool_calls] == [wire.arguments(500)]
    assert json.loads(wire.arguments(500))["path"] == "notes.txt"


def test_the_played_vectors_are_the_same_in_every_form() -> None:
    floats = openai.decode_embed(wire.embeddings(3, 8, "float"), 3, None).array()
    assert (openai.decode_embed(wire.embeddings(3, 8, "base64"), 3, None).array() == floats).all()
    assert (ollama.decode_embed(wire.embeddings(3, 8, "ollama"), 3, None).array() == floats).all()


@pytest.mark.parametrize("face", ["langchain", "llama-index"])
def test_the_core_and_a_face_are_small(face: str) -> None:
    assert 1 < apart.size(face) <= 3


def test_a_line_of_the_table_compares_medians() -> None:
    ours, peer = Measure("ours", "stream"), Measure("theirs", "stream")
    row = Row("P1", "µs a token", ours, peer, 0.25)
    line = result(row, {ours: [10.0, 90.0, 20.0], peer: [100.0, 80.0, 900.0]})
    assert (line.ours, line.theirs, line.ratio, line.met) == (20.0, 100.0, 0.2, True)
    assert "0.200" in as_text([line])
    assert as_markdown([line]).count("\n") == 3


def test_what_was_measured_can_be_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.report.PACKAGES", ("pydantic",))
    values = {Measure("ours", "stream", (("model", "text-8"), ("times", 2)), "cpu", 0.5): [1.5, 2.0]}
    assert from_json(as_json([], values)) == values


def test_every_client_of_the_table_can_be_made() -> None:
    from benchmarks.clients import CLIENTS

    assert {measure.client for row in per_token() for measure in (row.ours, row.peer) if measure} <= CLIENTS.keys()
