"""The OpenAI-compatible dialect: requests as they are sent, chunks as they are read."""

from __future__ import annotations

import base64
import json
import struct
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vessel_core.errors import InvalidMedia, InvalidRequest, ProtocolError, StreamInterrupted, VesselError
from vessel_core.types import Message, ResponseFormat, Timings, Usage
from vessel_core.wire import Quirks, Reply
from vessel_core.wire.failures import json_body
from vessel_core.wire.openai import decode_embed, encode_chat, encode_embed

from tests.core.wire.play import DONE, STOP, TIME, WEATHER, ask, body_of, chunk, event, openai_stream, play, said
from tests.core.wire.test_tools import pieces as tool_pieces
from tests.core.wire.test_tools import values
from tests.fake_server import transcript

PNG = "data:image/png;base64,iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FORM: ResponseFormat = {"type": "json_schema", "json_schema": {"name": "Answer", "schema": SCHEMA, "strict": True}}


def sent(*messages: Message, quirks: Quirks | None = None, **fields: Any) -> dict[str, Any]:
    return body_of(encode_chat(ask(*messages, **fields), quirks or Quirks()))


# ------------------------------------------------------------------------------------------------------------ requests


def test_a_request_is_streamed_with_usage() -> None:
    call = encode_chat(ask(), Quirks())
    assert (call.method, call.path, call.stream) == ("POST", "/v1/chat/completions", True)
    assert body_of(call) == {
        "model": "qwen3",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_the_model_may_be_left_to_the_server() -> None:
    assert "model" not in sent(model=None)


def test_no_null_is_sent() -> None:
    history: list[Message] = [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "get_time", "arguments": ""}}],
        },
        {"role": "tool", "content": "10:00", "tool_call_id": "a", "name": "get_time"},
    ]
    body = sent(*history)
    assert "null" not in json.dumps(body)
    call = body["messages"][0]["tool_calls"][0]
    assert call == {"id": "a", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    assert body["messages"][1] == {"role": "tool", "content": "10:00", "tool_call_id": "a", "name": "get_time"}


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_goes_back_in_the_field_the_server_reads(field: str) -> None:
    message: Message = {"role": "assistant", "content": "Hi", "reasoning": "hm"}
    assert sent(message, quirks=Quirks(reasoning_field=field))["messages"][0] == {
        "role": "assistant",
        "content": "Hi",
        field: "hm",
    }
    assert sent(message, quirks=Quirks(reasoning_field=None))["messages"][0] == {"role": "assistant", "content": "Hi"}


def test_options_are_sent_by_their_names_and_extra_body_last() -> None:
    body = sent(options={"max_tokens": 5, "temperature": 0.0, "stop": ["x"]}, extra_body={"temperature": 1, "dry": 2})
    assert (body["max_tokens"], body["temperature"], body["stop"], body["dry"]) == (5, 1, ["x"], 2)


@pytest.mark.parametrize(
    ("reasoning", "template", "effort"),
    [
        (True, {"chat_template_kwargs": {"enable_thinking": True}}, {"reasoning_effort": "medium"}),
        (False, {"chat_template_kwargs": {"enable_thinking": False}}, {"reasoning_effort": "none"}),
        (
            "none",
            {"chat_template_kwargs": {"enable_thinking": False}, "reasoning_effort": "none"},
            {"reasoning_effort": "none"},
        ),
        (
            "high",
            {"chat_template_kwargs": {"enable_thinking": True}, "reasoning_effort": "high"},
            {"reasoning_effort": "high"},
        ),
    ],
)
def test_thinking_is_switched_as_the_server_takes_it(
    reasoning: bool | str, template: dict[str, Any], effort: dict[str, Any]
) -> None:
    plain = sent()
    for quirks, expected in ((Quirks(thinking="template"), template), (Quirks(thinking="effort"), effort)):
        body = sent(options={"reasoning": reasoning}, quirks=quirks)
        assert {name: value for name, value in body.items() if name not in plain} == expected


def test_tools_are_sent_with_their_choice_as_a_string() -> None:
    body = sent(tools=[WEATHER, TIME], tool_choice="required", parallel_tool_calls=False)
    assert body["tools"] == [WEATHER, TIME]
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("required", False)
    assert "tool_choice" not in sent(tools=[WEATHER])


def test_one_tool_is_forced_by_sending_it_alone() -> None:
    body = sent(tools=[WEATHER, TIME], tool_choice="get_time")
    assert (body["tools"], body["tool_choice"]) == ([TIME], "required")


def test_a_schema_is_sent_in_the_nested_form() -> None:
    assert sent(response_format=FORM)["response_format"] == FORM
    assert "response_format" not in sent(response_format={"type": "text"})


def test_any_json_is_asked_for_as_the_server_takes_it() -> None:
    json_object: ResponseFormat = {"type": "json_object"}
    assert sent(response_format=json_object)["response_format"] == json_object
    body = sent(response_format=json_object, quirks=Quirks(json_object=False))
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "json", "schema": {"type": "object"}},
    }
    beside: ResponseFormat = {"type": "json_object", "json_schema": {"name": "Answer", "schema": SCHEMA}}
    body = sent(response_format=beside, quirks=Quirks(json_object_schema=True))
    assert body["response_format"] == {"type": "json_object", "schema": SCHEMA}


def test_tools_and_a_schema_are_refused_where_one_excludes_the_other() -> None:
    quirks = Quirks(schema_with_tools=False)
    with pytest.raises(InvalidRequest, match="combine tools"):
        sent(response_format=FORM, tools=[WEATHER], quirks=quirks)
    assert "response_format" in sent(response_format=FORM, tools=[WEATHER], tool_choice="none", quirks=quirks)
    assert "response_format" in sent(response_format=FORM, tools=[WEATHER])


def picture(url: str) -> Message:
    return {
        "role": "user",
        "content": [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": url}}],
    }


@pytest.mark.parametrize("url", [PNG, "iVBORw0KGgo="])
def test_a_picture_is_sent_as_a_data_url(url: str) -> None:
    assert sent(picture(url))["messages"][0]["content"][1] == {"type": "image_url", "image_url": {"url": PNG}}


def test_a_picture_the_server_does_not_take_is_refused() -> None:
    with pytest.raises(InvalidMedia, match="image/png"):
        sent(picture("data:image/webp;base64,AAAA"), quirks=Quirks(image_types=frozenset({"image/png"})))
    with pytest.raises(InvalidMedia, match="does not fetch"):
        sent(picture("https://example.com/a.png"), quirks=Quirks(image_urls=False))
    assert sent(picture("https://example.com/a.png"))["messages"][0]["content"][1]["image_url"] == {
        "url": "https://example.com/a.png"
    }


def test_sound_is_sent_as_it_is() -> None:
    message: Message = {
        "role": "user",
        "content": [{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}],
    }
    assert sent(message)["messages"][0] == message


def test_quirk_86_a_model_name_is_sent_as_it_is() -> None:
    name = "hf.co/bartowski/Llama 3:Q4@x.gguf"
    assert sent(model=name)["model"] == name


# ------------------------------------------------------------------------------------------------------------- replies


def test_quirk_31_the_model_that_answered_is_kept() -> None:
    reply = said(
        event({"model": "other", "id": "x", "system_fingerprint": "b1", "choices": [{"delta": {"content": "Hi"}}]})
    )
    assert (reply.model, reply.response_id, reply.system_fingerprint) == ("other", "x", "b1")


@pytest.mark.parametrize("choices", [{}, {"choices": None}, {"choices": []}, {"choices": {}}, {"choices": 7}])
def test_quirk_33_a_chunk_without_choices_may_hold_usage(choices: dict[str, Any]) -> None:
    usage = event({**choices, "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}})
    reply = said(usage, chunk({"content": "Hi"}))
    assert (reply.text, reply.usage) == ("Hi", Usage(1, 2, 3))


@pytest.mark.parametrize("choice", [{"delta": None}, {"delta": []}, {"delta": "x"}, {"message": None}, {}])
def test_quirk_34_a_delta_may_be_missing(choice: dict[str, Any]) -> None:
    assert said(event({"choices": [{"index": 0, **choice}]}), chunk({"content": "Hi"})).text == "Hi"


def test_quirk_34_a_message_in_place_of_a_delta_is_read() -> None:
    assert said(event({"choices": [{"index": 0, "message": {"content": "Hi"}}]})).text == "Hi"


@pytest.mark.parametrize("content", [None, ""])
def test_quirk_35_empty_text_is_no_delta(content: str | None) -> None:
    assert openai_stream().feed(chunk({"role": "assistant", "content": content})) == []


@pytest.mark.parametrize("role", [{"role": "assistant"}, {"role": None}, {}])
def test_quirk_36_the_role_says_nothing(role: dict[str, Any]) -> None:
    assert said(chunk({**role, "content": "Hel"}), chunk({**role, "content": "lo"})).text == "Hello"


def test_quirk_37_prompt_progress_is_told() -> None:
    played = play(openai_stream(), [transcript("llamacpp/progress.sse")])
    progress = [delta.progress for delta in played.deltas if delta.progress]
    assert [(step.completed, step.total, step.unit) for step in progress] == [(83, 496, "tokens"), (496, 496, "tokens")]


@pytest.mark.parametrize("finish", ["", None])
def test_quirk_38_an_empty_finish_is_none(finish: str | None) -> None:
    assert said(chunk({"content": "Hel"}, finish), chunk({"content": "lo"})).text == "Hello"


@pytest.mark.parametrize("finish", ["abort", "eos", "content_filter"])
def test_quirk_38_an_unknown_finish_is_passed_on(finish: str) -> None:
    assert said(chunk({"content": "Hi"}), end=[chunk({}, finish)]).finish == finish


def test_quirk_39_the_finish_chunk_may_hold_text() -> None:
    reply = said(end=[chunk({"content": "Hi"}, "stop")])
    assert (reply.text, reply.finish) == ("Hi", "stop")


def test_quirk_39_the_finish_chunk_may_hold_whole_calls() -> None:
    reply = play(openai_stream(), [transcript("textgen/calls_with_finish.sse")]).reply
    assert (len(reply.tool_calls), reply.finish) == (1, "tool_calls")


def test_quirk_40_the_first_finish_wins() -> None:
    reply = said(chunk({"content": "Hi"}), end=[STOP, chunk({"content": "!"}, "length"), DONE])
    assert (reply.text, reply.finish) == ("Hi", "stop")


CALL = {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "get_time", "arguments": "{}"}}]}


def test_quirk_41_calls_tell_the_finish() -> None:
    assert said(chunk(CALL), end=[STOP]).finish == "tool_calls"
    assert said(chunk({"content": "Hi"}), end=[chunk({}, "tool_calls")]).finish == "stop"
    assert said(chunk(CALL), end=[DONE]).finish == "tool_calls"


def test_quirk_42_the_last_usage_counts() -> None:
    def usage(completion: int) -> dict[str, Any]:
        return {"usage": {"prompt_tokens": 1, "completion_tokens": completion, "total_tokens": 1 + completion}}

    played = play(
        openai_stream(),
        [
            chunk({"content": "Hel"}, **usage(1)),
            chunk({"content": "lo"}, **usage(2)),
            chunk({}, "stop", usage=None),
            DONE,
        ],
    )
    assert [delta.usage for delta in played.deltas if delta.usage] == [Usage(1, 2, 3)]


def test_quirk_42_two_choices_have_two_answers_and_one_usage() -> None:
    reply = play(openai_stream(), [transcript("llamacpp/two_choices.sse")]).reply
    assert (reply.text, [other.text for other in reply.alternatives]) == ("zero", ["one"])
    assert (reply.finish, reply.alternatives[0].finish) == ("length", "stop")


@pytest.mark.parametrize("usage", [None, {}, [], "x", 7, {"prompt_tokens": 10**400}, {"prompt_tokens": -1}])
def test_quirk_43_usage_may_be_missing(usage: object) -> None:
    assert said(chunk({"content": "Hi"}, usage=usage)).usage in (None, Usage())


def test_the_index_of_a_choice_may_be_a_text() -> None:
    parts = [("1", "b"), ("0", "a"), ("1", "d"), ("0", "c")]
    reply = said(*(event({"choices": [{"index": at, "delta": {"content": text}}]}) for at, text in parts), end=[DONE])
    assert [reply.text, *(other.text for other in reply.alternatives)] == ["ac", "bd"]


def test_a_choice_that_never_began_is_missed_unless_done_says_that_there_are_no_more() -> None:
    frames = [chunk({"content": "Hi"}), STOP]
    played = play(openai_stream(options={"n": 2}), frames)
    assert (played.reply.text, type(played.error)) == ("Hi", StreamInterrupted)
    assert play(openai_stream(options={"n": 2}), [*frames, DONE]).error is None


def test_quirk_43_counts_may_be_missing_or_nonsense() -> None:
    odd: dict[str, Any] = {
        "prompt_tokens": None,
        "completion_tokens": "x",
        "prompt_tokens_details": 7,
        "completion_tokens_details": [],
    }
    assert said(chunk({"content": "Hi"}, usage={**odd, "total_tokens": float("inf")})).usage is None


def test_cached_and_reasoning_tokens_are_read() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 5}, "completion_tokens_details": {"reasoning_tokens": 3}}
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13, **details}
    assert said(chunk({"content": "Hi"}, usage=usage)).usage == Usage(9, 4, 13, 5, 3)


def test_timings_are_read_where_they_stand() -> None:
    timings = play(openai_stream(), [transcript("llamacpp/timings_on_finish.sse")]).reply.timings
    assert timings == Timings(
        prompt_tokens=58, prompt_ms=8.332, completion_tokens=10, completion_ms=1.896, cached_tokens=40
    )
    assert timings is not None
    assert timings.tokens_per_second == pytest.approx(5274.26, abs=0.01)


def test_quirk_44_text_may_be_a_list_of_parts() -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}, {"type": "image"}, None, 7]
    assert said(chunk({"content": parts})).text == "Hello"


def test_quirk_45_nan_and_lone_surrogates_are_taken() -> None:
    frame = (
        b'data: {"choices":[{"index":0,"delta":{"content":"a\\ud83d"},"logprobs":{"content":[{"token":"a",'
        b'"logprob":NaN}]}}]}\n\n'
    )
    reply = said(frame)
    assert reply.text == "a\ufffd"
    assert reply.logprobs is not None
    assert reply.logprobs[0]["token"] == "a"


@pytest.mark.parametrize("head", [{"created": 1.5, "id": None}, {"created": "x", "id": ""}, {"created": 0, "id": 7}])
def test_quirk_46_created_and_id_may_be_anything(head: dict[str, Any]) -> None:
    assert said(chunk({"content": "Hi"}, **head)).text == "Hi"


def test_quirk_47_an_id_that_changes_is_the_first() -> None:
    reply = said(chunk({"content": "Hel"}, id="a"), chunk({"content": "lo"}, id="b"))
    assert (reply.text, reply.response_id) == ("Hello", "a")


def test_a_refusal_is_told_apart_from_text() -> None:
    reply = said(chunk({"refusal": "I can't"}))
    assert (reply.text, reply.refusal) == ("", "I can't")


def test_an_answer_may_be_empty() -> None:
    assert said().finish == "stop"


# ---------------------------------------------------------------------------------------------------------- embeddings


def embedded(*vectors: object, **fields: Any) -> bytes:
    data = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return json.dumps({"object": "list", "model": "m", "data": data, **fields}).encode()


def test_quirk_83_texts_are_sent_as_texts() -> None:
    call = encode_embed(["a", "b"], "m", 256)
    assert call.path == "/v1/embeddings"
    assert body_of(call) == {"input": ["a", "b"], "encoding_format": "base64", "model": "m", "dimensions": 256}
    assert body_of(encode_embed(["a"], None, None)) == {"input": ["a"], "encoding_format": "base64"}


def test_vectors_come_with_their_model_and_usage() -> None:
    found = decode_embed(embedded([1.0, 2.0], usage={"prompt_tokens": 2, "total_tokens": 2}), 1, 2)
    assert (found.vectors, found.model, found.usage) == ([[1.0, 2.0]], "m", Usage(2, 0, 2))


@pytest.mark.parametrize("last", [1, "1", 1.0])
def test_quirk_75_vectors_are_put_in_the_order_of_the_texts(last: object) -> None:
    data = [{"index": last, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]
    assert decode_embed(json.dumps({"data": data}).encode(), 2, None).vectors == [[1.0], [2.0]]


@pytest.mark.parametrize("indices", [(3, 2, 1), (9, 4, 0)])
def test_quirk_75_vectors_are_put_in_order_wherever_their_numbers_begin(indices: tuple[int, ...]) -> None:
    data = [{"index": index, "embedding": [float(index)]} for index in indices]
    assert decode_embed(json.dumps({"data": data}).encode(), 3, None).vectors == [[float(at)] for at in sorted(indices)]


def test_quirk_75_a_number_that_is_left_out_is_zero() -> None:
    data = [{"index": 2, "embedding": [2.0]}, {"embedding": [0.0]}, {"index": 1, "embedding": [1.0]}]
    assert decode_embed(json.dumps({"data": data}).encode(), 3, None).vectors == [[0.0], [1.0], [2.0]]


@pytest.mark.parametrize("indices", [(2, 0, 0), (None, 1, 0), (None, None, 1), (0, 0, 1.5)])
def test_quirk_75_numbers_that_contradict_each_other_are_an_error(indices: tuple[object, ...]) -> None:
    data = [{"index": index, "embedding": [1.0]} for index in indices]
    with pytest.raises(ProtocolError, match="not each by a number of its own"):
        decode_embed(json.dumps({"data": data}).encode(), 3, None)


@pytest.mark.parametrize("indices", [(0, 0), (None, None), ("b", "a"), (None, 4)])
def test_quirk_75_without_whole_indices_the_order_is_kept(indices: tuple[object, object]) -> None:
    data = [{"index": index, "embedding": [float(at)]} for at, index in enumerate(indices)]
    assert decode_embed(json.dumps({"data": data}).encode(), 2, None).vectors == [[0.0], [1.0]]


@pytest.mark.parametrize("count", [1, 3])
def test_quirk_76_another_number_of_vectors_is_an_error(count: int) -> None:
    with pytest.raises(ProtocolError, match="2 vectors for"):
        decode_embed(embedded([1.0], [2.0]), count, None)


def test_quirk_77_one_nested_row_is_the_vector_and_several_are_an_error() -> None:
    assert decode_embed(b'[{"index":0,"embedding":[[1.0,2.0]]}]', 1, None).vectors == [[1.0, 2.0]]
    with pytest.raises(ProtocolError, match="one for each token"):
        decode_embed(embedded([[1.0], [2.0]]), 1, None)


def test_quirk_78_floats_and_base64_are_told_by_their_type() -> None:
    packed = base64.b64encode(struct.pack("<3f", 0.5, -1.0, 2.0)).decode()
    assert decode_embed(embedded(packed, [0.5, -1, 2]), 2, 3).vectors == [[0.5, -1.0, 2.0]] * 2


def test_quirk_78_base64_is_read_on_a_machine_of_the_other_byte_order_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "byteorder", "big")
    packed = base64.b64encode(struct.pack(">2f", 0.5, -1.0)).decode()
    assert [list(vector) for vector in decode_embed(embedded(packed), 1, 2).vectors] == [[0.5, -1.0]]


@pytest.mark.parametrize("vector", [[1.0, float("nan")], [None, 1.0], ["a"], [float("inf")], [{}], [10**400, 0.5]])
def test_quirk_80_a_vector_of_anything_but_numbers_is_an_error(vector: list[Any]) -> None:
    with pytest.raises(ProtocolError, match="NaN"):
        decode_embed(embedded(vector), 1, None)


def test_quirk_80_a_vector_of_zeros_is_passed_on() -> None:
    assert decode_embed(embedded([0.0, 0.0]), 1, None).vectors == [[0.0, 0.0]]


def test_quirk_81_other_dimensions_than_asked_for_are_an_error() -> None:
    with pytest.raises(ProtocolError, match="256 dimensions were asked for and 2 came"):
        decode_embed(embedded([1.0, 2.0]), 1, 256)


@pytest.mark.parametrize("vector", ["no base64", "AAA=", None, 7, {}, [], [[]]])
def test_what_is_no_vector_is_an_error(vector: object) -> None:
    with pytest.raises(ProtocolError):
        decode_embed(embedded(vector), 1, None)


def test_vectors_of_different_lengths_are_an_error() -> None:
    with pytest.raises(ProtocolError, match="different lengths"):
        decode_embed(embedded([1.0], [1.0, 2.0]), 2, None)


def test_quirk_84_a_list_that_is_null_is_empty() -> None:
    assert json_body(Reply(200, body=b'{"object":"list","data":null}'))["data"] is None
    assert decode_embed(b'{"object":"list","data":null}', 0, None).vectors == []


# ------------------------------------------------------------------------------------------------------------ anything


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {**one, **other}


chunk_names = ["choices", "usage", "timings", "prompt_progress", "error", "model", "id", "object"]
delta_names = ["content", "reasoning_content", "reasoning", "reasoning_details", "refusal", "function_call", "role"]
delta_values = st.sampled_from(["Hi", "<think>", "</think>"]) | values
deltas = st.builds(
    merged,
    st.dictionaries(st.sampled_from(delta_names), delta_values, max_size=3),
    st.fixed_dictionaries({}, optional={"tool_calls": st.lists(tool_pieces, max_size=2) | values}),
)
choices = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(0, 1) | values,
        "delta": deltas | values,
        "message": deltas | values,
        "finish_reason": st.sampled_from(["stop", "tool_calls", ""]) | values,
        "logprobs": st.fixed_dictionaries({}, optional={"content": values}) | values,
    },
)
usages = st.dictionaries(st.sampled_from(["prompt_tokens", "prompt_tokens_details", "prompt_n", "total"]), values)
chunks = st.builds(
    merged,
    st.dictionaries(st.sampled_from(chunk_names), usages | values, max_size=2),
    st.fixed_dictionaries({}, optional={"choices": st.lists(choices | values, max_size=2)}),
)


@given(st.lists(chunks | values, max_size=5), st.booleans())
def test_any_json_makes_deltas_or_an_error(documents: list[Any], done: bool) -> None:
    frames = [event(document) for document in documents]
    played = play(openai_stream(tools=[WEATHER]), [*frames, *([DONE] if done else [])])
    assert played.reply.text is not None
    assert play(openai_stream(tools=[WEATHER]), [b"".join(frames), *([DONE] if done else [])]).same() == played.same()


@given(st.lists(st.binary(max_size=50) | st.sampled_from([b"data: ", b"\n\n", b'{"choices":', b"[{}]}", STOP, DONE])))
def test_any_bytes_make_deltas_or_an_error(frames: list[bytes]) -> None:
    assert play(openai_stream(), [b"".join(frames)]).same() == play(openai_stream(), frames).same()


@given(values | st.fixed_dictionaries({"data": st.lists(st.fixed_dictionaries({"embedding": values}) | values)}))
def test_any_json_makes_vectors_or_an_error(document: Any) -> None:
    try:
        found = decode_embed(json.dumps(document).encode(), 1, None)
    except VesselError:
        return
    assert len(found.vectors) == 1


@given(st.lists(st.tuples(st.sampled_from(["content", "reasoning_content"]), st.text(min_size=1)), max_size=8))
def test_any_stream_adds_up_to_its_parts(parts: list[tuple[str, str]]) -> None:
    reply = said(*(chunk({name: text}) for name, text in parts), quirks=Quirks(think_tags=False))
    whole = "".join(text for name, text in parts if name == "content")
    thought = "".join(text for name, text in parts if name != "content")
    assert (reply.text, reply.reasoning) == (whole, thought)


def test_a_call_without_arguments_is_cut_off_if_done_comes_in_place_of_a_finish() -> None:
    blank = {"tool_calls": [{"index": 0, "id": "a1b2c3", "function": {"name": "get_weather", "arguments": ""}}]}
    cut = said(chunk({"content": "I look."}), chunk(blank), end=[DONE], tools=[WEATHER])
    assert cut.tool_calls == []
    assert [call.error for call in cut.invalid_tool_calls] == [
        "it was cut off before its arguments (no finish reason came)"
    ]
    assert len(said(chunk(blank), end=[DONE], tools=[WEATHER]).invalid_tool_calls) == 1
    whole = said(chunk(blank), tools=[WEATHER])
    assert [call["function"]["arguments"] for call in whole.tool_calls] == ["{}"]
