"""Answers bound to a schema: on the real server, beside tools, checked, and bounded in length."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from vessel_core.checking import check_of
from vessel_core.errors import InvalidOutput, InvalidRequest, ResponseTooLarge
from vessel_core.request import chat_request
from vessel_core.types import ChatReply, Delta, InvalidToolCall, ResponseFormat, ToolCall, Usage
from vessel_core.wire.schemas import misfit

from tests.core.driving import Connect, Tap
from tests.core.wire.play import DONE, HELLO, STOP, TIME, WEATHER, chunk, last, line
from tests.fake_server import FakeServer, llamacpp_server, lmstudio_server, ollama_server, openai_server

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "enum": ["Oslo", "Paris"]},
        "warm": {"type": "boolean"},
        "degrees": {"type": "integer", "minimum": -5, "maximum": 40},
    },
    "required": ["city", "warm", "degrees"],
    "additionalProperties": False,
}
FORM: ResponseFormat = {"type": "json_schema", "json_schema": {"name": "Weather", "schema": SCHEMA}}
TEXT: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string", "minLength": 200}}, "required": ["a"]}
LONG: ResponseFormat = {"type": "json_schema", "json_schema": {"name": "Long", "schema": TEXT}}
CALL: ToolCall = {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
ANSWER = '{"city": "Oslo", "warm": false, "degrees": 7}'


def test_the_real_server_answers_to_a_schema(connect: Connect, tapped: Tap) -> None:
    reply = connect(base_url=tapped.base_url).chat([HELLO], response_format=FORM, seed=1)
    assert misfit(json.loads(reply.text), SCHEMA) is None
    assert tapped.sent()["response_format"] == FORM


def test_the_real_server_answers_with_any_json(connect: Connect, tapped: Tap) -> None:
    form: ResponseFormat = {"type": "json_object", "json_schema": {"name": "Weather", "schema": SCHEMA}}
    reply = connect(base_url=tapped.base_url).chat([HELLO], response_format=form, seed=1)
    assert misfit(json.loads(reply.text), SCHEMA) is None


def test_json_that_was_cut_off_on_the_real_server_is_an_error_that_says_so(connect: Connect, tapped: Tap) -> None:
    client = connect(base_url=tapped.base_url)
    with pytest.raises(InvalidOutput, match="cut off after 12 tokens") as caught:
        client.chat([HELLO], response_format=LONG, max_tokens=12, seed=1)
    assert caught.value.partial is not None
    assert caught.value.partial.text.startswith("{")
    assert caught.value.url == tapped.base_url
    assert "maxLength" in str(caught.value.hint)
    cut = client.chat([HELLO], response_format=LONG, max_tokens=12, seed=1, validate=False)
    assert (cut.finish, cut.text) == ("length", caught.value.partial.text)


FORCED: list[dict[str, Any]] = [
    {"response_format": FORM},
    {"tools": [WEATHER], "tool_choice": "required"},
    {"tools": [WEATHER, TIME], "tool_choice": "get_time"},
]


@pytest.mark.parametrize("fields", FORCED)
def test_an_answer_that_is_bound_is_bounded_too(connect: Connect, fields: dict[str, Any]) -> None:
    called = {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "get_time", "arguments": "{}"}}]}
    said = called if "tools" in fields else {"content": ANSWER}
    with llamacpp_server([chunk(said), STOP, DONE]) as server:
        client = connect(base_url=server.base_url, model="x")
        client.chat([HELLO], validate=False, **fields)
        client.chat([HELLO], validate=False, **fields, max_tokens=99)
        connect(base_url=server.base_url, model="x", quirks={"max_structured": None}).chat(
            [HELLO], validate=False, **fields
        )
        client.chat([HELLO], tools=[WEATHER])
        client.chat([HELLO])
        sent = [request.json().get("max_tokens") for request in server.asked("/v1/chat/completions")]
    assert sent == [8192, 99, None, None, None]


def test_ollamas_bound_answers_are_bounded_too(connect: Connect) -> None:
    with ollama_server([line({"content": ANSWER}), last()]) as server:
        connect("ollama", base_url=server.base_url, model="x").chat([HELLO], response_format=FORM)
        assert server.asked("/api/chat")[0].json()["options"] == {"num_predict": 8192}


def test_a_call_whose_arguments_never_end_is_an_error(connect: Connect) -> None:
    start = chunk(
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "get_weather", "arguments": '{"city": "'}}]}
    )
    more = chunk({"tool_calls": [{"index": 0, "function": {"arguments": "x" * 1000}}]})
    with llamacpp_server([start, *[more] * 100, STOP, DONE]) as server:
        client = connect(base_url=server.base_url, model="x")
        with pytest.raises(ResponseTooLarge, match="'get_weather' are longer than 98,304 characters") as caught:
            client.chat([HELLO], tools=[WEATHER], tool_choice="required")
        assert "max_tokens" in str(caught.value.hint)
        unbound = connect(base_url=server.base_url, model="x", quirks={"max_structured": None})
        fields: dict[str, Any] = {"tools": [WEATHER], "validate": False}
        for reply in (
            client.chat([HELLO], **fields),  # a file that is written may be long
            client.chat([HELLO], **fields, tool_choice="required", max_tokens=9000),
            unbound.chat([HELLO], **fields, tool_choice="required"),
        ):
            assert reply.invalid_tool_calls


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Sure!", "no JSON: 'Sure!'"),
        ("Sure! " * 50, "no JSON: 'Sure!.* Su…'"),
        ('{"city": "Rome", "warm": true, "degrees": 7}', "city is 'Rome', and none of"),
        ('{"city": "Oslo", "warm": true, "degrees": 70}', "degrees is 70, against maximum 40"),
        ('{"city": "Oslo"}', "it has no 'warm'"),
    ],
)
def test_a_server_that_does_not_bind_its_answers_is_found_out(connect: Connect, text: str, said: str) -> None:
    with openai_server([chunk({"content": text}), STOP, DONE]) as server:
        client = connect("openai", base_url=server.base_url, model="x")
        with pytest.raises(InvalidOutput, match=said):
            client.chat([HELLO], response_format=FORM)
        with pytest.raises(InvalidOutput, match=said):
            list(client.stream([HELLO], response_format=FORM))
        assert "".join(delta.text for delta in client.stream([HELLO], validate=False, response_format=FORM)) == text


@pytest.mark.parametrize("text", ["5", "[1]", '"a"', "null", '{"a": NaN}', '{"a": "\\ud83d", "b": Infinity}'])
def test_what_is_no_json_object_is_found_out_without_a_schema(text: str) -> None:
    with pytest.raises(InvalidOutput, match="no JSON"):
        check(ChatReply(text=text), response_format={"type": "json_object"})


def check(reply: ChatReply, **fields: Any) -> ChatReply:
    """Return a reply that passes the check of a request for JSON, or what `fields` ask for."""
    asked: dict[str, Any] = {"response_format": FORM, **fields}
    if (checks := check_of(chat_request([HELLO], **asked))) is not None:
        checks(reply)
    return reply


def test_each_of_several_answers_is_checked() -> None:
    good, bad = ChatReply(text=ANSWER), ChatReply(text="no", usage=Usage(1, 2, 3))
    check(ChatReply(text=ANSWER, alternatives=[good]))
    with pytest.raises(InvalidOutput, match="no JSON"):
        check(ChatReply(text=ANSWER, alternatives=[bad]))


def test_calls_beside_a_schema_and_plain_answers_are_not_checked() -> None:
    check(ChatReply(tool_calls=[CALL]))
    check(ChatReply(text="Hi"), response_format={"type": "text"})
    check(ChatReply(text="{}"), response_format={"type": "json_object"})
    with pytest.raises(InvalidOutput, match="cut off: "):
        check(ChatReply(text="{", finish="length"), response_format={"type": "json_object"})


# -------------------------------------------------------------------------------------------------- a call that was forced


@pytest.mark.parametrize(("choice", "what"), [("required", "A tool"), ("get_weather", "get_weather")])
@pytest.mark.parametrize("backend", ["openai", "llamacpp", "lmstudio", "ollama"])
def test_a_forced_call_that_does_not_come_is_an_error_with_what_came(
    connect: Connect, backend: str, choice: str, what: str
) -> None:
    said = f"{what} had to be called, and the model wrote 'It rains.'"
    forced: dict[str, Any] = {"tools": [WEATHER, TIME], "tool_choice": choice}
    with weather_server(backend) as server:
        client = connect(backend, base_url=server.base_url, model="x")
        with pytest.raises(InvalidOutput, match=re.escape(said)) as caught:
            client.chat([HELLO], **forced)
        assert caught.value.partial is not None
        assert (caught.value.partial.text, caught.value.url) == ("It rains.", server.base_url)
        came: list[Delta] = []
        with pytest.raises(InvalidOutput, match=re.escape(said)):
            came.extend(client.stream([HELLO], **forced))
        assert ChatReply.gather(came).text == "It rains."
        unchecked = client.chat([HELLO], validate=False, **forced)
        streamed = ChatReply.gather(client.stream([HELLO], validate=False, **forced))
    assert (unchecked.text, unchecked.tool_calls, unchecked.finish) == ("It rains.", [], "stop")
    assert (streamed.text, streamed.finish) == ("It rains.", "stop")


def weather_server(backend: str) -> FakeServer:
    """Return a server that talks of the weather and calls nothing."""
    talk = [chunk({"content": "It "}), chunk({"content": "rains."}), STOP, DONE]
    if backend == "ollama":
        return ollama_server(b"".join([line({"role": "assistant", "content": "It rains."}), last()]))
    make = {"openai": openai_server, "llamacpp": llamacpp_server, "lmstudio": lmstudio_server}[backend]
    return make(b"".join(talk))


def test_a_forced_call_of_another_tool_or_one_that_is_cut_off_is_an_error() -> None:
    forced: dict[str, Any] = {"tools": [WEATHER, TIME], "response_format": None}
    check(ChatReply(tool_calls=[CALL]), tool_choice="get_weather", **forced)
    check(ChatReply(tool_calls=[CALL]), tool_choice="required", **forced)
    check(ChatReply(refusal="No."), tool_choice="required", **forced)
    check(ChatReply(text="Hi"), tool_choice="auto", **forced)
    with pytest.raises(InvalidOutput, match="get_time had to be called, and the model called get_weather"):
        check(ChatReply(tool_calls=[CALL]), tool_choice="get_time", **forced)
    with pytest.raises(InvalidOutput, match="A tool had to be called, and the answer was cut off before: 'Let me'"):
        check(ChatReply(text="Let me", finish="length"), tool_choice="required", **forced)
    nobody: ToolCall = {"id": "a", "type": "function", "function": {"name": "pay", "arguments": "{}"}}
    with pytest.raises(InvalidOutput, match="A tool had to be called, and the model called pay"):
        check(ChatReply(tool_calls=[nobody]), tool_choice="required", **forced)
    check(ChatReply(tool_calls=[nobody, CALL]), tool_choice="required", **forced)
    cut = InvalidToolCall("a", "get_weather", '{"city": "Par', "the arguments are cut off")
    with pytest.raises(InvalidOutput, match="The call of get_weather can't be run: the arguments are cut off"):
        check(ChatReply(invalid_tool_calls=[cut]), tool_choice="required", **forced)


UNFIT = '{"city": 7}'


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ("get_weather", UNFIT),
        ("get_weather", f'{{"name": "get_weather", "arguments": {UNFIT}}}'),
        ("required", f'{{"name": "get_weather", "arguments": {UNFIT}}}'),
    ],
)
def test_a_forced_call_on_ollama_that_does_not_fit_names_the_field_and_keeps_the_text(
    connect: Connect, choice: str, text: str
) -> None:
    with ollama_server([line({"role": "assistant", "content": text}), last()]) as server:
        client = connect("ollama", base_url=server.base_url, model="x")
        with pytest.raises(
            InvalidOutput, match="call of get_weather does not fit its schema: city is 7, and not"
        ) as caught:
            client.chat([HELLO], tools=[WEATHER, TIME], tool_choice=choice)
    assert caught.value.partial is not None
    assert (caught.value.partial.text, caught.value.partial.tool_calls) == (text, [])


# -------------------------------------------------------------------------------------------------- a schema and tools


def wrapped(name: str, arguments: object) -> list[bytes]:
    """Return what Ollama's model writes when its answer is bound to be a call."""
    text = json.dumps({"name": name, "arguments": arguments})
    return [line({"role": "assistant", "content": part}) for part in (text[:9], text[9:])] + [last(eval_count=9)]


def test_on_ollama_the_schema_travels_as_one_more_tool(connect: Connect) -> None:
    with ollama_server(b"".join(wrapped("final_answer", json.loads(ANSWER)))) as server:
        reply = connect("ollama", base_url=server.base_url, model="qwen3:8b").chat(
            [HELLO], tools=[WEATHER], response_format=FORM
        )
        body = server.asked("/api/chat")[0].json()
    assert (json.loads(reply.text), reply.tool_calls, reply.finish) == (json.loads(ANSWER), [], "stop")
    assert [tool["function"]["name"] for tool in body["tools"]] == ["get_weather", "final_answer"]
    assert [choice["properties"]["name"]["enum"] for choice in body["format"]["anyOf"]] == [
        ["get_weather"],
        ["final_answer"],
    ]
    assert body["format"]["anyOf"][1]["properties"]["arguments"] == SCHEMA


def test_on_ollama_a_tool_may_be_called_first(connect: Connect) -> None:
    with ollama_server(b"".join(wrapped("get_weather", {"city": "Oslo"}))) as server:
        reply = connect("ollama", base_url=server.base_url, model="qwen3:8b").chat(
            [HELLO], tools=[WEATHER], response_format=FORM
        )
    assert [json.loads(call["function"]["arguments"]) for call in reply.tool_calls] == [{"city": "Oslo"}]
    assert (reply.text, reply.finish) == ("", "tool_calls")


def test_on_ollama_an_answer_that_does_not_fit_is_an_error_with_it(connect: Connect) -> None:
    with ollama_server(b"".join(wrapped("final_answer", {"city": "Rome"}))) as server:
        client = connect("ollama", base_url=server.base_url, model="qwen3:8b")
        with pytest.raises(InvalidOutput) as caught:
            client.chat([HELLO], tools=[WEATHER], response_format=FORM)
    assert caught.value.partial is not None


def test_on_ollama_one_tool_is_forced_by_its_schema_and_checked(connect: Connect) -> None:
    lines = [line({"role": "assistant", "content": '{"city": "Oslo"}'}), last()]
    fields: dict[str, Any] = {"tools": [WEATHER, TIME], "tool_choice": "get_weather"}
    with ollama_server(lines) as server:
        reply = connect("ollama", base_url=server.base_url, model="x").chat([HELLO], **fields)
        body = server.asked("/api/chat")[0].json()
    assert [call["function"]["name"] for call in reply.tool_calls] == ["get_weather"]
    assert body["format"] == WEATHER["function"].get("parameters")
    assert [tool["function"]["name"] for tool in body["tools"]] == ["get_weather"]
    with ollama_server([line({"role": "assistant", "content": "It rains."}), last()]) as server:
        with pytest.raises(InvalidOutput, match="get_weather had to be called"):
            connect("ollama", base_url=server.base_url, model="x").chat([HELLO], **fields)


def test_on_the_real_server_the_model_decides_between_tool_and_answer(connect: Connect, tapped: Tap) -> None:
    reply = connect(base_url=tapped.base_url).chat([HELLO], tools=[WEATHER], response_format=FORM, seed=1)
    assert bool(reply.text) != bool(reply.tool_calls)
    if reply.text:
        assert misfit(json.loads(reply.text), SCHEMA) is None
    sent = tapped.sent()
    assert (sent["tool_choice"], "response_format" in sent) == ("auto", False)


def test_a_schema_of_no_object_beside_tools_is_refused(connect: Connect) -> None:
    form: ResponseFormat = {"type": "json_schema", "json_schema": {"name": "A", "schema": {"type": "string"}}}
    with llamacpp_server() as server:
        with pytest.raises(InvalidRequest, match="must be an object"):
            connect(base_url=server.base_url, model="x").chat([HELLO], tools=[WEATHER], response_format=form)


def test_lm_studio_is_given_any_json_as_a_schema(connect: Connect) -> None:
    with lmstudio_server([chunk({"content": "{}"}), STOP, DONE]) as server:
        connect("lmstudio", base_url=server.base_url).chat([HELLO], response_format={"type": "json_object"})
        sent = server.asked("/v1/chat/completions")[0].json()["response_format"]
    assert sent == {"type": "json_schema", "json_schema": {"name": "json", "schema": {"type": "object"}}}


def test_a_refusal_is_an_answer_in_no_form_and_stays_one(connect: Connect) -> None:
    with llamacpp_server(chunk({"refusal": "I can't help with that."}, "stop") + DONE) as server:
        reply = connect(base_url=server.base_url, model="x").chat([HELLO], response_format=FORM)
    assert (reply.text, reply.refusal) == ("", "I can't help with that.")
    with pytest.raises(InvalidOutput, match="is no JSON"):
        check(ChatReply(text="I can't help with that."))
