"""How deltas add up to a reply, and how errors travel."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vessel_core import errors
from vessel_core.errors import ContextOverflow, FailedResponse, ServerUnreachable, StreamInterrupted, VesselError
from vessel_core.types import ChatReply, Delta, Gathering, InvalidToolCall, Timings, ToolCallDelta, Usage


def test_deltas_add_up_to_a_reply() -> None:
    reply = ChatReply.gather(
        [
            Delta(reasoning="hm", model="qwen3", response_id="x", system_fingerprint="b1"),
            Delta("Hel", logprobs=[{"token": "Hel"}]),
            Delta("lo", logprobs=[{"token": "lo"}], refusal="no"),
            Delta(finish="stop", truncated=True),
            Delta(usage=Usage(1, 2, 3), timings=Timings(completion_tokens=2, completion_ms=4.0)),
        ]
    )
    assert (reply.text, reply.reasoning, reply.finish, reply.refusal) == ("Hello", "hm", "stop", "no")
    assert (reply.model, reply.response_id, reply.system_fingerprint) == ("qwen3", "x", "b1")
    assert reply.logprobs == [{"token": "Hel"}, {"token": "lo"}]
    assert (reply.usage, reply.truncated) == (Usage(1, 2, 3), True)
    assert reply.timings is not None
    assert (reply.timings.tokens_per_second, reply.timings.prompt_tokens_per_second) == (500.0, None)


def test_nothing_adds_up_to_an_empty_reply() -> None:
    assert ChatReply.gather([]) == ChatReply()


def test_calls_are_put_together_by_their_index() -> None:
    reply = ChatReply.gather(
        [
            Delta(tool_calls=[ToolCallDelta(1, "b", "get_time", "{}"), ToolCallDelta(0, "a", "get_weather", "{")]),
            Delta(tool_calls=[ToolCallDelta(0, arguments='"city": "Par')]),
            Delta(tool_calls=[ToolCallDelta(0, error="cut off")]),
        ]
    )
    assert reply.tool_calls == [{"id": "b", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}]
    assert reply.invalid_tool_calls == [InvalidToolCall("a", "get_weather", '{"city": "Par', "cut off")]


def test_a_reply_is_the_next_message_without_calls_that_cannot_be_run() -> None:
    reply = ChatReply.gather(
        [Delta("Hi", "hm", [ToolCallDelta(0, "a", "f", "{}"), ToolCallDelta(1, "b", "g", "{", error="cut off")])]
    )
    assert reply.message() == {
        "role": "assistant",
        "content": "Hi",
        "reasoning": "hm",
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    assert ChatReply(text="Hi").message() == {"role": "assistant", "content": "Hi"}


def test_choices_are_kept_apart() -> None:
    reply = ChatReply.gather([Delta("b", index=1), Delta("a"), Delta(finish="stop"), Delta(finish="length", index=1)])
    assert (reply.text, reply.finish) == ("a", "stop")
    assert [(other.text, other.finish) for other in reply.alternatives] == [("b", "length")]


def test_who_answered_is_said_of_every_choice_whichever_came_first() -> None:
    head: dict[str, Any] = {"model": "m", "response_id": "r", "system_fingerprint": "f"}
    reply = ChatReply.gather([Delta("b", index=1, **head), Delta("a")])
    for choice in (reply, *reply.alternatives):
        assert (choice.model, choice.response_id, choice.system_fingerprint) == ("m", "r", "f")


def test_the_first_finish_and_the_last_usage_count() -> None:
    reply = ChatReply.gather([Delta(finish="stop", usage=Usage(1)), Delta(finish="length", usage=Usage(2))])
    assert (reply.finish, reply.usage) == ("stop", Usage(2))


def test_a_reply_can_be_asked_for_in_the_middle_and_again() -> None:
    gathering = Gathering()
    gathering.add(Delta("Hel"))
    assert gathering.reply().text == "Hel"
    gathering.add(Delta("lo"))
    assert gathering.reply().text == "Hello"


@given(st.lists(st.text()), st.lists(st.text()))
def test_any_pieces_add_up_in_order(texts: list[str], thoughts: list[str]) -> None:
    reply = ChatReply.gather([*(Delta(text) for text in texts), *(Delta(reasoning=thought) for thought in thoughts)])
    assert (reply.text, reply.reasoning) == ("".join(texts), "".join(thoughts))


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name not in ("FailedResponse", "did_you_mean")])
def test_every_error_survives_a_pickle_and_a_copy(name: str) -> None:
    kind = getattr(errors, name)
    error: VesselError = kind("It broke.", hint="Mend it.", backend="Ollama", url="http://x", partial=ChatReply("Hi"))
    error.attempts = 3
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is kind
        assert str(other) == str(error) == "It broke. [Ollama at http://x]\nMend it."
        assert (other.partial, other.attempts, other.status_code) == (ChatReply("Hi"), 3, None)


def test_an_error_is_also_the_builtin_that_people_catch() -> None:
    assert issubclass(ServerUnreachable, ConnectionError)
    assert issubclass(errors.InvalidRequest, ValueError)
    assert issubclass(errors.FirstTokenTimeout, TimeoutError)
    assert issubclass(StreamInterrupted, errors.ProtocolError)


def test_an_error_tells_the_numbers_it_knows() -> None:
    error = ContextOverflow("Too long.", response=FailedResponse(400, {}, '{"error": {}}'))
    assert (error.prompt_tokens, error.context_length, error.status_code) == (None, None, 400)
    assert error.response is not None
    assert error.response.json() == {"error": {}}
