"""What the doctor tries proves something: a server that only talks is not said to call tools, see or think."""

from __future__ import annotations

import json

import pytest
from vessel_core import Client
from vessel_core.checkup import checkup

from tests.fake_server import FakeServer, Response, openai_server

CHATS = ("stream", "tools", "forced tool", "schema", "vision", "reasoning")


def says(text: str, where: str = "content") -> bytes:
    """Return a streamed answer."""
    delta = json.dumps({"choices": [{"index": 0, "delta": {where: text}, "finish_reason": None}]})
    stop = json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return f"data: {delta}\n\ndata: {stop}\n\ndata: [DONE]\n\n".encode()


def tried(server: FakeServer) -> dict[str, bool | None]:
    with server, Client("openai", base_url=server.base_url, model="m", max_retries=0) as client:
        return {check.name: check.works for check in checkup(client)}


@pytest.mark.parametrize("text", ["Hello, it is blue.", '{"ok": "yes"}', '{"ok": 1}', "[true]"])
def test_a_server_that_only_talks_streams_and_is_not_known_to_do_more(text: str) -> None:
    works = tried(openai_server(says(text)))
    assert {name: works[name] for name in CHATS} == dict.fromkeys(CHATS) | {"stream": True}
    assert works["count tokens"] is False


def test_a_schema_that_is_kept_and_a_colour_that_is_named_are_proofs() -> None:
    assert tried(openai_server(says('{"ok": true}')))["schema"] is True
    assert tried(openai_server(says("It is Red.")))["vision"] is True


def test_a_model_that_refuses_proves_neither_a_call_nor_a_schema() -> None:
    works = tried(openai_server(says("I can't.", "refusal")))
    assert [works[name] for name in ("forced tool", "schema", "stream")] == [False] * 3


def test_an_answer_without_a_word_is_no_stream() -> None:
    assert tried(openai_server(says("")))["stream"] is False


@pytest.mark.parametrize(("status", "works"), [(400, False), (501, False), (500, False), (503, None), (401, None)])
def test_what_is_refused_does_not_work_and_what_is_busy_or_locked_is_not_known(status: int, works: bool | None) -> None:
    refused = Response.json({"error": {"message": "no", "type": "some_error", "code": status}}, status)
    found = tried(FakeServer({("POST", "/v1/chat/completions"): refused}))
    assert {found[name] for name in CHATS} == {works}
