"""Streams: blocks in v0, v1 and v3, what comes once, calls that were cut off, and what a chunk is made of."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from typing import Any
from unittest.mock import AsyncMock, MagicMock
from uuid import uuid4

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, message_chunk_to_message
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils.json import parse_partial_json
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream
from langchain_vessel import ChatVessel
from langchain_vessel.replies import chunk, unparsable
from vessel_core.local import LocalServer

from tests.fake_server import FakeServer, Response, llamacpp_server, ollama_server
from tests.langchain.scripted import answer, calling, ending, event, ollama_lines, piece

TURN = calling(("f", '{"a": 1}'), ("g", '{"b": [2, 3]}'), text="Let me check", thought="Hmm")
CALLS = [
    {"name": "f", "args": {"a": 1}, "id": "call-x0", "type": "tool_call"},
    {"name": "g", "args": {"b": [2, 3]}, "id": "call-x1", "type": "tool_call"},
]
NOTHING = {"title": "f", "description": "Do nothing.", "type": "object", "properties": dict[str, Any]()}
OUTPUT_VERSIONS = ("v0", "v1")

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")


def model(server: FakeServer, **options: Any) -> ChatVessel:
    return ChatVessel(base_url=server.base_url, **options)


def total(chunks: Sequence[AIMessageChunk]) -> AIMessageChunk:
    return chunks[0].__add__(list(chunks[1:]))


async def every_way(chat: ChatVessel) -> dict[str, AIMessage]:
    """Ask once by each way there is, and return the whole messages."""
    events = chat.stream_events("x", version="v3")
    assert_valid_event_stream(list(events))
    async_events = await chat.astream_events("x", version="v3")
    assert_valid_event_stream([event async for event in async_events])
    return {
        "invoke": chat.invoke("x"),
        "ainvoke": await chat.ainvoke("x"),
        "stream": total(list(chat.stream("x"))),
        "astream": total([each async for each in chat.astream("x")]),
        "v3": events.output,
        "async v3": await async_events.output,
    }


# ------------------------------------------------------------------------------------------------------------- blocks


@pytest.mark.parametrize("output_version", OUTPUT_VERSIONS)
async def test_thought_text_and_two_calls_arrive_intact_by_every_way(output_version: str) -> None:
    with llamacpp_server(TURN) as server:
        answers = await every_way(model(server, output_version=output_version))
    for way, message in answers.items():
        assert message.tool_calls == CALLS, way
        assert message.invalid_tool_calls == [], way
        assert message.text == "Let me check", way
        blocks = [(block["type"], block.get("reasoning") or block.get("text")) for block in message.content_blocks]
        assert blocks == [("reasoning", "Hmm"), ("text", "Let me check"), ("tool_call", None), ("tool_call", None)], way
        assert message.response_metadata["model_name"] == "demo", way
        assert message.response_metadata["finish_reason"] == "tool_calls", way
        assert message.response_metadata["timings"]["completion_ms"] == 50.25, way
        assert message.usage_metadata == {
            "input_tokens": 11,
            "output_tokens": 5,
            "total_tokens": 16,
            "input_token_details": {"cache_read": 4},
        }, way


async def test_v0_content_is_text_and_v1_content_is_blocks() -> None:
    with llamacpp_server(TURN) as server:
        plain = model(server, output_version="v0").invoke("x")
        blocks = model(server, output_version="v1").invoke("x")
    assert plain.content == "Let me check"
    assert blocks.content == plain.content_blocks


def test_each_block_of_a_chunk_has_an_index_of_its_own() -> None:
    with llamacpp_server(TURN) as server:
        chunks = list(model(server).stream("x"))
    indices = [[block.get("index") for block in chunk.content_blocks] for chunk in chunks]
    assert indices == [["lc_rs_0"], ["lc_txt_0"], ["lc_tc_0"], ["lc_tc_0"], ["lc_tc_1"], ["lc_tc_1"], []]
    assert [piece["index"] for chunk in chunks for piece in chunk.tool_call_chunks] == [0, 0, 1, 1]


def test_events_number_the_blocks_and_name_model_and_message() -> None:
    run = uuid4()
    with llamacpp_server(TURN) as server:
        stream = model(server).stream_events("x", {"run_id": run}, version="v3")
        events: list[Any] = list(stream)
    assert events[0]["metadata"] == {"provider": "vessel", "model": "demo"}
    assert events[0]["id"] == stream.output.id == f"lc_run--{run}"
    starts = [(event["index"], event["content"]["type"]) for event in events if event["event"] == "content-block-start"]
    assert starts == [(0, "reasoning"), (1, "text"), (2, "tool_call_chunk"), (3, "tool_call_chunk")]
    assert events[-1]["usage"]["input_tokens"] == 11
    assert str(stream.text) == "Let me check"
    assert str(stream.reasoning) == "Hmm"


LOADING = Response.json({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, 503)


def loading_server(times: int) -> FakeServer:
    """Return a server that says so many times that its model loads."""
    answers: list[Any] = [*[LOADING] * times, Response.stream(answer("Hel", "lo"))]
    return llamacpp_server(routes={("POST", "/v1/chat/completions"): answers})


class Heard(BaseCallbackHandler):
    """Hears what is told of how far the server is."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        self.told.append((name, data["status"]))


async def test_who_waits_for_a_whole_answer_is_told_by_callback_that_the_model_loads() -> None:
    for ask in ("invoke", "ainvoke", "stream_events", "astream_events"):
        heard = Heard()
        with loading_server(1) as server:
            chat = ChatVessel(backend="llamacpp", base_url=server.base_url, model="demo")
            config: Any = {"callbacks": [heard]}
            if ask == "ainvoke":
                await chat.ainvoke("Hello", config)
            elif ask == "invoke":
                chat.invoke("Hello", config)
            elif ask == "astream_events":
                [_ async for _ in await chat.astream_events("Hello", config, version="v3")]
            else:
                list(chat.stream_events("Hello", config, version="v3"))
        assert heard.told == [("vessel_progress", "waiting for the model to load")], ask


def test_a_stream_tells_that_the_model_loads_in_chunks_without_words() -> None:
    with loading_server(2) as server:
        chat = ChatVessel(backend="llamacpp", base_url=server.base_url, model="demo")
        chunks: list[Any] = list(chat.stream("Hello"))
    assert [each.text for each in chunks if "progress" in each.response_metadata] == ["", ""]
    whole = total(chunks)
    assert whole.text == "Hello"
    assert [each["unit"] for each in whole.response_metadata["progress"]] == ["seconds"] * 2


def test_a_summed_stream_is_the_message_of_invoke() -> None:
    with llamacpp_server(TURN) as server:
        chat = model(server)
        streamed, invoked = message_chunk_to_message(total(list(chat.stream("x")))), chat.invoke("x")
    for message in (streamed, invoked):
        message.id = None
        message.response_metadata["timings"].pop("first_token_ms")
    assert streamed == invoked


async def test_events_v2_carry_each_token(chat_server: LocalServer) -> None:
    chat = ChatVessel(base_url=chat_server.base_url, temperature=0, together=False)
    events = [event async for event in chat.astream_events("Hello", version="v2")]
    tokens = [event["data"].get("chunk") for event in events if event["event"] == "on_chat_model_stream"]
    assert len(tokens) > 3
    assert "".join(token.text for token in tokens if isinstance(token, AIMessageChunk)) == chat.invoke("Hello").text


def test_callbacks_see_each_token() -> None:
    class Tokens(BaseCallbackHandler):
        def __init__(self) -> None:
            self.seen: list[str] = []

        def on_llm_new_token(self, token: Any, **_: Any) -> None:
            self.seen.append(token)

    tokens = Tokens()
    with llamacpp_server(answer("One", " two", " three")) as server:
        list(model(server, together=False).stream("x", config={"callbacks": [tokens]}))
        assert tokens.seen == ["One", " two", " three", ""]
        tokens.seen.clear()
        model(server, streaming=True, together=False).invoke("x", config={"callbacks": [tokens]})
        assert tokens.seen == ["One", " two", " three", ""]


async def test_who_hands_a_run_manager_to_the_hooks_hears_each_token() -> None:
    """As LangChain's own bridge to events does, for a subclass of this."""
    heard, aheard = MagicMock(), AsyncMock()
    with llamacpp_server(answer("One", " two")) as server:
        chat: Any = model(server, together=False)
        list(chat._stream([HumanMessage("x")], run_manager=heard))
        [_ async for _ in chat._astream([HumanMessage("x")], run_manager=aheard)]
    for manager in (heard, aheard):
        assert [call.args[0] for call in manager.on_llm_new_token.call_args_list] == ["One", " two"]


def test_tokens_that_arrive_together_are_delivered_together() -> None:
    with llamacpp_server(answer("One", " two", " three")) as server:
        assert [chunk.text for chunk in model(server).stream("x")] == ["One", " two three", ""]


def test_streaming_can_be_switched_off() -> None:
    with llamacpp_server(answer("One", " two")) as server:
        assert len(list(model(server, streaming=False).stream("x"))) == 1
        assert len(list(model(server, disable_streaming=True).stream("x"))) == 1


def test_usage_that_comes_after_the_finish_reason_arrives() -> None:
    with llamacpp_server(answer("Hi")) as server:
        assert total(list(model(server).stream("x"))).usage_metadata is not None


async def test_usage_that_comes_with_every_piece_is_counted_once() -> None:
    """As vLLM sends it with `continuous_usage_stats`: each piece has the counts so far."""
    stream = b""
    for number, text in enumerate(("One", " two", " three"), 1):
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": "stop" if number == 3 else None}
        usage = {"prompt_tokens": 11, "completion_tokens": number, "total_tokens": 11 + number}
        stream += event({"model": "demo", "choices": [choice], "usage": usage})
    with llamacpp_server(stream + b"data: [DONE]\n\n") as server:
        chat = model(server)
        assert [chunk.usage_metadata is not None for chunk in chat.stream("x")] == [False, False, False, True]
        for way, message in (await every_way(chat)).items():
            assert message.usage_metadata == {"input_tokens": 11, "output_tokens": 3, "total_tokens": 14}, way


async def test_a_refusal_is_told_by_every_way() -> None:
    with llamacpp_server(piece({"refusal": "I can't "}) + piece({"refusal": "help."}) + ending()) as server:
        for way, message in (await every_way(model(server))).items():
            assert message.additional_kwargs.get("refusal") == "I can't help.", way


async def test_usage_that_comes_in_one_line_with_the_words_is_counted_once() -> None:
    line = {"model": "qwen3:8b", "message": {"role": "assistant", "content": "Hi"}, "done": True, "done_reason": "stop"}
    with ollama_server(json.dumps({**line, "prompt_eval_count": 3, "eval_count": 2}).encode() + b"\n") as server:
        for way, message in (await every_way(ChatVessel(base_url=server.base_url, model="qwen3:8b"))).items():
            assert message.usage_metadata == {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}, way


async def test_tokens_of_the_reasoning_are_told() -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 2}}
    with llamacpp_server(piece({"content": "Hi"}) + ending(usage=usage)) as server:
        for way, message in (await every_way(model(server))).items():
            assert (message.usage_metadata or {}).get("output_token_details") == {"reasoning": 2}, way


def test_a_server_without_usage_leaves_it_out() -> None:
    with llamacpp_server(piece({"content": "Hi"}) + ending(usage=None)) as server:
        streamed = total(list(model(server).stream("x")))
        assert streamed.usage_metadata is None
        assert "timings" not in streamed.response_metadata


def test_logprobs_arrive_in_both_forms() -> None:
    tokens: list[dict[str, Any]] = [{"token": text, "logprob": -0.5, "top_logprobs": []} for text in ("One", " two")]
    stream = b""
    for token in tokens:
        choice = {"index": 0, "delta": {"content": token["token"]}, "logprobs": {"content": [token]}}
        stream += b"data: " + json.dumps({"model": "demo", "choices": [choice]}).encode() + b"\n\n"
    with llamacpp_server(stream + ending()) as server:
        chat = model(server, logprobs=True, top_logprobs=2)
        assert chat.invoke("x").response_metadata["logprobs"] == {"content": tokens}
        assert total(list(chat.stream("x"))).response_metadata["logprobs"] == {"content": tokens}
        assert server.requests[-1].json()["top_logprobs"] == 2


def test_a_stream_shows_the_first_of_several_choices_and_generate_all() -> None:
    stream = b"".join(
        piece({"content": text}, index=index) for index, text in ((0, "He"), (1, "By"), (0, "llo"), (1, "e"))
    )
    stream += piece({}, "stop", index=0) + piece({}, "stop", index=1) + b"data: [DONE]\n\n"
    with llamacpp_server(stream) as server:
        chat = model(server, n=2)
        assert total(list(chat.stream("x"))).text == "Hello"
        assert chat.stream_events("x", version="v3").output.text == "Hello"
        [generations] = chat.generate([[AIMessage("x")]]).generations
        assert [generation.text for generation in generations] == ["Hello", "Bye"]


# --------------------------------------------------------------------------------------------- calls that were cut off


CUT = (
    '{"path": "/tmp/a", "re',
    '{"path": "/tm',
    '{"a": [1, 2',
    '{"a": {"b": "c\\',
    '{"a"',
    "{",
    '{"a": 1}}',
    "[1]",
    "nul",
    "",
    " ",
)


@pytest.mark.parametrize("output_version", OUTPUT_VERSIONS)
@pytest.mark.parametrize("arguments", CUT)
async def test_a_call_that_was_cut_off_is_never_executable(output_version: str, arguments: str) -> None:
    with llamacpp_server(calling(("delete", arguments), finish="length")) as server:
        answers = await every_way(model(server, output_version=output_version))
        answers["invoke that streams"] = model(server, streaming=True).invoke("x")
    for way, message in answers.items():
        assert message.tool_calls == [], way
        [invalid] = message.invalid_tool_calls
        assert (invalid["name"], invalid["id"]) == ("delete", "call-x0"), way
        assert str(invalid["args"]).startswith(arguments), way
        assert not any(block["type"] == "tool_call" for block in message.content_blocks), way


@pytest.mark.parametrize("arguments", ['{"a":' * 3000, '{"a":' * 3000 + "1" + "}" * 3000], ids=["open", "closed"])
async def test_arguments_too_deep_to_be_read_are_no_call_and_no_error(arguments: str) -> None:
    with llamacpp_server(calling(("delete", arguments))) as server:
        for way, message in (await every_way(model(server))).items():
            assert (message.tool_calls, len(message.invalid_tool_calls)) == ([], 1), way


def test_a_long_piece_of_arguments_that_is_no_json_costs_no_seconds() -> None:
    """LangChain's own completion takes a minute of CPU for the first of these two pieces."""
    with llamacpp_server(calling(("delete", '{"a": ' + '"b" ' * 60_000))) as server:
        chat = model(server)
        began = time.process_time()
        pieces = [piece for each in chat.stream("x") for piece in each.tool_call_chunks]
        assert time.process_time() - began < 1.0
    assert sum(len(piece["args"] or "") for piece in pieces) > 240_000


async def test_a_call_that_was_cut_off_says_why_and_what_came() -> None:
    with llamacpp_server(calling(("delete", CUT[0]), finish="length")) as server:
        for way, message in (await every_way(model(server))).items():
            [block] = [dict(each) for each in message.content_blocks]
            assert (block["type"], block["args"]) == ("invalid_tool_call", CUT[0]), way
            assert "cut off" in str(block["error"]), way


def test_a_cut_call_in_a_sum_of_v1_chunks_says_why_beside_the_blocks() -> None:
    """LangChain itself leaves the block what it was, a piece of a call, and asks no translator for a sum of lists."""
    with llamacpp_server(calling(("delete", CUT[0]), finish="length")) as server:
        first, *others = model(server, output_version="v1").stream("x")
    summed = first.__add__(others)
    assert [block["type"] for block in summed.content_blocks] == ["tool_call_chunk"]
    [told] = summed.response_metadata["invalid_tool_calls"]
    assert told["args"] == CUT[0]
    assert "cut off" in told["error"]


async def test_a_whole_call_beside_one_that_was_cut_off_is_kept() -> None:
    with llamacpp_server(calling(("f", '{"a": 1}'), ("g", '{"b": '), finish="length")) as server:
        for way, message in (await every_way(model(server))).items():
            assert [call["name"] for call in message.tool_calls] == ["f"], way
            assert [call["name"] for call in message.invalid_tool_calls] == ["g"], way


@pytest.mark.parametrize("output_version", OUTPUT_VERSIONS)
async def test_a_call_where_none_was_allowed_is_never_executable(output_version: str) -> None:
    with llamacpp_server(calling(("f", '{"a": 1}'))) as server:
        chat: Any = model(server, output_version=output_version)
        for way, message in (await every_way(chat.bind_tools([NOTHING], tool_choice="none"))).items():
            assert message.tool_calls == [], way
            assert [call["name"] for call in message.invalid_tool_calls] == ["f"], way
            assert not any(block["type"] == "tool_call" for block in message.content_blocks), way


@pytest.mark.parametrize("text", CUT)
def test_nothing_completes_what_was_marked(text: str) -> None:
    marked = text + unparsable(text)
    try:
        parsed = parse_partial_json(marked)
    except json.JSONDecodeError:
        parsed = None
    assert not isinstance(parsed, dict)


@pytest.mark.parametrize("output_version", OUTPUT_VERSIONS)
@pytest.mark.parametrize("names", [["now"], ["now", "today"]])
async def test_calls_without_arguments_are_calls_with_none(names: list[str], output_version: str) -> None:
    with llamacpp_server(calling(*((name, "") for name in names))) as server:
        for way, message in (await every_way(model(server, output_version=output_version))).items():
            assert [(call["name"], call["args"]) for call in message.tool_calls] == [(name, {}) for name in names], way
            assert message.invalid_tool_calls == [], way


async def test_two_whole_calls_of_ollama_stay_two() -> None:
    calls = [{"function": {"name": name, "arguments": {"city": "Rome"}}} for name in ("f", "g")]
    with ollama_server(ollama_lines({"content": "", "tool_calls": calls})) as server:
        for way, message in (await every_way(ChatVessel(base_url=server.base_url, model="qwen3:8b"))).items():
            assert [(call["name"], call["args"]) for call in message.tool_calls] == [
                ("f", {"city": "Rome"}),
                ("g", {"city": "Rome"}),
            ], way
            assert all(call["id"] for call in message.tool_calls), way


def test_closing_a_stream_stops_the_server() -> None:
    gate = threading.Event()
    with llamacpp_server(Response.stream(piece({"content": "One"}), gate, answer("two"))) as server:
        stream = model(server).stream("x")
        assert next(iter(stream)).text == "One"
        stream.close()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - it is a generator
        assert server.disconnected.wait(5)


# ------------------------------------------------------------------------------------------------ what a chunk is made of


CALL = tool_call_chunk(name="f", args='{"a": 1}', id="1", index=0)
PARTS = [
    tool_call_chunk(name=None, args=args, id=None, index=0)
    for args in (
        *(
            '{"a',
            '": "b',
            '"}',
            "",
            " ",
            " {",
            '\n{"a": [1, {"b": "c',
            "[1]",
            "null",
            '"a"',
            "12",
            "}",
            "]",
            "{]",
            "{'a'",
        ),
        *('\u00a0{"a": 1}', '{"a": 1}{', '{"a": NaN', "tr"),
    )
]


@pytest.mark.parametrize(
    ("made", "fields"),
    [
        (chunk("Hi"), {"content": "Hi"}),
        (chunk(""), {"content": ""}),
        (chunk("Hi", reasoning="Hm"), {"content": "Hi", "additional_kwargs": {"reasoning_content": "Hm"}}),
        (chunk("", calls=[CALL]), {"content": "", "tool_call_chunks": [CALL]}),
        *((chunk("", calls=[part]), {"content": "", "tool_call_chunks": [part]}) for part in PARTS),
        (chunk("Hi", calls=[CALL, *PARTS]), {"content": "Hi", "tool_call_chunks": [CALL, *PARTS]}),
        (
            chunk(
                metadata={"model_name": "m"},
                usage={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
                last=True,
            ),
            {
                "content": "",
                "response_metadata": {"model_provider": "vessel", "model_name": "m"},
                "usage_metadata": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
                "chunk_position": "last",
            },
        ),
    ],
)
def test_a_chunk_made_by_hand_is_a_validated_one_in_every_field(
    made: ChatGenerationChunk, fields: dict[str, Any]
) -> None:
    everything: dict[str, Any] = {"response_metadata": {"model_provider": "vessel"}, **fields}
    message = AIMessageChunk(**everything)
    validated = ChatGenerationChunk(message=message)
    for mine, theirs in ((made, validated), (made.message, validated.message)):
        assert type(mine) is type(theirs)
        assert mine.__dict__.keys() == theirs.__dict__.keys() == type(theirs).model_fields.keys()
        for name in theirs.__dict__:
            assert getattr(mine, name) == getattr(theirs, name), name
        assert mine.__pydantic_extra__ == theirs.__pydantic_extra__
        assert mine.__pydantic_private__ == theirs.__pydantic_private__
        assert mine == theirs
        assert mine.model_dump() == theirs.model_dump()
        assert mine.model_copy(deep=True) == theirs
    said = {name: getattr(made.message, name) for name in made.message.model_fields_set}
    assert everything.keys() <= said.keys() == AIMessageChunk(**said).model_fields_set
    assert made.model_fields_set == validated.model_fields_set
    assert made.message.model_dump_json() == validated.message.model_dump_json()
    assert (made.message + made.message).model_dump() == (validated.message + validated.message).model_dump()
