"""What both clients do with a real llama.cpp server, turn by turn, and the request each turn really sends."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from PIL import Image
from vessel_core import Client, Delta, Message, Progress, Timings, Tool, image_part
from vessel_core.drive import Clock
from vessel_core.errors import (
    AuthFailed,
    ContextOverflow,
    InputTooLarge,
    InvalidMedia,
    InvalidRequest,
    ResponseError,
    Unsupported,
    VesselError,
)
from vessel_core.local import LocalServer
from vessel_core.types import ChatReply, Reasoning, ResponseFormat

from tests.core.driving import Connect, Tap
from tests.core.wire.play import DONE, STOP, chunk, event
from tests.fake_server import lmstudio_server
from tests.servers import KEY

HELLO: list[Message] = [{"role": "user", "content": "Hello"}]
WEATHER_QUESTION: list[Message] = [{"role": "user", "content": "What is the weather in Oslo?"}]


def tool(name: str, parameter: str) -> Tool:
    parameters = {"type": "object", "properties": {parameter: {"type": "string"}}, "required": [parameter]}
    return {"type": "function", "function": {"name": name, "description": f"Do {name}.", "parameters": parameters}}


WEATHER, TIME = tool("get_weather", "city"), tool("get_time", "tz")
FORM: ResponseFormat = {
    "type": "json_schema",
    "json_schema": {
        "name": "form",
        "schema": {
            "type": "object",
            "properties": {"ok": {"type": "boolean"}, "n": {"enum": [1, 2, 3]}},
            "required": ["ok", "n"],
        },
    },
}


def picture(colour: str, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(file, form)
    return file.getvalue()


def demo(connect: Connect, server: LocalServer, **options: Any) -> Client:
    return connect("llamacpp", base_url=server.base_url, **options)


# ------------------------------------------------------------------------------------------------------------- chatting


def test_a_chat_says_who_answered_why_it_ended_and_what_it_took(connect: Connect, tapped: Tap) -> None:
    reply = connect(base_url=tapped.base_url).chat(HELLO, temperature=0, seed=1, max_tokens=40)
    assert reply.text
    assert (reply.model, reply.finish) == ("demo-chat", "stop")
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 0
    assert reply.timings is not None
    assert (reply.timings.first_token_ms or 0) > 0
    assert (reply.timings.tokens_per_second or 0) > 0
    assert tapped.sent() == {
        "messages": HELLO,
        "model": "demo-chat",
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0,
        "seed": 1,
        "max_tokens": 40,
    }


def test_without_a_name_the_loaded_model_is_asked_for_once(connect: Connect, tapped: Tap) -> None:
    client = connect("llamacpp", base_url=tapped.base_url)
    client.chat(HELLO)
    client.chat(HELLO)
    assert [request.path for request in tapped.requests] == [
        "/v1/models",
        "/props",
        "/v1/chat/completions",
        "/v1/chat/completions",
    ]


def test_a_named_model_needs_no_other_request(connect: Connect, tapped: Tap) -> None:
    connect("llamacpp", base_url=tapped.base_url, model="demo-chat").chat(HELLO)
    connect("llamacpp", base_url=tapped.base_url).chat(HELLO, model="demo-chat")
    assert [request.path for request in tapped.requests] == ["/v1/chat/completions"] * 2


def test_a_stream_comes_in_pieces_and_adds_up_to_the_chat(connect: Connect, chat_server: LocalServer) -> None:
    client = demo(connect, chat_server)
    whole = client.chat(HELLO, temperature=0)
    deltas = list(client.stream(HELLO, temperature=0))
    assert len([delta for delta in deltas if delta.text]) > 1
    assert ChatReply.gather(deltas).text == whole.text
    assert [delta.finish for delta in deltas if delta.finish] == ["stop"]


def test_usage_and_timings_come_last_and_once(connect: Connect, chat_server: LocalServer) -> None:
    deltas = list(demo(connect, chat_server).stream(HELLO))
    assert [bool(delta.usage) for delta in deltas] == [False] * (len(deltas) - 1) + [True]
    assert deltas[-1].timings is not None
    assert deltas[-2].finish == "stop"


def test_a_limit_on_tokens_ends_the_answer_with_length(connect: Connect, chat_server: LocalServer) -> None:
    reply = demo(connect, chat_server).chat(HELLO, max_tokens=2)
    assert reply.finish == "length"
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 2


def test_several_choices_are_kept_apart(connect: Connect, chat_server: LocalServer) -> None:
    reply = demo(connect, chat_server).chat(HELLO, n=2, seed=1)
    (other,) = reply.alternatives
    assert reply.text
    assert other.text
    assert reply.usage is not None
    assert other.usage is None


def test_log_probabilities_come_with_the_tokens(connect: Connect, chat_server: LocalServer) -> None:
    reply = demo(connect, chat_server).chat(HELLO, logprobs=True, top_logprobs=2, max_tokens=4)
    assert reply.logprobs
    assert len(reply.logprobs) == 4
    assert all(len(token["top_logprobs"]) == 2 for token in reply.logprobs)
    bare = demo(connect, chat_server).chat(HELLO, logprobs=True, top_logprobs=0, max_tokens=4)
    assert len(bare.logprobs or ()) == 4


def test_a_turn_that_was_begun_is_gone_on_with(connect: Connect, tapped: Tap) -> None:
    begun: list[Message] = [*HELLO, {"role": "assistant", "content": "My"}]
    reply = connect(base_url=tapped.base_url, model="m").chat(begun, continue_final_message=True)
    assert reply.text == " sentences were written beforehand."
    assert tapped.sent()["add_generation_prompt"] is False


def test_what_only_the_server_knows_goes_in_the_extra_body(connect: Connect, tapped: Tap) -> None:
    extra = {"timings_per_token": True, "samplers": ["top_k"]}
    connect(base_url=tapped.base_url, model="m").chat(HELLO, extra_body=extra)
    assert tapped.sent() | extra == tapped.sent()


# ---------------------------------------------------------------------------------------------------------------- tools


def test_a_tool_is_called_and_its_result_used(connect: Connect, tapped: Tap) -> None:
    client = connect("llamacpp", base_url=tapped.base_url, model="demo-chat")
    reply = client.chat(WEATHER_QUESTION, tools=[WEATHER], seed=1)
    (call,) = reply.tool_calls
    assert reply.finish == "tool_calls"
    assert call["function"] == {"name": "get_weather", "arguments": '{"city":"Oslo"}'}
    result: Message = {"role": "tool", "tool_call_id": call["id"], "content": "Sunny, 18 degrees."}
    after = client.chat([*WEATHER_QUESTION, reply.message(), result], tools=[WEATHER], seed=1)
    assert (after.finish, after.tool_calls) == ("stop", [])
    assert after.text
    sent = tapped.asked("/v1/chat/completions")[1].json()
    assert sent["tools"] == [WEATHER]
    assert sent["messages"][1:] == [{"role": "assistant", "content": "", "tool_calls": [call]}, result]


def test_the_arguments_of_a_call_stream_as_they_come(connect: Connect, chat_server: LocalServer) -> None:
    deltas = list(demo(connect, chat_server).stream(WEATHER_QUESTION, tools=[WEATHER], seed=1))
    pieces = [call for delta in deltas for call in delta.tool_calls]
    assert pieces[0].id
    assert pieces[0].name == "get_weather"
    assert len([piece for piece in pieces if piece.arguments]) > 1
    assert json.loads("".join(piece.arguments for piece in pieces)) == {"city": "Oslo"}


def test_one_tool_is_forced_by_sending_only_that_one(connect: Connect, tapped: Tap) -> None:
    client = connect("llamacpp", base_url=tapped.base_url, model="m")
    reply = client.chat(WEATHER_QUESTION, tools=[WEATHER, TIME], tool_choice="get_time", seed=1)
    assert [call["function"]["name"] for call in reply.tool_calls] == ["get_time"]
    assert tapped.sent()["tools"] == [TIME]
    assert tapped.sent()["tool_choice"] == "required"


def test_parallel_calls_are_dropped_when_one_is_wanted(connect: Connect, chat_server: LocalServer) -> None:
    question: list[Message] = [{"role": "user", "content": "Tell me the weather in both Oslo and Rome."}]
    client = demo(connect, chat_server)
    several = [client.chat(question, tools=[WEATHER], seed=seed) for seed in range(6)]
    assert max(len(reply.tool_calls) for reply in several) > 1
    single = [client.chat(question, tools=[WEATHER], seed=seed, parallel_tool_calls=False) for seed in range(6)]
    assert {len(reply.tool_calls) for reply in single} == {1}


def test_a_call_that_was_cut_off_is_invalid_and_has_no_arguments_to_run(
    connect: Connect, chat_server: LocalServer
) -> None:
    reply = demo(connect, chat_server).chat(WEATHER_QUESTION, tools=[WEATHER], max_tokens=12, seed=1)
    assert reply.finish == "length"
    assert reply.tool_calls == []


# ----------------------------------------------------------------------------------------------------------------- JSON


def test_an_answer_fits_the_schema(connect: Connect, tapped: Tap) -> None:
    reply = connect("llamacpp", base_url=tapped.base_url, model="m").chat(HELLO, response_format=FORM, seed=1)
    answer = json.loads(reply.text)
    assert set(answer) == {"ok", "n"}
    assert answer["n"] in (1, 2, 3)
    assert tapped.sent()["response_format"] == FORM


def test_a_grammar_binds_the_answer(connect: Connect, tapped: Tap) -> None:
    client = connect("llamacpp", base_url=tapped.base_url, model="m")
    assert client.chat(HELLO, grammar='root ::= "yes" | "no"').text in ("yes", "no")
    assert tapped.sent()["grammar"] == 'root ::= "yes" | "no"'


def test_json_beside_tools_leaves_the_model_its_tools(connect: Connect, tapped: Tap) -> None:
    client = connect("llamacpp", base_url=tapped.base_url, model="m")
    replies = [client.chat(WEATHER_QUESTION, tools=[WEATHER], response_format=FORM, seed=seed) for seed in range(4)]
    sent = tapped.asked("/v1/chat/completions")[0].json()
    assert "response_format" not in sent
    assert sent["tool_choice"] == "auto"
    assert [each["function"]["name"] for each in sent["tools"]] == ["get_weather", "final_answer"]
    for reply in replies:
        assert bool(reply.tool_calls) != bool(reply.text)
        assert all(call["function"]["name"] == "get_weather" for call in reply.tool_calls)
        assert not reply.text or set(json.loads(reply.text)) == {"ok", "n"}


def test_the_answer_beside_tools_comes_as_text(connect: Connect, chat_server: LocalServer) -> None:
    client = demo(connect, chat_server)
    replies = [
        client.chat(HELLO, tools=[WEATHER], response_format=FORM, seed=seed, max_tokens=200) for seed in range(8)
    ]
    answers = [reply for reply in replies if not reply.tool_calls]
    assert answers
    assert all(set(json.loads(reply.text)) == {"ok", "n"} for reply in answers)
    assert {reply.finish for reply in answers} == {"stop"}


# ------------------------------------------------------------------------------------------------------------ reasoning


def test_reasoning_is_kept_apart_from_the_answer(connect: Connect, thinking_server: LocalServer) -> None:
    reply = demo(connect, thinking_server).chat(HELLO, seed=1)
    assert reply.reasoning
    assert reply.text
    assert "<think>" not in reply.text + reply.reasoning


def test_a_template_that_opens_the_thought_is_understood(connect: Connect, forced_thinking_server: LocalServer) -> None:
    reply = demo(connect, forced_thinking_server).chat(HELLO, seed=1)
    assert reply.reasoning
    assert "think>" not in reply.text


def test_a_thought_that_is_to_stay_in_the_text_stays_there(connect: Connect, thinking_server: LocalServer) -> None:
    client = demo(connect, thinking_server)
    apart, left = (client.chat(HELLO, seed=1, reasoning_format=kind) for kind in ("auto", "none"))
    assert left.reasoning == ""
    assert left.text == f"<think>{apart.reasoning}</think>{apart.text}"


@pytest.mark.parametrize(("reasoning", "thinks"), [(False, False), ("none", False), (True, True), ("high", True)])
def test_reasoning_is_switched(
    connect: Connect, thinking_server: LocalServer, reasoning: Reasoning, thinks: bool
) -> None:
    with Tap(thinking_server.base_url) as tap:
        reply = connect("llamacpp", base_url=tap.base_url, model="m").chat(HELLO, reasoning=reasoning, seed=1)
        assert tap.sent()["chat_template_kwargs"] == {"enable_thinking": thinks}
    assert bool(reply.reasoning) is thinks
    assert reply.text


def test_reasoning_travels_back_in_the_history(connect: Connect, tapped: Tap) -> None:
    thought: Message = {"role": "assistant", "content": "Hi", "reasoning": "They greet."}
    connect("llamacpp", base_url=tapped.base_url, model="m").chat([*HELLO, thought, *HELLO])
    assert tapped.sent()["messages"][1] == {
        "role": "assistant",
        "content": "Hi",
        "reasoning_content": "They greet.",
    }


# --------------------------------------------------------------------------------------------------------------- images


@pytest.mark.parametrize("colour", ["red", "green", "blue"])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_picture_is_seen(connect: Connect, tapped: Tap, colour: str, form: str) -> None:
    data = picture(colour, form)
    question: list[Message] = [
        {"role": "user", "content": [{"type": "text", "text": "What colour is it?"}, image_part(data)]}
    ]
    reply = connect("llamacpp", base_url=tapped.base_url, model="m").chat(question, seed=1)
    assert colour in reply.text.lower()
    url = tapped.sent()["messages"][0]["content"][1]["image_url"]["url"]
    assert url == f"data:image/{form.lower()};base64,{base64.b64encode(data).decode()}"


def test_a_picture_from_a_tool_is_handed_on_in_a_turn_of_the_user(connect: Connect, tapped: Tap) -> None:
    called: list[Message] = [
        *HELLO,
        {
            "role": "assistant",
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": [image_part(picture("blue"))]},
    ]
    connect("llamacpp", base_url=tapped.base_url, model="m").chat(called)
    assert [message["role"] for message in tapped.sent()["messages"]] == ["user", "assistant", "tool", "user"]


def test_a_picture_that_is_none_is_refused_before_it_is_sent(connect: Connect, tapped: Tap) -> None:
    question: list[Message] = [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "/etc/hostname"}}]}
    ]
    with pytest.raises(InvalidMedia, match="no URL, data URL or base64"):
        connect("llamacpp", base_url=tapped.base_url).chat(question)
    assert not tapped.asked("/v1/chat/completions")


# ------------------------------------------------------------------------------------------------- embeddings, ranking


def test_texts_become_vectors_in_order(connect: Connect, embedding_server: LocalServer) -> None:
    texts = ["The sea is deep.", "Boats sail on it.", "Bread is baked.", "Ovens are hot."]
    with Tap(embedding_server.base_url) as tap:
        client = connect("llamacpp", base_url=tap.base_url, model="demo-embedding")
        together = client.embed(texts)
        assert tap.sent("/v1/embeddings") == {"input": texts, "encoding_format": "base64", "model": "demo-embedding"}
        apart = [client.embed([text]).vectors[0] for text in texts]
    assert {len(vector) for vector in together.vectors} == {256}
    for one, other in zip(together.vectors, apart, strict=True):
        assert one == pytest.approx(other, abs=1e-3)
    assert together.usage is not None
    assert together.usage.prompt_tokens > 0


def test_many_texts_go_in_batches_at_once_and_stay_in_order(connect: Connect, embedding_server: LocalServer) -> None:
    texts = [f"Sentence {number} speaks of {word}." for number, word in enumerate(["sea", "bread", "iron"] * 15)]
    with Tap(embedding_server.base_url) as tap:
        client = connect("llamacpp", base_url=tap.base_url, model="demo-embedding")
        small = client.embed(texts, batch_size=7)
        assert sorted(len(request.json()["input"]) for request in tap.asked("/v1/embeddings")) == [3] + [7] * 6
        whole = client.embed(texts)
    for one, other in zip(small.vectors, whole.vectors, strict=True):
        assert one == pytest.approx(other, abs=1e-3)
    assert small.usage == whole.usage


def test_a_text_that_is_too_long_is_named_and_the_others_ride_on_the_error(
    connect: Connect, embedding_server: LocalServer
) -> None:
    client = demo(connect, embedding_server)
    texts = ["sea", "boat", "word " * 3000, "iron", "bread"]
    with pytest.raises(InputTooLarge, match=r"texts\[2\]") as caught:
        client.embed(texts, batch_size=3)
    assert caught.value.index == 2
    good = client.embed(["sea", "boat"]).vectors
    vectors = caught.value.vectors
    assert vectors is not None
    assert vectors[2] is None
    assert [vectors[0], vectors[1]] == [pytest.approx(vector, abs=1e-3) for vector in good]


@pytest.mark.parametrize("texts", [["sea", ""], [3], "sea"])
def test_what_is_no_list_of_texts_is_not_embedded(connect: Connect, tapped: Tap, texts: Any) -> None:
    with pytest.raises(InvalidRequest, match="texts"):
        connect("llamacpp", base_url=tapped.base_url).embed(texts)
    assert tapped.requests == []


def test_blank_texts_and_no_texts_are_embedded_as_asked(connect: Connect, chat_server: LocalServer) -> None:
    client = demo(connect, chat_server)
    assert len(client.embed(["a", ""], blank="space").vectors) == 2
    assert client.embed([]).vectors == []


def test_documents_are_ranked(connect: Connect, rerank_server: LocalServer) -> None:
    with Tap(rerank_server.base_url) as tap:
        client = connect("llamacpp", base_url=tap.base_url, model="m")
        ranked = client.rerank("sea", ["bread", "boats on the sea", "iron"])
        best = client.rerank("sea", ["bread", "boats on the sea", "iron"], top_n=1)
        assert client.rerank("sea", []) == []
        assert tap.asked("/v1/rerank")[1].json() == {
            "query": "sea",
            "documents": ["bread", "boats on the sea", "iron"],
            "model": "m",
            "top_n": 1,
        }
    assert sorted(one.index for one in ranked) == [0, 1, 2]
    assert [one.score for one in ranked] == sorted((one.score for one in ranked), reverse=True)
    assert [one.index for one in best] == [ranked[0].index]


# ------------------------------------------------------------------------------------------- counting and completing


def test_tokens_are_counted_by_the_server(connect: Connect, chat_server: LocalServer) -> None:
    client = demo(connect, chat_server)
    tokens = client.tokenize("Hello world")
    count = client.count_tokens("Hello world")
    assert (count, count.exact) == (len(tokens), True)
    assert client.detokenize(tokens) == "Hello world"


def test_a_chat_is_counted_with_its_template_and_tools(connect: Connect, chat_server: LocalServer) -> None:
    client = demo(connect, chat_server)
    for tools in ([], [WEATHER]):
        reply = client.chat(HELLO, tools=tools, max_tokens=1)
        assert reply.usage is not None
        counted = client.count_chat_tokens(HELLO, tools=tools)
        assert (counted, counted.exact) == (reply.usage.prompt_tokens, True)


def test_a_chat_that_ends_in_open_calls_is_counted_nearly(connect: Connect, tapped: Tap) -> None:
    client = connect("llamacpp", base_url=tapped.base_url)
    call: Any = {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    asked: list[Message] = [*HELLO, {"role": "assistant", "content": "", "tool_calls": [call]}]
    counted = client.count_chat_tokens(asked, tools=[WEATHER])
    assert not counted.exact
    assert counted > client.count_chat_tokens(HELLO, tools=[WEATHER]) > 0
    sent = tapped.asked("/v1/chat/completions/input_tokens")[0].json()
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant", "tool"]
    assert not sent.keys() & {"stream", "stream_options"}


def test_the_prompt_of_a_chat_is_shown(connect: Connect, chat_server: LocalServer) -> None:
    prompt = demo(connect, chat_server).apply_template(HELLO)
    assert prompt == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"


def test_a_text_is_completed_without_a_template(connect: Connect, tapped: Tap) -> None:
    client = connect("llamacpp", base_url=tapped.base_url, model="m")
    reply = client.complete("The sea", max_tokens=5, seed=1)
    assert reply.text
    assert reply.usage is not None
    assert reply.usage.prompt_tokens < 5
    assert tapped.sent("/v1/completions") | {"prompt": "The sea", "max_tokens": 5} == tapped.sent("/v1/completions")
    assert "".join(delta.text for delta in client.stream_complete("The sea", max_tokens=5, seed=1)) == reply.text


def test_a_gap_is_filled(connect: Connect, tapped: Tap) -> None:
    reply = connect("llamacpp", base_url=tapped.base_url, model="m").complete("The ", suffix=" sea", max_tokens=5)
    assert reply.finish in ("stop", "length")
    assert reply.model == "demo-chat"
    assert reply.usage is not None
    assert reply.timings is not None
    assert reply.usage.prompt_tokens == (reply.timings.prompt_tokens or 0) + (reply.timings.cached_tokens or 0)
    assert (reply.timings.first_token_ms or 0) > 0
    sent = tapped.sent("/infill")
    assert (sent["input_prefix"], sent["input_suffix"], sent["n_predict"]) == ("The ", " sea", 5)


def test_how_far_the_prompt_is_read_is_no_first_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vessel_core.drive.time.monotonic", lambda: 12.0)
    clock, timings = Clock(since=10.0), Timings()
    clock.mark([Delta(progress=Progress("reading the prompt", 1, 2, "tokens"))])
    clock.mark([Delta("Hi"), Delta(timings=timings)])
    clock.mark([])
    assert timings.first_token_ms == 2000


def test_the_time_to_the_first_token_is_told_of_a_server_that_times_nothing(connect: Connect) -> None:
    usage = event({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})
    with lmstudio_server(chunk({"content": "Hi"}) + STOP + usage + DONE) as server:
        reply = connect("lmstudio", base_url=server.base_url, model="m").chat(HELLO)
    assert reply.timings is not None
    assert (reply.timings.first_token_ms or 0) > 0
    assert reply.timings.tokens_per_second is None


# ------------------------------------------------------------------------------------------------------------ the server


def test_the_server_tells_how_it_is(connect: Connect, chat_server: LocalServer) -> None:
    client = demo(connect, chat_server)
    info = client.info()
    assert (info.connected, info.available, info.backend, info.base_url) == (
        True,
        True,
        "llamacpp",
        chat_server.base_url,
    )
    assert info.version is None  # the embedded build calls itself "b0-unknown", which is no version
    assert [model.id for model in info.models] == ["demo-chat"]
    assert client.health() is True


def test_a_model_is_described(connect: Connect, chat_server: LocalServer, embedding_server: LocalServer) -> None:
    (model,) = demo(connect, chat_server).models()
    assert (model.kind, model.state, model.context_length, model.max_context_length) == ("chat", "loaded", 8192, 32768)
    assert model.size
    assert model.quantization == "F16"
    capabilities = demo(connect, chat_server).capabilities()
    assert (capabilities.tools, capabilities.vision, capabilities.audio) == (True, True, False)
    assert demo(connect, embedding_server).capabilities().chat is False


def test_tools_that_a_template_is_known_to_drop_are_warned_of_once(
    connect: Connect, no_tools_server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(base_url=no_tools_server.base_url)
    for tools in ([], [WEATHER], [WEATHER]):
        client.chat(HELLO, tools=tools, max_tokens=2)
    assert caplog.text.count("'demo-chat' has a chat template that shows no tools") == 1


def test_a_template_without_tools_shows(connect: Connect, no_tools_server: LocalServer) -> None:
    assert demo(connect, no_tools_server).capabilities().tools is False


def test_slots_metrics_and_adapters_are_read(connect: Connect, chat_server: LocalServer) -> None:
    client = demo(connect, chat_server)
    client.chat(HELLO)
    assert [slot["id"] for slot in client.slots()] == [0, 1, 2, 3]
    assert client.metrics()["llamacpp:prompt_tokens_total"] > 0
    assert client.lora_adapters() == []


def test_a_server_that_is_ready_is_waited_for_at_once(connect: Connect, chat_server: LocalServer) -> None:
    assert [progress.status for progress in demo(connect, chat_server).wait_until_ready()] == ["ready"]


def test_the_kind_of_a_given_server_is_found_out(connect: Connect, chat_server: LocalServer) -> None:
    client = connect("auto", base_url=chat_server.base_url)
    assert client.chat(HELLO).text
    assert client.target.server.backend.name == "llamacpp"


# --------------------------------------------------------------------------------------------------------------- errors


def failing(connect: Connect, server: LocalServer, **fields: Any) -> VesselError:
    with pytest.raises(VesselError) as caught:
        demo(connect, server).chat(fields.pop("messages", HELLO), **fields)
    assert server.base_url in str(caught.value)
    assert "llama.cpp" in str(caught.value)
    return caught.value


def test_a_key_is_needed_and_given(connect: Connect, keyed_server: LocalServer) -> None:
    assert demo(connect, keyed_server, api_key=KEY).chat(HELLO).text
    error = failing(connect, keyed_server)
    assert isinstance(error, AuthFailed)
    assert "api_key" in str(error)


def test_a_server_that_wants_a_key_is_there_all_the_same(connect: Connect, keyed_server: LocalServer) -> None:
    info = demo(connect, keyed_server, api_key="wrong").info()
    assert info.connected
    assert info.error is not None
    assert "key" in info.error


def test_a_prompt_that_does_not_fit_tells_its_size(connect: Connect, small_context_server: LocalServer) -> None:
    error = failing(connect, small_context_server, messages=[{"role": "user", "content": "word " * 3000}])
    assert isinstance(error, ContextOverflow)
    assert error.context_length == 1024
    assert (error.prompt_tokens or 0) > 3000


def test_a_failure_inside_a_stream_is_raised_with_what_had_come(
    connect: Connect, broken_stream_server: LocalServer
) -> None:
    error = failing(connect, broken_stream_server)
    assert isinstance(error, ResponseError)
    assert "does not match" in error.message


def test_what_a_server_has_not_is_unsupported(connect: Connect, chat_server: LocalServer) -> None:
    client = demo(connect, chat_server)
    with pytest.raises(Unsupported, match="rerank"):
        client.rerank("q", ["a"])
    with pytest.raises(Unsupported, match="one model, and loads and unloads none"):
        list(client.load("other"))
    with pytest.raises(Unsupported, match="can't copy"):
        client.copy("a", "b")
    with pytest.raises(Unsupported, match="can't fetch"):
        list(client.pull("a"))


@pytest.mark.parametrize(
    ("messages", "fields", "what"),
    [
        ([], {}, "empty"),
        (HELLO, {"tools": [{"type": "function", "function": {"name": " "}}]}, "no name"),
        (HELLO, {"tools": [{"name": "f"}]}, "no tool"),
        (HELLO, {"tools": [WEATHER], "tool_choice": "get_wether"}, "get_weather"),
        (HELLO, {"temprature": 0}, "temperature"),
        (HELLO, {"temperature": "hot"}, "temperature"),
        ([{"role": "robot", "content": "Hi"}], {}, "robot"),
    ],
)
def test_what_cannot_be_right_is_refused_before_anything_is_sent(
    connect: Connect, tapped: Tap, messages: Any, fields: Any, what: str
) -> None:
    client = connect("llamacpp", base_url=tapped.base_url)
    for ask in (client.chat, client.count_chat_tokens, client.apply_template):
        with pytest.raises(InvalidRequest, match=what):
            ask(messages, **fields)
    with pytest.raises(InvalidRequest, match=what):
        client.stream(messages, **fields)  # at once, not at the first step
    assert tapped.requests == []


def test_an_option_the_server_has_not_is_refused_before_the_chat_is_sent(connect: Connect, tapped: Tap) -> None:
    with pytest.raises(Unsupported, match=r"llama.cpp has no option 'num_ctx'"):
        connect("llamacpp", base_url=tapped.base_url).chat(HELLO, num_ctx=4096)
    assert not tapped.asked("/v1/chat/completions")


def test_both_clients_have_the_same_operations() -> None:
    from vessel_core import AsyncClient

    def names(cls: type) -> set[str]:
        return {name for name in vars(cls) if not name.startswith("_")}

    assert names(Client) - {"close", "to_async", "hang_up"} == names(AsyncClient) - {"aclose"}


def test_the_async_twin_knows_the_server_that_was_found(chat_server: LocalServer) -> None:
    with Client("llamacpp", base_url=chat_server.base_url) as client:
        client.chat(HELLO)
        twin = client.to_async()
        assert twin.target is client.target
        assert isinstance(Delta(), Delta)
