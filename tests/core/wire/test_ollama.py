"""Ollama's native dialect: requests as they are sent, lines as they are read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vessel_core.backends import OLLAMA
from vessel_core.errors import (
    InvalidMedia,
    InvalidRequest,
    ProtocolError,
    ServerError,
    StreamInterrupted,
    VesselError,
)
from vessel_core.types import ChatReply, Message, ResponseFormat, Timings, Usage
from vessel_core.wire import Dialect, Quirks, ollama
from vessel_core.wire.ollama import decode_embed, encode_chat, encode_embed

from tests.core.wire.play import TIME, WEATHER, ask, body_of, last, line, ollama_stream, play, told, tool
from tests.core.wire.test_tools import pieces as tool_pieces
from tests.core.wire.test_tools import values
from tests.fake_server import transcript

PNG = "iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "string"}}}
FORM: ResponseFormat = {"type": "json_schema", "json_schema": {"name": "Answer", "schema": SCHEMA}}


def sent(*messages: Message, **fields: Any) -> dict[str, Any]:
    return body_of(encode_chat(ask(*messages, **fields), OLLAMA.quirks))


# ------------------------------------------------------------------------------------------------------------ requests


def test_the_module_is_a_dialect() -> None:
    dialect: Dialect = ollama
    assert dialect.encode_embed(["a"], "m", None).path == "/api/embed"


def test_a_request_says_that_it_is_streamed() -> None:
    call = encode_chat(ask(), Quirks())
    assert (call.method, call.path, call.stream) == ("POST", "/api/chat", True)
    assert body_of(call) == {"model": "qwen3", "messages": [{"role": "user", "content": "Hello"}], "stream": True}


def test_a_model_must_be_named() -> None:
    with pytest.raises(InvalidRequest, match="name of a model"):
        sent(model=None)
    with pytest.raises(InvalidRequest, match="name of a model"):
        encode_embed(["a"], None, None)


def test_options_go_where_ollama_reads_them() -> None:
    body = sent(
        options={
            "max_tokens": 5,
            "temperature": 0.5,
            "top_k": 3,
            "min_p": 0.1,
            "seed": 7,
            "stop": "x",
            "repeat_penalty": 1.1,
            "num_ctx": 8192,
            "keep_alive": "5m",
            "logprobs": True,
            "top_logprobs": 2,
        }
    )
    assert body["options"] == {
        "num_predict": 5,
        "temperature": 0.5,
        "top_k": 3,
        "min_p": 0.1,
        "seed": 7,
        "stop": ["x"],
        "repeat_penalty": 1.1,
        "num_ctx": 8192,
    }
    assert (body["keep_alive"], body["logprobs"], body["top_logprobs"]) == ("5m", True, 2)
    assert "max_tokens" not in body


@pytest.mark.parametrize(
    ("reasoning", "think"),
    [
        (True, True),
        (False, False),
        ("none", False),
        ("minimal", "low"),
        ("low", "low"),
        ("high", "high"),
        ("max", "max"),
    ],
)
def test_thinking_is_switched_by_think(reasoning: bool | str, think: bool | str) -> None:
    assert sent(options={"reasoning": reasoning})["think"] == think


def test_keeping_a_model_for_no_time_is_said() -> None:
    assert sent(options={"keep_alive": 0})["keep_alive"] == 0


def test_extra_fields_stand_beside_ours() -> None:
    body = sent(options={"seed": 7}, extra_body={"truncate": False, "options": {"num_gpu": 1, "seed": 8}})
    assert (body["truncate"], body["options"]) == (False, {"seed": 8, "num_gpu": 1})


def test_parts_become_a_text_and_bare_base64() -> None:
    message: Message = {
        "role": "user",
        "content": [
            {"type": "text", "text": "What"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            {"type": "text", "text": "is it?"},
            {"type": "image_url", "image_url": {"url": PNG}},
        ],
    }
    assert sent(message)["messages"] == [{"role": "user", "content": "What\nis it?", "images": [PNG, PNG]}]


@pytest.mark.parametrize(
    "url", ["http://example.com/a.png", "HTTPS://example.com/a.png", "data:image/svg+xml;base64,AA==", "/etc/passwd"]
)
def test_a_picture_ollama_does_not_take_is_refused(url: str) -> None:
    with pytest.raises(InvalidMedia):
        sent({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]})


def test_sound_is_refused() -> None:
    with pytest.raises(InvalidMedia, match="audio"):
        sent({"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}]})


def called(name: str = "get_weather", arguments: str = '{"city": "Paris"}', call_id: str = "a") -> Message:
    call: Any = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": None, "reasoning": "hm", "tool_calls": [call]}


def test_a_tool_turn_goes_back_with_arguments_as_an_object_and_the_tools_name() -> None:
    result: Message = {"role": "tool", "content": "sunny", "tool_call_id": "a"}
    assert sent(called(), result)["messages"] == [
        {
            "role": "assistant",
            "content": "",
            "thinking": "hm",
            "tool_calls": [
                {"id": "a", "function": {"index": 0, "name": "get_weather", "arguments": {"city": "Paris"}}}
            ],
        },
        {"role": "tool", "content": "sunny", "tool_name": "get_weather", "tool_call_id": "a"},
    ]


def test_text_parts_alone_bring_no_pictures_and_a_result_without_an_id_none() -> None:
    parts: Message = {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    assert sent(parts)["messages"] == [{"role": "user", "content": "a\nb"}]
    assert sent({"role": "tool", "content": "sunny", "name": "f"})["messages"] == [
        {"role": "tool", "content": "sunny", "tool_name": "f"}
    ]


def test_a_tool_result_says_its_name_itself_or_none() -> None:
    named: Message = {"role": "tool", "content": "sunny", "tool_call_id": "a", "name": "other"}
    assert sent(called(), named)["messages"][1]["tool_name"] == "other"
    assert "tool_name" not in sent({"role": "tool", "content": "sunny", "tool_call_id": "b"})["messages"][0]


@pytest.mark.parametrize(("text", "arguments"), [("", {}), ('"{\\"a\\": 1}"', {"a": 1})])
def test_odd_arguments_of_the_history_become_an_object(text: str, arguments: dict[str, Any]) -> None:
    assert sent(called(arguments=text))["messages"][0]["tool_calls"][0]["function"]["arguments"] == arguments


def test_arguments_of_the_history_that_are_no_object_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="get_weather"):
        sent(called(arguments='{"city": "Par'))


def test_tools_are_sent_with_what_ollama_drops_written_another_way() -> None:
    function = tool("f", at={"$ref": "#/$defs/At"}, kind={"const": "a"}, size={"oneOf": [{"type": "string"}]})[
        "function"
    ]
    parameters = {**function.get("parameters", {}), "$defs": {"At": {"type": "string"}}}
    body = sent(
        tools=[
            {"type": "function", "function": {"name": "f", "parameters": parameters}},
            {"type": "function", "function": {"name": "g"}},
        ]
    )
    assert body["tools"][0]["function"]["parameters"]["properties"] == {
        "at": {"type": "string"},
        "kind": {"enum": ["a"]},
        "size": {"anyOf": [{"type": "string"}]},
    }
    assert body["tools"][1]["function"] == {"name": "g", "parameters": {"type": "object", "properties": {}}}
    assert "format" not in body


CITY = {"type": "object", "properties": {"name": {"type": "string"}}, "description": "A city."}


@pytest.mark.parametrize(
    ("schema", "kept"),
    [
        ({"allOf": [{"$ref": "#/$defs/City"}], "description": "Where"}, {**CITY, "description": "Where"}),
        ({"allOf": [CITY], "type": "object"}, CITY),
        ({"allOf": [{"allOf": [CITY]}], "title": "A"}, {**CITY, "title": "A"}),
        ({"allOf": [CITY], "properties": {"x": {}}}, {"allOf": [CITY], "properties": {"x": {}}}),
        ({"allOf": [CITY, {"required": ["name"]}]}, {"allOf": [CITY, {"required": ["name"]}]}),
    ],
)
def test_an_all_of_one_is_sent_as_that_one_and_nothing_is_lost(schema: Any, kept: Any) -> None:
    parameters = {"type": "object", "properties": {"a": schema}, "$defs": {"City": CITY}}
    body = sent(tools=[{"type": "function", "function": {"name": "f", "parameters": parameters}}])
    assert body["tools"][0]["function"]["parameters"]["properties"]["a"] == kept


def test_no_choice_is_a_request_without_tools() -> None:
    assert "tools" not in sent(tools=[WEATHER], tool_choice="none")


def test_json_is_asked_for_by_format() -> None:
    assert sent(response_format={"type": "json_object"})["format"] == "json"
    assert sent(response_format=FORM)["format"] == SCHEMA
    assert "format" not in sent(response_format={"type": "text"})
    assert sent(response_format=FORM, tools=[WEATHER], tool_choice="none")["format"] == SCHEMA


def test_tools_and_a_response_format_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="combine tools"):
        sent(response_format=FORM, tools=[WEATHER])


def test_a_forced_tool_is_sent_alone_with_its_schema_as_the_format() -> None:
    body = sent(tools=[WEATHER, TIME], tool_choice="get_weather")
    assert [each["function"]["name"] for each in body["tools"]] == ["get_weather"]
    assert body["format"] == WEATHER["function"].get("parameters")


def test_some_tool_is_forced_by_a_choice_of_calls() -> None:
    body = sent(tools=[WEATHER, TIME], tool_choice="required")
    assert len(body["tools"]) == 2
    first, second = body["format"]["anyOf"]
    assert first["properties"] == {
        "name": {"type": "string", "enum": ["get_weather"]},
        "arguments": WEATHER["function"].get("parameters"),
    }
    assert second["required"] == ["name", "arguments"]


# ------------------------------------------------------------------------------------------------------------- replies

ONE = {"tools": [WEATHER, TIME], "tool_choice": "get_weather"}
ANY = {"tools": [WEATHER, TIME], "tool_choice": "required"}


def bound(text: str, finish: str = "stop", **fields: Any) -> ChatReply:
    """Return what comes of a text that was bound to be a call."""
    halves = [text[: len(text) // 2], text[len(text) // 2 :]]
    return told(*(line({"role": "assistant", "content": half}) for half in halves), last(done_reason=finish), **fields)


def calls(reply: ChatReply) -> list[tuple[str, Any]]:
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in reply.tool_calls]


def test_text_thinking_and_counts_are_read() -> None:
    reply = told(
        line({"role": "assistant", "content": "", "thinking": "hm"}),
        line({"role": "assistant", "content": "Hi"}),
        last(
            total_duration=5_000_000,
            load_duration=1_000_000,
            prompt_eval_count=9,
            prompt_eval_duration=2_000_000,
            eval_count=4,
            eval_duration=2_000_000,
        ),
    )
    assert (reply.text, reply.reasoning, reply.finish, reply.model) == ("Hi", "hm", "stop", "qwen3")
    assert reply.usage == Usage(9, 4, 13)
    assert reply.timings == Timings(
        prompt_tokens=9, prompt_ms=2.0, completion_tokens=4, completion_ms=2.0, load_ms=1.0, total_ms=5.0
    )
    assert reply.timings is not None
    assert reply.timings.tokens_per_second == 2000


def test_the_finish_brings_usage_and_timings_in_one_delta() -> None:
    deltas = ollama_stream().feed(line({"role": "assistant", "content": "Hi"}) + last(eval_count=1))
    assert [(delta.text, delta.finish, delta.usage) for delta in deltas] == [
        ("Hi", None, None),
        ("", "stop", Usage(0, 1, 1)),
    ]


def test_quirk_43_counts_that_are_zero_are_left_out() -> None:
    reply = told(line({"role": "assistant", "content": "Hi"}), last(total_duration=1_000_000))
    assert reply.usage is None
    assert reply.timings == Timings(total_ms=1.0)
    assert told(last(done_reason=None)).timings is None


def test_quirk_41_the_finish_is_tool_calls_though_ollama_says_stop() -> None:
    for name in ("ollama/tool.ndjson", "ollama/thinking_tool.ndjson"):
        reply = play(ollama_stream(), [transcript(name)]).reply
        assert (calls(reply), reply.finish) == ([("get_weather", {"city": "Tokyo"})], "tool_calls")


@pytest.mark.parametrize("given_id", [{}, {"id": ""}, {"id": "call_1"}])
def test_quirk_50_calls_of_one_line_stay_apart_with_equal_ids_or_none(given_id: dict[str, str]) -> None:
    both = [{**given_id, "function": {"index": 0, "name": "get_time", "arguments": {"tz": zone}}} for zone in "AB"]
    reply = told(line({"role": "assistant", "content": "", "tool_calls": both}), last())
    assert calls(reply) == [("get_time", {"tz": "A"}), ("get_time", {"tz": "B"})]
    assert len({call["id"] for call in reply.tool_calls}) == 2


def test_an_unset_reason_is_stop_and_an_unknown_one_is_passed_on() -> None:
    assert told(line({"role": "assistant", "content": "Hi"}), last(done_reason=None)).finish == "stop"
    assert told(line({"role": "assistant", "content": "Hi"}), last(done_reason="other")).finish == "other"


@pytest.mark.parametrize("reason", ["load", "unload"])
def test_a_model_that_was_only_loaded_is_no_empty_answer(reason: str) -> None:
    with pytest.raises(ServerError, match=f"{reason}ed the model and wrote no answer") as caught:
        told(last(done_reason=reason))
    assert "message of the user" in str(caught.value.hint)


def test_an_answer_may_be_empty() -> None:
    assert told(last()).finish == "stop"


def test_what_follows_the_done_line_is_ignored() -> None:
    stream = ollama_stream()
    stream.feed(last() + line({"role": "assistant", "content": "more"}) + b"nonsense\n")
    assert stream.done
    assert stream.feed(b"more nonsense\n") == []


@pytest.mark.parametrize(("name", "words"), [("ollama/cut.ndjson", "repeated itself"), (None, "failed to load")])
def test_a_stream_without_a_done_line_was_cut(name: str | None, words: str) -> None:
    error = play(ollama_stream(), [transcript(name)] if name else []).error
    assert isinstance(error, StreamInterrupted)
    assert words in str(error)


def test_a_whole_reply_that_is_not_done_was_cut() -> None:
    with pytest.raises(StreamInterrupted):
        ollama_stream().whole(line({"role": "assistant", "content": "Hi"}))


def test_logprobs_are_read() -> None:
    token: dict[str, Any] = {"token": "Hi", "logprob": -0.5, "top_logprobs": []}
    assert told(line({"role": "assistant", "content": "Hi"}, logprobs=[token]), last()).logprobs == [token]


@pytest.mark.parametrize(
    ("characters", "counted", "cut"),
    [(80_000, 4096, True), (12_000, 4096, False), (1900, 10, False), (80_000, 0, False)],
)
def test_a_prompt_the_server_must_have_cut_is_told(characters: int, counted: int, cut: bool) -> None:
    long: Message = {"role": "user", "content": [{"type": "text", "text": ("word " * characters)[:characters]}]}
    stream = ollama.ChatStream(ask(long), Quirks())
    reply = play(stream, [line({"role": "assistant", "content": "Hi"}), last(prompt_eval_count=counted)]).reply
    assert reply.truncated is cut


@pytest.mark.parametrize(
    ("text", "fields", "call"),
    [
        ('{"city": "Paris"}', ONE, ("get_weather", {"city": "Paris"})),
        ('\n{"city": "Paris"}\n', ONE, ("get_weather", {"city": "Paris"})),
        ('{"name": "get_weather", "arguments": {"city": "Paris"}}', ONE, ("get_weather", {"city": "Paris"})),
        ('<think>hm</think>{"city": "Paris"}', ONE, ("get_weather", {"city": "Paris"})),
        ('{"name": "get_time", "arguments": {"tz": "CET"}}', ANY, ("get_time", {"tz": "CET"})),
        ('{"tz": "CET"}', {"tools": [TIME], "tool_choice": "required"}, ("get_time", {"tz": "CET"})),
    ],
)
def test_a_text_bound_to_be_a_call_is_one(text: str, fields: dict[str, Any], call: tuple[str, Any]) -> None:
    reply = bound(text, **fields)
    assert (reply.text, calls(reply), reply.finish) == ("", [call], "tool_calls")


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("Sure, in Paris it is sunny.", ONE),
        ("", ONE),
        ("[1]", ONE),
        ('{"town": "Paris"}', ONE),
        ('{"city": 5}', ONE),
        ('{"city": "Paris"}', ANY),
        ('{"name": "other", "arguments": {}}', ANY),
        ('{"name": "get_time", "arguments": "CET"}', ANY),
        ('{"name": "get_time", "arguments": {}}', ANY),
    ],
)
def test_a_text_bound_to_be_a_call_that_is_none_stays_text(text: str, fields: dict[str, Any]) -> None:
    reply = bound(text, **fields)
    assert (reply.text, reply.tool_calls, reply.invalid_tool_calls, reply.finish) == (text, [], [], "stop")


def test_a_call_cut_off_by_length_is_invalid_and_no_error() -> None:
    reply = bound('{"city": "Par', "length", **ONE)
    assert (reply.finish, reply.tool_calls, reply.invalid_tool_calls[0].name) == ("length", [], "get_weather")
    reply = bound('{"name": "get_t', "length", **ANY)
    assert (reply.finish, reply.text) == ("length", '{"name": "get_t')


def test_a_call_the_server_read_itself_is_believed() -> None:
    call = {"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
    reply = told(line({"role": "assistant", "content": "So:", "tool_calls": [call]}), last(), **ONE)
    assert (reply.text, calls(reply)) == ("So:", [("get_weather", {"city": "Paris"})])


# ---------------------------------------------------------------------------------------------------------- embeddings


def test_quirk_82_a_text_too_long_is_to_be_refused_and_not_cut() -> None:
    assert body_of(encode_embed(["a", "b"], "m", 256)) == {
        "model": "m",
        "input": ["a", "b"],
        "truncate": False,
        "dimensions": 256,
    }


def test_vectors_are_read() -> None:
    body = json.dumps({"model": "m", "embeddings": [[0.1, 0.2], [0.3, 0.4]], "prompt_eval_count": 8}).encode()
    found = decode_embed(body, 2, None)
    assert (found.vectors, found.model, found.usage) == ([[0.1, 0.2], [0.3, 0.4]], "m", Usage(8, 0, 8))


@pytest.mark.parametrize(
    "body",
    [
        {"embeddings": ()},
        {"embeddings": [None]},
        {"embeddings": 7},
        {"embeddings": None},
        {},
        7,
        {"embeddings": [[float("nan")]]},
        {"embeddings": [["a"]]},
    ],
)
def test_anything_but_the_vectors_asked_for_is_an_error(body: object) -> None:
    with pytest.raises(ProtocolError):
        decode_embed(json.dumps(body).encode(), 1, None)


# ------------------------------------------------------------------------------------------------------------ anything

messages = st.fixed_dictionaries(
    {},
    optional={
        "content": st.sampled_from(["Hi", "<think>", "{}"]) | values,
        "thinking": values,
        "tool_calls": st.lists(tool_pieces | values, max_size=2) | values,
    },
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "model": values,
        "message": messages | values,
        "done": st.just(True) | values,
        "done_reason": st.sampled_from(["stop", "length", "load"]) | values,
        "error": values,
        "logprobs": values,
        "eval_count": values,
        "total_duration": values,
        "prompt_eval_count": values,
    },
)


@given(st.lists(documents | values, max_size=5), st.sampled_from([{}, ONE, ANY]))
def test_any_json_makes_deltas_or_an_error(given_documents: list[Any], fields: dict[str, Any]) -> None:
    lines = [json.dumps(document).encode() + b"\n" for document in given_documents]
    played = play(ollama_stream(**fields), lines)
    assert played.reply.text is not None
    assert play(ollama_stream(**fields), [b"".join(lines)]).same() == played.same()


@given(st.lists(st.binary(max_size=50) | st.sampled_from([b"\n", b'{"message":', b"{}}\n", last()])))
def test_any_bytes_make_deltas_or_an_error(pieces: list[bytes]) -> None:
    assert play(ollama_stream(), [b"".join(pieces)]).same() == play(ollama_stream(), pieces).same()


@given(values | st.fixed_dictionaries({"embeddings": values}))
def test_any_json_makes_vectors_or_an_error(document: Any) -> None:
    try:
        found = decode_embed(json.dumps(document).encode(), 1, None)
    except VesselError:
        return
    assert len(found.vectors) == 1
