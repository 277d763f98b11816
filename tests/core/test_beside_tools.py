"""What goes beside tools on llama.cpp: log probabilities, and the count and prompt of a chat with a form."""

from __future__ import annotations

import pytest
from vessel_core.errors import ProtocolError
from vessel_core.types import ResponseFormat

from tests.core.driving import Connect, Tap
from tests.core.wire.play import HELLO, WEATHER
from tests.fake_server import Response, llamacpp_server

FORM: ResponseFormat = {
    "type": "json_schema",
    "json_schema": {"name": "A", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}},
}


def test_log_probabilities_come_beside_tools_on_the_real_server(connect: Connect, tapped: Tap) -> None:
    client = connect(base_url=tapped.base_url)
    called = client.chat([HELLO], tools=[WEATHER], tool_choice="get_weather", logprobs=True, max_tokens=100, seed=1)
    assert [call["function"]["name"] for call in called.tool_calls] == ["get_weather"]
    assert called.logprobs
    assert (tapped.sent()["stream"], "stream_options" in tapped.sent()) == (False, False)
    assert client.chat([HELLO], tools=[WEATHER], logprobs=True, max_tokens=5, seed=1).logprobs
    assert client.chat([HELLO], tools=[WEATHER], response_format=FORM, logprobs=True, seed=1, validate=False).finish


def test_a_chat_with_a_form_beside_tools_is_counted_and_shown_as_it_is_sent(connect: Connect, tapped: Tap) -> None:
    client = connect(base_url=tapped.base_url)
    counted = client.count_chat_tokens([HELLO], tools=[WEATHER], response_format=FORM)
    reply = client.chat([HELLO], tools=[WEATHER], response_format=FORM, max_tokens=1, seed=1, validate=False)
    assert reply.usage is not None
    assert (counted, counted.exact) == (reply.usage.prompt_tokens, True)
    assert "final_answer" in client.apply_template([HELLO], tools=[WEATHER], response_format=FORM)


def test_a_reply_without_a_count_is_an_error_and_no_zero(connect: Connect) -> None:
    counts = {("POST", "/v1/chat/completions/input_tokens"): Response.json({"nope": 1})}
    with llamacpp_server(routes=counts) as server, pytest.raises(ProtocolError, match="no count of tokens"):
        connect("llamacpp", base_url=server.base_url, model="m").count_chat_tokens([HELLO])
