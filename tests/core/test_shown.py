"""What a notebook shows of servers, models and progress."""

from __future__ import annotations

from typing import Any

import pytest
import vessel_core
from vessel_core import Client, ModelInfo, Progress, ServerInfo, discover, follow
from vessel_core.local import LocalServer

from tests.fake_server import ollama_server


def html(shown: Any) -> str:
    """Return what a notebook would show."""
    return shown._repr_html_()


def test_a_server_is_shown_with_its_models(chat_server: LocalServer) -> None:
    with Client("llamacpp", base_url=chat_server.base_url) as client:
        shown = html(client.info())
        assert shown.count("✓ llamacpp") == 1
        assert chat_server.base_url in shown
        assert "demo-chat" in html(client.models())
    assert "demo-chat" in shown
    assert "tools, vision" in shown


def test_a_server_that_is_down_is_shown_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LLAMACPP_URL", "LMSTUDIO_URL", "OLLAMA_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    shown = html(discover())
    assert (shown.count("✗"), shown.count("<table>")) == (3, 1)
    assert "refused" in shown
    assert "http://127.0.0.1:9 (OLLAMA_URL)" in shown
    report = vessel_core.doctor()
    assert (html(report).count("✗"), html(report).count("<table>")) == (3, 1)
    assert "ollama at http://127.0.0.1:9: Nothing listens there" in repr(report)


def test_what_a_server_says_is_text_and_no_markup() -> None:
    model = ModelInfo("<script>alert(1)</script>", state="<b>")
    server = ServerInfo("ollama", "http://box", True, "<i>", (model,), error="<img src=x>")
    for shown in (html(model), html(server)):
        assert not any(tag in shown for tag in ("<script", "<b>", "<i>", "<img"))


def test_the_doctor_shows_what_was_tried(chat_server: LocalServer) -> None:
    report = vessel_core.doctor("llamacpp", base_url=chat_server.base_url)
    shown = html(report)
    assert report.servers[0].works["vision"] is True
    assert "a red square" in shown
    assert "forced\N{NO-BREAK SPACE}tool" in shown
    assert "✓ stream, ✓ tools, ✓ forced tool" in repr(report)
    assert not any(said in repr(report) for said in report.versions.values())  # nothing of this machine
    assert "--reranking" in shown


def test_the_doctor_only_looks_if_told_so() -> None:
    with ollama_server([]) as server:
        report = vessel_core.doctor("ollama", base_url=server.base_url, check=False)
        assert server.asked("/api/chat") == []
    assert (report.well, report.servers[0].checks) == (True, ())


def test_who_is_waited_for_is_told_by_the_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    follow(iter([Progress("waiting for the server", 2, 60, "seconds")]), "starting")
    assert "starting: waiting for the server: 2 of at most 60 s" in capsys.readouterr().err


def test_progress_is_followed_to_its_last_step(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [Progress("pulling manifest"), Progress("pulling 6a07", 500, 2000, "bytes"), Progress("success")]
    assert follow(iter(steps), "pull qwen3") == steps[-1]
    assert "pull qwen3: success" in capsys.readouterr().err
