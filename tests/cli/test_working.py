"""`vessel embed --from … --to …` and `vessel batch FROM TO`."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner
from vessel_core.cli.app import app

from tests.core.hosting import asked
from tests.fake_server import Response, llamacpp_server, transcript, vector_of

RUNNER = CliRunner()


def corpus(path: Path) -> Path:
    path.write_text("".join(json.dumps({"id": f"r{number}", "say": f"text {number}"}) + "\n" for number in range(6)))
    return path


def test_a_file_is_embedded_over_two_hosts_and_again_only_what_is_missing(tmp_path: Path) -> None:
    source, to = corpus(tmp_path / "in.jsonl"), tmp_path / "out.jsonl"
    with llamacpp_server() as one, llamacpp_server() as other:
        urls = ["-b", "llamacpp", "-u", one.base_url, "-u", other.base_url]
        command = ["embed", *urls, "--from", str(source), "--to", str(to), "--column", "say", "--batch-size", "1"]
        first = RUNNER.invoke(app, command)
        assert first.exit_code == 0, first.output
        assert "6 rows" in first.output
        again = RUNNER.invoke(app, command)
        assert "6 of them by an earlier run" in again.output
        counts = [asked(server) for server in (one, other)]
    assert sum(counts) == 6
    assert min(counts) >= 1
    rows = [json.loads(line) for line in to.read_text().splitlines()]
    assert [(row["id"], row["embedding"]) for row in rows] == [(f"r{at}", vector_of(f"text {at}")) for at in range(6)]


def test_a_file_of_questions_is_answered_and_errors_are_told(tmp_path: Path) -> None:
    refused = Response.json({"error": {"message": "no", "type": "invalid_request_error", "code": 400}}, 400)
    chats = [refused, Response.stream(transcript("llamacpp/text.sse"))]
    source, to = corpus(tmp_path / "in.jsonl"), tmp_path / "out.jsonl"
    with llamacpp_server(routes={("POST", "/v1/chat/completions"): list(chats)}) as server:
        command = ["batch", str(source), str(to), "-b", "llamacpp", "-u", server.base_url, "--column", "say"]
        run = RUNNER.invoke(app, [*command, "-s", "Be brief.", "-o", "temperature=0", "--concurrency", "1"])
        assert run.exit_code == 1
        assert "1 rows ended in an error" in run.output
        assert server.asked("/v1/chat/completions")[0].json()["temperature"] == 0
        assert RUNNER.invoke(app, [*command, "-s", "Be brief.", "-o", "temperature=0", "--retry-errors"]).exit_code == 0
    assert all(json.loads(line)["text"] for line in to.read_text().splitlines())


def test_from_and_to_belong_together(tmp_path: Path) -> None:
    run = RUNNER.invoke(app, ["embed", "--from", str(corpus(tmp_path / "in.jsonl"))])
    assert run.exit_code == 1
    assert "belong together" in run.output
