"""How the call that carries an answer is read as one."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from vessel_core.errors import InvalidRequest
from vessel_core.types import ChatReply, Delta, ResponseFormat, ToolCallDelta
from vessel_core.wire import Quirks
from vessel_core.wire.answering import NAME, AnswerStream, conflicts, with_answer_tool

from tests.core.wire.play import WEATHER, ask, tool

FORM: ResponseFormat = {
    "type": "json_schema",
    "json_schema": {"name": "A", "schema": {"type": "object", "properties": {"a": {"type": "string"}}}},
}
NODE = {"$anchor": "node", "type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
ONE = Quirks(schema_with_tools=False)


@pytest.mark.parametrize("reference", ["#/$defs/Node", "#/$defs/Alias", "#node"])
def test_a_schema_of_a_type_that_holds_itself_goes_as_a_tool(reference: str) -> None:
    """Pydantic writes one with a reference at its root."""
    parts = {"Node": NODE, "Alias": {"$ref": "#/$defs/Node"}}
    form: ResponseFormat = {
        "type": "json_schema",
        "json_schema": {"name": "A", "schema": {"$ref": reference, "$defs": parts}},
    }
    sent = with_answer_tool(ask(tools=[WEATHER], response_format=form)).tools[-1]["function"]
    assert sent.get("parameters") == {**NODE, "$defs": parts}


def test_a_schema_that_refers_to_nothing_but_itself_is_no_objects() -> None:
    form: ResponseFormat = {"type": "json_schema", "json_schema": {"name": "A", "schema": {"$ref": "#"}}}
    with pytest.raises(InvalidRequest, match="must be an object's"):
        with_answer_tool(ask(tools=[WEATHER], response_format=form))


class Scripted:
    """A reply that is the deltas it was given."""

    def __init__(self, *deltas: Delta) -> None:
        self.deltas = list(deltas)
        self.done = False

    def feed(self, data: bytes) -> list[Delta]:
        return self.whole(data)

    def whole(self, body: bytes) -> list[Delta]:
        self.done = True
        return self.deltas if body else []

    def close(self) -> list[Delta]:
        return self.deltas[-1:]


def read(*deltas: Delta) -> ChatReply:
    return ChatReply.gather(AnswerStream(Scripted(*deepcopy(deltas))).feed(b"x"))


def call(index: int, name: str | None, arguments: str) -> Delta:
    return Delta(tool_calls=[ToolCallDelta(index, id="a" if name else None, name=name, arguments=arguments)])


END = Delta(finish="tool_calls")


@pytest.mark.parametrize(
    ("fields", "so"),
    [
        ({"response_format": FORM, "tools": [WEATHER]}, True),
        ({"response_format": FORM}, False),
        ({"response_format": {"type": "text"}, "tools": [WEATHER]}, False),
        ({"response_format": FORM, "tools": [WEATHER], "tool_choice": "none"}, False),
        ({"tools": [WEATHER]}, False),
    ],
)
def test_a_conflict_is_json_and_tools_at_once(fields: dict[str, Any], so: bool) -> None:
    assert conflicts(ask(**fields), ONE) is so
    assert not conflicts(ask(**fields), Quirks())


def test_a_forced_tool_leaves_no_place_for_an_answer() -> None:
    request = with_answer_tool(ask(response_format=FORM, tools=[WEATHER], tool_choice="get_weather"))
    assert (request.response_format, list(request.tools)) == (None, [WEATHER])


def test_any_json_is_an_object_of_any_kind() -> None:
    request = with_answer_tool(ask(response_format={"type": "json_object"}, tools=[WEATHER]))
    assert request.tools[-1]["function"].get("parameters") == {"type": "object"}


def test_a_tool_of_the_same_name_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="as the one that carries"):
        with_answer_tool(ask(response_format=FORM, tools=[tool(NAME)]))


def test_the_arguments_of_the_answer_are_its_text() -> None:
    reply = read(Delta("I think"), call(0, NAME, '{"a": '), call(0, None, '"x"}'), END)
    assert (reply.text, reply.tool_calls, reply.finish) == ('{"a": "x"}', [], "stop")


def test_text_in_place_of_any_call_is_told_at_the_end() -> None:
    reply = read(Delta("Done "), Delta("because"), Delta(finish="length"))
    assert (reply.text, reply.tool_calls, reply.finish) == ("Done because", [], "length")


def test_calls_beside_an_answer_are_dropped_and_an_answer_beside_calls_too() -> None:
    reply = read(call(0, NAME, "{}"), call(1, "get_weather", "{}"), END)
    assert (reply.text, reply.tool_calls) == ("{}", [])
    reply = read(call(0, "get_weather", "{}"), call(1, NAME, "{}"), END)
    assert (reply.text, len(reply.tool_calls), reply.finish) == ("", 1, "tool_calls")
    assert read(call(0, NAME, "{}"), call(1, NAME, "[]"), END).text == "{}"


def test_a_call_that_is_dropped_beside_an_answer_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    read(call(0, NAME, "{}"), call(1, "get_weather", "{"), call(1, None, "}"), END)
    assert [record.getMessage() for record in caplog.records] == [
        "The model called get_weather after its final answer in one reply: the call is left out."
    ]


def test_an_answer_in_one_document_or_at_the_end_is_read_too() -> None:
    answer = AnswerStream(Scripted(call(0, NAME, "{}")))
    assert not answer.done
    assert [delta.text for delta in answer.whole(b"x")] == ["{}"]
    assert answer.done
    assert [delta.text for delta in AnswerStream(Scripted(call(0, NAME, "[]"))).close()] == ["[]"]
