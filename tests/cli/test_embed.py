"""`vessel embed` of texts; of whole files: `test_working`."""

from __future__ import annotations

import json

from vessel_core.local import LocalServer

from tests.cli.running import run


def test_embed_prints_a_vector_a_line(embedding_server: LocalServer) -> None:
    result = run("embed", "a fox", "a dog", "--url", embedding_server.base_url)
    vectors = [json.loads(line) for line in result.output.splitlines()]
    assert len(vectors) == 2
    assert len(vectors[0]) == len(vectors[1]) > 10


def test_embed_refuses_a_line_without_text_as_vectors_would_no_longer_match_lines() -> None:
    result = run("embed", "--url", "http://127.0.0.1:9", stdin="a\n\nb\n")
    assert result.exit_code == 1
    assert "Text 2 is empty." in result.output
    assert "blank=" not in result.output
