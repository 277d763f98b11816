"""The eight forms of asking, on a real server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ThinkingBlock
from llama_index.llms.vessel import Vessel
from vessel_core.errors import InvalidRequest

from tests.core.wire.play import last, line
from tests.fake_server import ollama_server
from tests.llama_index.conformance.answers import answer
from tests.llama_index.conformance.looking import extra, raw, usage
from tests.llama_index.scripted import scripted

HELLO = [ChatMessage("Hello, who are you?")]


def test_chat_returns_a_whole_answer_with_the_servers_counts(llm: Vessel) -> None:
    response = llm.chat(HELLO)
    assert response.message.role == "assistant"
    assert response.message.content
    assert response.message.content.endswith(".")
    assert [type(block) for block in response.message.blocks] == [TextBlock]
    counts = usage(response)
    assert counts["prompt_tokens"] > 0
    assert counts["total_tokens"] == counts["prompt_tokens"] + counts["completion_tokens"]
    assert extra(response)["completion_tokens"] == counts["completion_tokens"]
    assert raw(response)["timings"]["tokens_per_second"] > 0
    assert raw(response)["model"] == "demo-chat"
    assert extra(response)["finish_reason"] == "stop"
    assert response.delta is None


def test_a_stream_grows_by_its_deltas_and_ends_with_the_counts(llm: Vessel) -> None:
    chunks = list(llm.stream_chat(HELLO))
    text = ""
    for chunk in chunks:
        assert chunk.delta is not None
        text += chunk.delta
        assert chunk.message.content == text
        assert len(chunk.message.blocks) == 1
    assert text == llm.chat(HELLO).message.content
    assert all("usage" not in raw(chunk) for chunk in chunks[:-1])
    assert usage(chunks[-1])["completion_tokens"] > 3
    assert extra(chunks[-1])["prompt_tokens"] == usage(chunks[-1])["prompt_tokens"]
    assert raw(chunks[-1])["timings"]["completion_ms"] > 0


async def test_async_answers_are_the_sync_ones(llm: Vessel) -> None:
    expected = await asyncio.to_thread(llm.chat, HELLO)
    assert (await llm.achat(HELLO)).message == expected.message
    chunks = [chunk async for chunk in await llm.astream_chat(HELLO)]
    assert chunks[-1].message == expected.message
    assert "".join(chunk.delta or "" for chunk in chunks) == expected.message.content
    assert usage(chunks[-1])["total_tokens"] == usage(expected)["total_tokens"]


async def test_completions_say_what_chats_say(llm: Vessel) -> None:
    prompt = "Hello, who are you?"
    expected = (await llm.achat(HELLO)).message.content
    whole = await asyncio.to_thread(llm.complete, prompt)
    assert whole.text == expected
    assert usage(whole)["completion_tokens"] > 3
    assert (await llm.acomplete(prompt)).text == expected
    streamed = await asyncio.to_thread(lambda: list(llm.stream_complete(prompt)))
    assert streamed[-1].text == expected
    assert "".join(chunk.delta or "" for chunk in streamed) == expected
    assert usage(streamed[-1])["completion_tokens"] == usage(whole)["completion_tokens"]
    async_streamed = [chunk async for chunk in await llm.astream_complete(prompt)]
    assert async_streamed[-1].text == expected


def test_thinking_comes_first_and_apart(thinking_llm: Vessel) -> None:
    response = thinking_llm.chat(HELLO)
    thinking, text = response.message.blocks
    assert isinstance(thinking, ThinkingBlock)
    assert isinstance(text, TextBlock)
    assert thinking.content
    assert "<think>" not in text.text
    assert response.message.content == text.text

    chunks = list(thinking_llm.stream_chat(HELLO))
    thoughts = [extra(chunk)["thinking_delta"] for chunk in chunks if "thinking_delta" in extra(chunk)]
    assert len(thoughts) > 1
    assert "".join(thoughts) == thinking.content
    assert chunks[0].message.blocks[0] == ThinkingBlock(content=thoughts[0])
    assert chunks[-1].message == response.message


def test_thinking_can_be_switched_off(thinking_llm: Vessel) -> None:
    response = thinking_llm.chat(HELLO, reasoning=False)
    assert [type(block) for block in response.message.blocks] == [TextBlock]
    assert response.message.content


def test_options_of_a_call_hold_for_that_call(llm: Vessel) -> None:
    short = llm.chat(HELLO, max_tokens=2)
    assert extra(short)["finish_reason"] == "length"
    assert extra(short)["completion_tokens"] == 2
    assert extra(llm.chat(HELLO))["finish_reason"] == "stop"


def test_logprobs_come_token_by_token(llm: Vessel) -> None:
    response = llm.chat(HELLO, logprobs=True, top_logprobs=2)
    assert response.logprobs is not None
    assert len(response.logprobs) >= extra(response)["completion_tokens"] - 1
    assert all(len(token) == 2 for token in response.logprobs)
    assert response.logprobs[0][0].logprob <= 0
    chunks = list(llm.stream_chat(HELLO, logprobs=True))
    assert sum(len(chunk.logprobs or ()) for chunk in chunks) == len(response.logprobs)


@pytest.mark.parametrize("messages", [[], "Hello"])
def test_what_is_no_conversation_is_refused_before_anything_is_sent(llm: Vessel, messages: Any) -> None:
    with pytest.raises(InvalidRequest):
        llm.chat(messages)


def test_an_unknown_option_is_refused_with_the_nearest_one(llm: Vessel) -> None:
    with pytest.raises(InvalidRequest, match="did you mean 'temperature'"):
        llm.chat(HELLO, temperatur=0.3)


async def test_the_thinking_is_kept_in_all_eight_forms() -> None:
    message = ChatMessage("Why?")
    with scripted(answer("So.", reasoning=["Let me ", "see."])) as (llm, _):
        *_, streamed = llm.stream_chat([message])
        *_, astreamed = [each async for each in await llm.astream_chat([message])]
        for response in (llm.chat([message]), await llm.achat([message]), streamed, astreamed):
            assert response.message.blocks[0] == ThinkingBlock(content="Let me see.")
        *_, completed = llm.stream_complete("Why?")
        *_, acompleted = [each async for each in await llm.astream_complete("Why?")]
        for completion in (llm.complete("Why?"), await llm.acomplete("Why?"), completed, acompleted):
            assert completion.text == "So."
            assert extra(completion)["thinking"] == "Let me see."
        await llm.aclose()


@pytest.mark.parametrize(("words", "cut"), [(2400, True), (2, None)])
async def test_a_prompt_that_ollama_cut_is_told_by_every_way_of_asking(words: int, cut: bool | None) -> None:
    asked = [ChatMessage("quick " * words)]
    played = [line({"role": "assistant", "content": "Hi"}), last(prompt_eval_count=11)]
    with ollama_server(played, context_length=2048) as server:
        llm = Vessel(model="qwen3:8b", backend="ollama", base_url=server.base_url)
        answers = [llm.chat(asked), await llm.achat(asked), list(llm.stream_chat(asked))[-1]]
        answers.append([each async for each in await llm.astream_chat(asked)][-1])
        told = [*map(extra, answers), extra(llm.complete("quick " * words))]
    assert [each.get("truncated") for each in told] == [cut] * 5
