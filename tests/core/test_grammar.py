"""Answers bound to a grammar: on the real server, where the template opens the thought, bounded in length."""

from __future__ import annotations

from typing import Any

import pytest
from vessel_core.errors import InvalidOutput
from vessel_core.local import LocalServer
from vessel_core.types import ChatReply

from tests.core.driving import Connect
from tests.core.wire.play import DONE, HELLO, STOP, chunk, event
from tests.fake_server import llamacpp_server

GRAMMAR: dict[str, Any] = {"grammar": 'root ::= "yes" | "no"'}


def test_a_grammars_answer_is_the_text_where_the_template_of_the_real_server_opens_the_thought(
    connect: Connect, forced_thinking_server: LocalServer
) -> None:
    client = connect(base_url=forced_thinking_server.base_url)
    reply = client.chat([HELLO], **GRAMMAR)
    streamed = ChatReply.gather(client.stream([HELLO], **GRAMMAR))
    assert reply.text in ("yes", "no")
    assert streamed.text in ("yes", "no")
    assert (reply.reasoning, streamed.reasoning) == ("", "")
    thought = client.chat([HELLO], grammar='root ::= "Hm.\\n</think>\\n" ("yes" | "no")')
    assert (thought.reasoning.strip(), thought.text.strip() in ("yes", "no")) == ("Hm.", True)


def second(delta: Any, finish: str | None = None) -> bytes:
    """Return an event with the second of two choices."""
    return event({"choices": [{"index": 1, "delta": delta, "finish_reason": finish}]})


@pytest.mark.parametrize("together", [True, False])
def test_what_is_thought_beside_a_grammars_text_stays_a_thought(connect: Connect, together: bool) -> None:
    beside = [{"reasoning_content": "H"}, {"reasoning_content": "m"}, {"content": "yes"}, {"reasoning_content": "!"}]
    pieces = [chunk(each) for each in beside]
    pieces += [second({"reasoning_content": "n"}), second({"reasoning_content": "o"})]
    answer = [*pieces, STOP, second({}, "stop"), DONE]
    with llamacpp_server(b"".join(answer) if together else answer) as server:
        reply = connect(base_url=server.base_url, model="x").chat([HELLO], n=2, **GRAMMAR)
    assert [(one.reasoning, one.text) for one in (reply, *reply.alternatives)] == [("Hm!", "yes"), ("", "no")]


def test_a_grammars_answer_is_bounded_and_one_that_was_cut_off_is_an_error_with_it(connect: Connect) -> None:
    cut = chunk({}, "length", usage={"prompt_tokens": 1, "completion_tokens": 7, "total_tokens": 8})
    with llamacpp_server([chunk({"content": "ye"}), cut, DONE]) as server:
        client = connect(base_url=server.base_url, model="x")
        said = "cut off after 7 tokens, before its grammar ended: 'ye'"
        with pytest.raises(InvalidOutput, match=said) as caught:
            client.chat([HELLO], **GRAMMAR)
        assert caught.value.partial is not None
        assert (caught.value.partial.text, "`max_tokens`" in str(caught.value.hint)) == ("ye", True)
        with pytest.raises(InvalidOutput, match=said):
            list(client.stream([HELLO], **GRAMMAR, max_tokens=9))
        assert client.chat([HELLO], **GRAMMAR, validate=False).text == "ye"
        assert client.chat([HELLO]).text == "ye"
        sent = [request.json().get("max_tokens") for request in server.asked("/v1/chat/completions")]
    assert sent == [8192, 9, 8192, None]
