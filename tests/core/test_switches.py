"""What is known of a server can be switched for one client, by name; both sides of each switch are shown."""

from __future__ import annotations

import json
import threading
from dataclasses import fields
from typing import Any

import pytest
from vessel_core import AsyncClient, Client
from vessel_core.errors import InvalidConfig, InvalidRequest, StreamInterrupted, Unsupported
from vessel_core.local import LocalServer
from vessel_core.types import ChatReply, Gathering, Message, ResponseFormat, Tool
from vessel_core.wire import Quirks

from tests.core.driving import Connect
from tests.core.wire.play import DONE, HELLO, STOP, WEATHER, chunk, event
from tests.fake_server import FakeServer, Response, llamacpp_server, lmstudio_server, openai_server

PNG = "data:image/png;base64,iVBORw0KGgo="
OLD: list[Message] = [HELLO, {"role": "assistant", "content": "Hi", "reasoning": "hm"}, HELLO]


def asked(
    connect: Connect, quirks: dict[str, Any], frames: list[bytes], **request: Any
) -> tuple[ChatReply, FakeServer]:
    with llamacpp_server(frames) as server:
        client = connect(base_url=server.base_url, model="x", quirks=quirks)
        return client.chat(request.pop("messages", [HELLO]), **request), server


def test_an_unknown_switch_is_refused_with_the_nearest() -> None:
    for made in (Client, AsyncClient):
        with pytest.raises(InvalidConfig, match="no quirk 'think_open': did you mean 'think_opened'"):
            made("llamacpp", quirks={"think_open": True})


def test_quirks_are_shown_by_what_differs() -> None:
    assert repr(Quirks()) == "Quirks()"
    assert (
        repr(Quirks(cumulative_arguments=True, system="first")) == "Quirks(system='first', cumulative_arguments=True)"
    )


@pytest.mark.parametrize(
    "wrong",
    [{"think_opened": "yes"}, {"text_calls": 1}, {"thinking": "loud"}, {"refused": "num_ctx"}, {"reasoning_field": 7}],
)
def test_a_switch_of_the_wrong_type_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig, match=next(iter(wrong))):
        Client("llamacpp", quirks=wrong)


def test_quirk_72_the_text_up_to_a_closing_tag_is_reasoning_if_that_was_switched_on(connect: Connect) -> None:
    frames = [chunk({"content": part}) for part in ("First, ", "hm.\n</thi", "nk>\n\nHello")]
    opened = asked(connect, {"think_opened": True}, [*frames, STOP, DONE])[0]
    assert (opened.reasoning, opened.text) == ("First, hm.", "Hello")
    assert asked(connect, {}, [*frames, STOP, DONE])[0].text == "First, hm.\n</think>\n\nHello"


def test_an_answer_without_thinking_is_no_thought(connect: Connect) -> None:
    frames = [chunk({"content": "Hello"}), STOP, DONE]
    assert asked(connect, {"think_opened": True}, frames)[0].reasoning == "Hello"
    assert asked(connect, {"think_opened": True}, frames, reasoning=False)[0].text == "Hello"


CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "Oslo"}}</tool_call>'


def test_calls_left_in_the_text_are_read_if_that_was_switched_on(connect: Connect) -> None:
    frames = [chunk({"content": CALL}), STOP, DONE]
    assert asked(connect, {"text_calls": True}, frames, tools=[WEATHER])[0].tool_calls
    assert asked(connect, {"text_calls": False}, frames, tools=[WEATHER])[0].text == CALL
    assert asked(connect, {"text_calls": True}, frames)[0].text == CALL


def called(*arguments: str) -> list[bytes]:
    first, *rest = arguments
    start = {"index": 0, "id": "a", "function": {"name": "get_weather", "arguments": first}}
    later = [chunk({"tool_calls": [{"index": 0, "function": {"arguments": part}}]}) for part in rest]
    return [chunk({"tool_calls": [start]}), *later, STOP, DONE]


def test_arguments_are_mended_if_that_was_switched_on(connect: Connect) -> None:
    frames = called("{'city': 'Oslo',}")
    mended = asked(connect, {"repair_arguments": True}, frames, tools=[WEATHER])[0]
    assert json.loads(mended.tool_calls[0]["function"]["arguments"]) == {"city": "Oslo"}
    assert mended.repaired == {"a": "{'city': 'Oslo',}"}
    assert asked(connect, {}, frames, tools=[WEATHER])[0].invalid_tool_calls


def test_arguments_that_repeat_are_taken_once_if_that_was_switched_on(connect: Connect) -> None:
    frames = called('{"city"', '{"city": "Os', '{"city": "Oslo"}')
    once = asked(connect, {"cumulative_arguments": True}, frames, tools=[WEATHER])[0]
    assert once.tool_calls[0]["function"]["arguments"] == '{"city": "Oslo"}'
    assert asked(connect, {}, frames, tools=[WEATHER])[0].invalid_tool_calls


def test_a_stream_without_a_finish_is_whole_if_the_server_never_sends_one(connect: Connect) -> None:
    frames = [event({"choices": [{"index": 0, "delta": {"content": "Hello"}}]})]
    reply, _ = asked(connect, {"finishes": False}, frames)
    assert (reply.text, reply.finish) == ("Hello", "stop")
    with pytest.raises(StreamInterrupted):
        asked(connect, {}, frames)


def test_tags_are_text_if_the_server_is_said_to_part_reasoning(connect: Connect) -> None:
    frames = [chunk({"content": "<think>hm</think>Hi"}), STOP, DONE]
    assert asked(connect, {"think_tags": False}, frames)[0].text == "<think>hm</think>Hi"
    assert asked(connect, {}, frames)[0].text == "Hi"


FRAMES = [chunk({"content": "{}"}), STOP, DONE]


@pytest.mark.parametrize(
    ("quirks", "request_fields", "path", "value", "otherwise"),
    [
        ({"reasoning_field": "reasoning"}, {"messages": OLD}, ("messages", 1, "reasoning"), "hm", None),
        ({"thinking": "effort"}, {"reasoning": False}, ("reasoning_effort",), "none", None),
        (
            {"json_object": False},
            {"response_format": {"type": "json_object"}},
            ("response_format", "type"),
            "json_schema",
            "json_object",
        ),
    ],
)
def test_what_is_sent_follows_the_switch(
    connect: Connect, quirks: Any, request_fields: Any, path: tuple[Any, ...], value: str, otherwise: str | None
) -> None:
    def sent(switched: dict[str, Any]) -> Any:
        body = asked(connect, switched, FRAMES, **dict(request_fields))[1].asked("/v1/chat/completions")[0].json()
        for step in path:
            body = body.get(step) if isinstance(step, str) else body[step]
        return body

    assert (sent(quirks), sent({})) == (value, otherwise)


def picture(url: str) -> list[Message]:
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]


def test_what_is_refused_follows_the_switch(connect: Connect) -> None:
    asked(connect, {"refused": []}, FRAMES, num_ctx=8192)
    with pytest.raises(Unsupported, match="num_ctx"):
        asked(connect, {}, FRAMES, num_ctx=8192)
    asked(connect, {}, FRAMES, messages=picture("http://example.com/a.png"))
    with pytest.raises(InvalidRequest, match="does not fetch"):
        asked(connect, {"image_urls": False}, FRAMES, messages=picture("http://example.com/a.png"))
    with pytest.raises(InvalidRequest, match="image/jpeg"):
        asked(connect, {"image_types": ["image/jpeg"]}, FRAMES, messages=picture(PNG))


def test_a_schema_beside_tools_goes_as_it_is_where_the_server_takes_both(connect: Connect) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    form: ResponseFormat = {"type": "json_schema", "json_schema": {"name": "A", "schema": schema}}
    with openai_server(FRAMES) as server:
        for taken in (True, False):
            client = connect("openai", base_url=server.base_url, model="x", quirks={"schema_with_tools": taken})
            client.chat([HELLO], tools=[WEATHER], response_format=form, validate=False)
        both, one = (request.json() for request in server.asked("/v1/chat/completions"))
    assert ("response_format" in both, len(both["tools"])) == (True, 1)
    assert ("response_format" in one, len(one["tools"])) == (False, 2)


def test_a_forced_call_is_bound_by_its_schema_where_that_is_switched_on(connect: Connect) -> None:
    time: Tool = {"type": "function", "function": {"name": "get_time"}}
    both = '{"name": "get_weather", "arguments": {"city": "Rome"}}'
    cases: list[tuple[list[Tool], str, str, list[tuple[str, str]], int]] = [
        ([WEATHER, time], "get_weather", '{"city": "Rome"}', [("get_weather", '{"city": "Rome"}')], 0),
        ([WEATHER, time], "get_weather", '{"city": "Ro', [], 1),
        ([WEATHER, time], "required", both, [("get_weather", '{"city": "Rome"}')], 0),
        ([WEATHER, time], "required", both[:-3], [], 0),
    ]
    for tools, choice, text, calls, invalid in cases:
        finish = "stop" if calls else "length"
        frames = [chunk({"content": text[at : at + 9]}) for at in range(0, len(text), 9)]
        with openai_server(b"".join([*frames, chunk({}, finish)])) as server:
            client = connect("openai", base_url=server.base_url, model="x", quirks={"forced_by_schema": True})
            reply = client.chat([HELLO], validate=False, tools=tools, tool_choice=choice)
            body = server.asked("/v1/chat/completions")[0].json()
        assert (body["tool_choice"], body["response_format"]["type"]) == ("none", "json_schema")
        assert [(call["function"]["name"], call["function"]["arguments"]) for call in reply.tool_calls] == calls
        assert (reply.finish, len(reply.invalid_tool_calls)) == ("tool_calls" if calls else "length", invalid)
        assert (reply.text == text) is (not calls and not invalid)


SHORT, PROSE = "Let me look. " * 15, "Let me look. " * 16
CALLED = {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}]}


@pytest.mark.parametrize(
    ("frames", "asked_for", "said"),
    [
        ([chunk({"content": SHORT}), chunk(CALLED), chunk({}, "tool_calls")], 1, (SHORT, "", "Oslo")),
        ([chunk({"content": "It rains."}), chunk({}, "stop")], 2, ("", "", "Rome")),
        ([chunk({"content": PROSE}), chunk(CALLED), chunk({}, "tool_calls")], 2, ("", "", "Rome")),
        ([chunk({"reasoning_content": "Hm."}), chunk({"content": PROSE}), chunk({}, "stop")], 2, ("", "So!", "Rome")),
        ([chunk({"reasoning_content": "Hm."}), chunk({}, "length")], 1, ("", "Hm.", None)),
        ([chunk({"content": "It"}), chunk({}, "length")], 2, ("", "", "Rome")),
    ],
)
def test_a_forced_call_that_does_not_come_is_asked_for_again_bound_by_its_schema(
    connect: Connect, frames: list[bytes], asked_for: int, said: tuple[str, str, str | None]
) -> None:
    thought = [chunk({"reasoning_content": "So!"})] if said[1] == "So!" else []
    bound = b"".join([*thought, chunk({"content": '{"city": "Rome"}'}), chunk({}, "stop")])
    routes: Any = {("POST", "/v1/chat/completions"): [Response.stream(b"".join(frames)), Response.stream(bound)]}
    with llamacpp_server(routes=routes) as server:
        client = connect(base_url=server.base_url, model="x")
        reply = client.chat([HELLO], validate=False, tools=[WEATHER], tool_choice="get_weather")
        bodies = [request.json() for request in server.asked("/v1/chat/completions")]
    cities = [json.loads(call["function"]["arguments"])["city"] for call in reply.tool_calls]
    assert (reply.text, reply.reasoning, next(iter(cities), None)) == said
    assert [body["tool_choice"] for body in bodies] == ["required", "none"][:asked_for]
    assert ["response_format" in body for body in bodies] == [False, True][:asked_for]


def test_what_was_thought_and_handed_on_is_not_thought_twice(connect: Connect) -> None:
    """Both answers think; the second does so for nobody. The one that talks is left as soon as that is clear."""
    handed_on, never = threading.Event(), threading.Event()
    talk = chunk({"content": PROSE})
    first = Response.stream(chunk({"reasoning_content": "Hm."}), handed_on, talk, never)
    bound = b"".join([chunk({"reasoning_content": "So!"}), chunk({"content": '{"city": "Rome"}'}), chunk({}, "stop")])
    routes: Any = {("POST", "/v1/chat/completions"): [first, Response.stream(bound)]}
    with llamacpp_server(routes=routes) as server:
        client, gathering = connect(base_url=server.base_url, model="x"), Gathering()
        for delta in client.stream([HELLO], tools=[WEATHER], tool_choice="get_weather"):
            gathering.add(delta)
            handed_on.set()
    reply = gathering.reply()
    assert (reply.reasoning, len(reply.tool_calls)) == ("Hm.", 1)


def test_several_choices_and_the_switch_leave_a_forced_call_as_it_came(connect: Connect) -> None:
    frames = chunk({"content": "It rains."}) + chunk({}, "stop") + b"data: [DONE]\n\n"
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [({"forced_by_schema": False}, {}), ({}, {"n": 2})]
    for quirks, options in cases:
        with llamacpp_server(frames) as server:
            client = connect(base_url=server.base_url, model="x", quirks=quirks)
            reply = client.chat([HELLO], tools=[WEATHER], tool_choice="required", validate=False, **options)
            assert (reply.text, len(server.asked("/v1/chat/completions"))) == ("It rains.", 1)


def test_a_server_that_binds_nothing_is_found_out(connect: Connect) -> None:
    """What it writes is no call with arguments that can't be read, but text."""
    with lmstudio_server(chunk({"content": "It "}) + chunk({"content": "rains."}) + chunk({}, "stop")) as server:
        reply = connect("lmstudio", base_url=server.base_url, model="x").chat(
            [HELLO], tools=[WEATHER], tool_choice="required", validate=False
        )
        assert (reply.text, reply.tool_calls, reply.invalid_tool_calls) == ("It rains.", [], [])
        assert len(server.asked("/v1/chat/completions")) == 2


@pytest.mark.parametrize("quirks", [{}, {"forced_by_schema": True}])
def test_a_model_that_talks_instead_of_calling_is_made_to_call(
    connect: Connect, assistant_server: LocalServer, quirks: dict[str, Any]
) -> None:
    said = {"type": "object", "properties": {"mood": {"enum": ["good", "bad"]}}, "required": ["mood"]}
    bound = {**said, "additionalProperties": False}
    note: Tool = {"type": "function", "function": {"name": "note", "description": "Note it.", "parameters": bound}}
    tell: Tool = {"type": "function", "function": {"name": "tell", "description": "Tell it.", "parameters": bound}}
    joke: list[Message] = [{"role": "user", "content": "Tell me a joke"}]
    client = connect(base_url=assistant_server.base_url, quirks=quirks)
    for choice in ("note", "required"):
        reply = client.chat(joke, tools=[note, tell], tool_choice=choice, temperature=0, max_tokens=100)
        assert (reply.text, reply.finish, len(reply.tool_calls)) == ("", "tool_calls", 1)
        called = reply.tool_calls[0]["function"]
        assert called["name"] in ("note", "tell" if choice == "required" else "note")
        assert json.loads(called["arguments"])["mood"] in ("good", "bad")


def test_every_quirk_is_described() -> None:
    assert all(f"`{field.name}`" in str(Quirks.__doc__) for field in fields(Quirks))
