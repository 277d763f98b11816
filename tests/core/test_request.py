"""How a request is checked before anything is sent."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
from vessel_core import Client
from vessel_core.errors import InvalidRequest, Unsupported
from vessel_core.request import chat_request, checked_options, completion_request, refuse_unsupported
from vessel_core.types import Message
from vessel_core.wire import Quirks

from tests.core.driving import Connect
from tests.core.wire.play import HELLO, TIME, WEATHER
from tests.fake_server import FakeServer, llamacpp_server, ollama_server, transcript

PNG: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


def test_a_request_holds_what_it_was_given() -> None:
    request = chat_request(
        [HELLO], model="qwen3", tools=iter([WEATHER]), tool_choice="get_weather", temperature=0.5, extra_body={"x": 1}
    )
    assert request.messages == [HELLO]
    assert (request.model, list(request.tools), request.tool_choice) == ("qwen3", [WEATHER], "get_weather")
    assert (request.options, request.extra_body) == ({"temperature": 0.5}, {"x": 1})


def test_options_that_are_none_say_nothing() -> None:
    assert checked_options({"temperature": None, "seed": 7}) == {"seed": 7}


def test_what_nests_too_deep_to_be_written_is_refused_before_anything_is_sent() -> None:
    deep: dict[str, Any] = {}
    for _ in range(3000):
        deep = {"a": deep}
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        with Client("llamacpp", base_url=server.base_url, model="m") as client:
            with pytest.raises(InvalidRequest, match="can't be written as JSON"):
                client.chat([HELLO], extra_body={"x": deep})
        assert not [request for request in server.requests if request.method == "POST"]


def test_an_unknown_option_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InvalidRequest, match=r"'temprature': did you mean 'temperature'") as caught:
        checked_options({"temprature": 0.5})
    assert "extra_body" in str(caught.value)
    with pytest.raises(InvalidRequest, match=r"no option 'zzz'\."):
        checked_options({"zzz": 1})


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": "hot"},
        {"max_tokens": 1.5},
        {"logit_bias": [1]},
        {"logit_bias": {5: True}},
        {"stop": 7},
        {"reasoning": "a lot"},
    ],
)
def test_an_option_of_a_wrong_type_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(options))):
        checked_options(options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"logit_bias": {5: float("-inf")}}, "logit_bias[5]=-inf: Input should be a finite number or False.\n"),
        ({"logit_bias": {5: 1.0, 6: "x"}}, "logit_bias[6]='x': Input should be a valid number or False.\n"),
        ({"temperature": float("nan")}, "temperature=nan: Input should be a finite number.\n"),
        ({"reasoning": "xhigh"}, "should be a valid boolean or 'none', 'minimal', 'low', 'medium', 'high' or 'max'.\n"),
        ({"stop": ["a", 7]}, "stop=7: Input should be a valid string.\n"),
    ],
)
def test_an_option_of_a_wrong_value_is_told_what_it_could_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(said)) as caught:
        checked_options(options)
    assert ("A token that must never come has `False`" in str(caught.value)) is ("logit_bias" in options)


def test_an_option_the_server_has_not_got_is_refused_by_name() -> None:
    options = chat_request([HELLO], num_ctx=8192).options
    with pytest.raises(Unsupported, match="LM Studio has no option 'num_ctx'"):
        refuse_unsupported(options, "LM Studio", Quirks(refused=frozenset({"num_ctx"})))
    refuse_unsupported(options, "Ollama", Quirks(refused=frozenset()))


@pytest.mark.parametrize("choice", ["auto", "none", "required", "get_time", None])
def test_a_choice_is_a_word_or_a_tool(choice: str | None) -> None:
    assert chat_request([HELLO], tools=[WEATHER, TIME], tool_choice=choice).tool_choice == choice


def test_a_choice_that_is_no_tool_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidRequest, match="did you mean 'get_weather'"):
        chat_request([HELLO], tools=[WEATHER], tool_choice="get_wether")
    with pytest.raises(InvalidRequest, match="no tools were given"):
        chat_request([HELLO], tool_choice="required")


@pytest.mark.parametrize("tool", [7, {}, {"function": {}}, {"function": {"name": " "}}, {"name": "f"}])
def test_what_is_no_tool_is_refused_by_its_place(tool: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"tools\[1\]"):
        chat_request([HELLO], tools=[WEATHER, tool])


def test_a_conversation_needs_a_message() -> None:
    with pytest.raises(InvalidRequest, match="empty"):
        chat_request([])


@pytest.mark.parametrize(
    "message",
    [
        {"role": "human", "content": "Hello"},
        {"content": "Hello"},
        {"role": "user", "content": 7},
        {"role": "user", "content": [7]},
        {"role": "user", "content": [{"type": "text"}]},
        {"role": "user", "content": [{"type": "image"}]},
    ],
)
def test_what_is_no_message_is_refused_by_its_place(message: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"messages\[1\]"):
        chat_request([HELLO, message])


def test_an_assistant_may_have_said_nothing() -> None:
    message: Message = {"role": "assistant", "content": None}
    assert chat_request([HELLO, message]).messages[1] == message


def test_a_tools_result_is_a_text_and_its_pictures_come_after_all_results() -> None:
    first: Message = {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "a map"}, PNG]}
    second: Message = {"role": "tool", "tool_call_id": "b", "content": [PNG]}
    request = chat_request([HELLO, first, second, HELLO])
    told = {"type": "text", "text": "This is what the tool returned:"}
    assert request.messages == [
        HELLO,
        {"role": "tool", "tool_call_id": "a", "content": "a map"},
        {"role": "tool", "tool_call_id": "b", "content": "(see the picture)"},
        {"role": "user", "content": [told, PNG, PNG]},
        HELLO,
    ]
    assert chat_request([HELLO, second]).messages[-1] == {"role": "user", "content": [told, PNG]}


def test_the_callers_messages_are_left_as_they_are() -> None:
    message: Message = {"role": "tool", "tool_call_id": "a", "content": [PNG]}
    chat_request([HELLO, message])
    assert message == {"role": "tool", "tool_call_id": "a", "content": [PNG]}


def test_a_text_in_place_of_messages_is_named() -> None:
    with pytest.raises(InvalidRequest, match=r"messages\[0\] is a str"):
        chat_request("hi")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("picture", [{"url": "nonsense"}, {"url": "/etc/hosts"}, {"url": ""}, {}, {"url": 3}])
def test_a_picture_that_is_none_is_refused_before_anything_is_sent(picture: Any) -> None:
    with FakeServer() as server:
        client = Client("openai", base_url=server.base_url)
        with pytest.raises(InvalidRequest):
            client.chat([{"role": "user", "content": [{"type": "image_url", "image_url": picture}]}])
    assert server.requests == []


@pytest.mark.parametrize(
    "form",
    [
        "json",
        {},
        {"type": "json"},
        {"type": "json_schema"},
        {"type": "json_schema", "schema": {"type": "object"}},
        {"type": "json_schema", "json_schema": {"name": "x"}},
        {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": "object"}},
    ],
)
def test_a_form_that_is_none_is_refused_and_not_sent_to_be_ignored(form: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"response_format[\s\S]*'json_schema': \{'name'"):
        chat_request([HELLO], response_format=form)


def test_a_choice_in_openais_form_is_the_tools_name() -> None:
    choice = {"type": "function", "function": {"name": "get_weather"}}
    assert chat_request([HELLO], tools=[WEATHER], tool_choice=choice).tool_choice == "get_weather"
    with pytest.raises(InvalidRequest, match="which is none of the tools"):
        chat_request([HELLO], tools=[WEATHER], tool_choice={"type": "function"})


@pytest.mark.parametrize("backend", ["llamacpp", "ollama"])
def test_what_a_turn_leaves_empty_is_absent(connect: Connect, backend: str) -> None:
    answer: Any = {"role": "assistant", "content": "x", "tool_calls": None, "reasoning": None, "refusal": None}
    made, played = (
        (ollama_server, "ollama/text.ndjson") if backend == "ollama" else (llamacpp_server, "llamacpp/text.sse")
    )
    with made(transcript(played)) as server:
        client = connect(backend, base_url=server.base_url)
        assert client.chat([HELLO, answer, HELLO]).text
        assert server.requests[-1].json()["messages"][1] == {"role": "assistant", "content": "x"}
        assert client.count_chat_tokens([HELLO, answer, HELLO]) > 0


def test_a_picture_may_be_its_url_alone() -> None:
    part: Any = {"type": "image_url", "image_url": "http://host/cat.png"}
    (message,) = chat_request([{"role": "user", "content": [part]}]).messages
    assert message.get("content") == [{"type": "image_url", "image_url": {"url": "http://host/cat.png"}}]


def test_arguments_of_an_earlier_call_may_be_an_object_or_missing() -> None:
    calls: Any = [{"id": "a", "function": {"name": "f", "arguments": given}} for given in ({"x": 1}, None, "{}")]
    (message,) = chat_request([{"role": "assistant", "tool_calls": calls}]).messages
    assert [call["function"]["arguments"] for call in message.get("tool_calls", ())] == ['{"x": 1}', "", "{}"]


@pytest.mark.parametrize(
    ("call", "missing"),
    [
        ({"type": "function", "function": {"name": "f", "arguments": "{}"}}, "id"),
        ({"id": None, "function": {"name": "f"}}, "id"),
        ({"id": "a", "function": {}}, "function.name"),
        ({"id": "a"}, "function.name"),
        ("f", "id"),
    ],
)
def test_an_earlier_call_that_no_result_can_be_of_is_refused(call: Any, missing: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"messages\[1\]\.tool_calls\[0\] has no {missing}"):
        chat_request([HELLO, {"role": "assistant", "tool_calls": [call]}])


@pytest.mark.parametrize("backend", ["llamacpp", "ollama"])
def test_what_a_tool_or_a_form_leaves_empty_is_absent(connect: Connect, backend: str) -> None:
    parameters = {"type": "object", "properties": {"a": {"type": "string", "default": None}}}
    function = {"name": "f", "description": None, "strict": None, "parameters": parameters}
    named = {"name": "a", "description": None, "strict": None, "schema": {"type": "object"}}
    tool: Any = {"type": "function", "function": function}
    form: Any = {"type": "json_schema", "json_schema": named}
    assert chat_request([HELLO], tools=[tool]).tools[0]["function"] == {"name": "f", "parameters": parameters}
    assert chat_request([HELLO], response_format=form).response_format == {
        "type": "json_schema",
        "json_schema": {"name": "a", "schema": {"type": "object"}},
    }
    assert function["strict"] is None
    server = llamacpp_server if backend == "llamacpp" else ollama_server
    with server(transcript("llamacpp/text.sse" if backend == "llamacpp" else "ollama/text.ndjson")) as served:
        connect(backend, base_url=served.base_url, model="m").chat([HELLO], tools=[tool])
        sent = served.requests[-1].json()["tools"][0]["function"]
    assert sent == {"name": "f", "parameters": parameters}


def test_a_picture_says_its_detail_or_nothing() -> None:
    picture: Any = {"type": "image_url", "image_url": {"url": "https://a.example/a.png", "detail": None}}
    (message,) = chat_request([{"role": "user", "content": [picture]}]).messages
    assert message.get("content") == [{"type": "image_url", "image_url": {"url": "https://a.example/a.png"}}]


@pytest.mark.parametrize("text", [None, 5])
def test_a_part_whose_text_is_none_is_refused(text: Any) -> None:
    message: Any = {"role": "user", "content": [{"type": "text", "text": text}]}
    with pytest.raises(InvalidRequest, match=r"messages\[0\]\.content\[0\]\.text is a"):
        chat_request([message])


def test_arguments_that_are_no_json_are_refused_by_their_place() -> None:
    call: Any = {"id": "a", "type": "function", "function": {"name": "f", "arguments": {"a": {1}}}}
    with pytest.raises(InvalidRequest, match=r"messages\[0\]\.tool_calls\[0\] has arguments that are no JSON"):
        chat_request([{"role": "assistant", "content": None, "tool_calls": [call]}])


def test_a_sound_that_a_tool_returns_comes_after_its_result() -> None:
    sound: Any = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    _, _, turn = chat_request([HELLO, {"role": "tool", "tool_call_id": "a", "content": [sound]}]).messages
    assert (turn["role"], list(turn.get("content") or ())[1:]) == ("user", [sound])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"extra_body": [1]}, "extra_body is a list"),
        ({"tools": [WEATHER], "tool_choice": 3}, "tool_choice is 3, which is none of the tools"),
        (
            {"tools": [{"function": {"name": "f", "parameters": "{}"}}]},
            r"tools\[0\] has parameters that are no JSON schema",
        ),
    ],
)
def test_a_field_of_another_form_is_refused_by_name(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        chat_request([HELLO], **fields)


@pytest.mark.parametrize("audio", ["UklGRg==", None, {}, {"data": b"RIFF", "format": "wav"}])
def test_a_sound_without_its_data_is_refused(audio: Any) -> None:
    part: Any = {"type": "input_audio", "input_audio": audio}
    with pytest.raises(InvalidRequest, match=r"messages\[0\]\.content\[0\]\.input_audio has no data"):
        chat_request([{"role": "user", "content": [part]}])


@pytest.mark.parametrize("fields", [{"prompt": None}, {"prompt": 5}, {"prompt": "a", "suffix": 5}, {"prompt": b"a"}])
def test_what_is_no_text_is_not_completed(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=r"(prompt|suffix) is a \w+, not a text"):
        completion_request(**cast("Any", {"suffix": None, **fields}))
    with pytest.raises(InvalidRequest, match="extra_body is a list"):
        completion_request("a", None, extra_body=cast("Any", [1]))


@pytest.mark.parametrize("backend", ["llamacpp", "ollama"])
@pytest.mark.parametrize("field", ["response_format", "tools"])
def test_a_schema_that_nests_too_deep_is_refused_before_anything_is_sent(
    connect: Connect, backend: str, field: str
) -> None:
    deep: dict[str, Any] = {"type": "integer"}
    for _ in range(5000):
        deep = {"type": "object", "properties": {"a": deep}}
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": deep}}
    tool = {"type": "function", "function": {"name": "a", "parameters": deep}}
    fields: dict[str, Any] = {"response_format": form, "tools": [tool]}
    with llamacpp_server() as llamacpp, ollama_server() as ollama:
        server = llamacpp if backend == "llamacpp" else ollama
        with pytest.raises(InvalidRequest, match="nests too deep"):
            connect(backend, base_url=server.base_url, model="m").chat([HELLO], **{field: fields[field]})
        assert [request for request in server.requests if request.method == "POST"] == []
