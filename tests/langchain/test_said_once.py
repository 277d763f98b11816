"""What is said once of an answer: usage, a refusal; and what goes with each piece: log probabilities, the choice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_vessel import ChatVessel

from tests.fake_server import llamacpp_server, ollama_server
from tests.langchain.scripted import answer, ending, event, piece
from tests.langchain.ways import BETA, every_way, model, total

pytestmark = pytest.mark.filterwarnings(BETA)


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


async def test_logprobs_arrive_by_every_way() -> None:
    tokens: list[dict[str, Any]] = [{"token": text, "logprob": -0.5, "top_logprobs": []} for text in ("One", " two")]
    stream = b""
    for token in tokens:
        choice = {"index": 0, "delta": {"content": token["token"]}, "logprobs": {"content": [token]}}
        stream += b"data: " + json.dumps({"model": "demo", "choices": [choice]}).encode() + b"\n\n"
    with llamacpp_server(stream + ending()) as server:
        chat = model(server, logprobs=True, top_logprobs=2)
        for way, message in (await every_way(chat)).items():
            assert message.response_metadata["logprobs"] == {"content": tokens}, way
        assert server.requests[-1].json()["top_logprobs"] == 2


@pytest.mark.parametrize("streaming", [None, True])
async def test_a_stream_shows_the_first_of_several_choices_and_generate_all(streaming: bool | None) -> None:
    stream = b"".join(
        piece({"content": text}, index=index) for index, text in ((0, "He"), (1, "By"), (0, "llo"), (1, "e"))
    )
    stream += piece({}, "stop", index=0) + piece({}, "stop", index=1) + b"data: [DONE]\n\n"
    with llamacpp_server(stream) as server:
        chat = model(server, n=2, **({} if streaming is None else {"streaming": streaming}))
        assert total(list(chat.stream("x"))).text == "Hello"
        assert chat.stream_events("x", version="v3").output.text == "Hello"
        for result in (chat.generate([[AIMessage("x")]]), await chat.agenerate([[AIMessage("x")]])):
            assert [generation.text for generation in result.generations[0]] == ["Hello", "Bye"]
