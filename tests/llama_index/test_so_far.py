"""Streamed responses have all the text so far, and put it together where somebody looks."""

from __future__ import annotations

import copy
import json
import pickle
import tracemalloc
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.instrumentation.events.llm import LLMChatInProgressEvent
from llama_index.llms.vessel.responses import Answer
from llama_index.llms.vessel.so_far import Growing, LateText, late
from vessel_core import Delta, Timings, Usage
from vessel_core.types import ToolCallDelta


def chats(count: int = 3, kind: str = "chat") -> list[ChatResponse]:
    """Return the responses of a stream: `count` thoughts, and as many pieces of text."""
    answer = Answer()
    responses: list[ChatResponse] = []
    for delta in (
        *(Delta(reasoning=f"t{at} ") for at in range(count)),
        *(Delta(text=f"w{at} ") for at in range(count)),
    ):
        answer.take(delta)
        responses.append(getattr(answer, kind)(delta))
    return responses


def unpickled(block: TextBlock) -> TextBlock:
    return pickle.loads(pickle.dumps(block))


def completions() -> list[CompletionResponse]:
    answer = Answer()
    responses: list[CompletionResponse] = []
    for delta in (Delta(text="I"), Delta(text=" look"), Delta(text="!")):
        answer.take(delta)
        responses.append(answer.completion(delta))
    return responses


@given(st.lists(st.text(max_size=4), max_size=12), st.randoms(use_true_random=False))
def test_each_beginning_is_what_had_come_in_whatever_order_they_are_looked_at(pieces: list[str], random: Any) -> None:
    growing, lengths = Growing(), [0]
    for piece in pieces:
        growing.add(piece)
        lengths.append(growing.length)
        if random.random() < 0.5:
            looked_at = random.choice(lengths)
            assert growing.up_to(looked_at) == "".join(pieces)[:looked_at]
    random.shuffle(lengths)
    for length in lengths:
        assert growing.up_to(length) == "".join(pieces)[:length]
    assert str(growing) == "".join(pieces)


LOOKING: dict[str, Callable[[TextBlock], Any]] = {
    "an attribute": lambda block: block.text,
    "model_dump": lambda block: block.model_dump()["text"],
    "model_dump, what was given": lambda block: block.model_dump(exclude_unset=True)["text"],
    "model_dump_json": lambda block: json.loads(block.model_dump_json())["text"],
    "dict": lambda block: dict(block)["text"],
    "vars": lambda block: vars(block)["text"],
    "a shallow copy": lambda block: copy.copy(block).text,
    "a deep copy": lambda block: copy.deepcopy(block).text,
    "model_copy": lambda block: block.model_copy().text,
    "a pickle": lambda block: unpickled(block).text,
    "a message's content": lambda block: ChatMessage(role="user", blocks=[block]).content,
    "a message's model_dump": lambda block: ChatMessage(role="user", blocks=[block]).model_dump()["blocks"][0]["text"],
    "a validated message": lambda block: ChatMessage.model_validate({"role": "user", "blocks": [block]}).content,
    "an event": lambda block: LLMChatInProgressEvent(
        messages=[], response=ChatResponse(message=ChatMessage(role="user", blocks=[block]))
    ).model_dump()["response"]["message"]["blocks"][0]["text"],
}


@pytest.mark.parametrize("way", LOOKING)
def test_whoever_looks_at_a_block_finds_the_text_of_its_time(way: str) -> None:
    look: Callable[[Any], Any] = LOOKING[way]
    assert [look(response.message.blocks[-1]) for response in chats()[3:]] == ["w0 ", "w0 w1 ", "w0 w1 w2 "]
    assert look(chats()[4].message.blocks[-1]) == "w0 w1 "  # with no other looked at


def test_a_block_is_shown_compared_and_changed_as_llama_indexs_own() -> None:
    block = chats()[4].message.blocks[1]
    assert repr(block) == "TextBlock(block_type='text', text='w0 w1 ')"
    assert TextBlock(text="w0 w1 ") == chats()[4].message.blocks[1] != TextBlock(text="w0 ")
    assert isinstance(block, TextBlock)
    block.text = "mine"
    assert (block.text, block.model_dump()) == ("mine", {"block_type": "text", "text": "mine"})
    untouched = chats()[4].message.blocks[1]
    assert isinstance(untouched, TextBlock)
    untouched.text = "mine"
    assert untouched.model_dump_json() == '{"block_type":"text","text":"mine"}'
    with pytest.raises(AttributeError, match="nothing"):
        _ = chats()[4].message.blocks[1].nothing  # pyright: ignore


def test_thoughts_and_completions_are_told_so_too() -> None:
    thoughts = [response.message.blocks[0] for response in chats()[:3]]
    assert thoughts[1] == ThinkingBlock(content="t0 t1 ")
    assert thoughts[2].model_dump()["content"] == "t0 t1 t2 "
    assert [str(response) for response in completions()] == ["I", "I look", "I look!"]
    assert list(completions()[1].model_dump()) == list(CompletionResponse.model_fields)
    assert completions()[1] == CompletionResponse(text="I look", delta=" look", raw={})


def test_whole_answers_are_of_llama_indexs_own_classes() -> None:
    answer = Answer()
    answer.take(Delta(text="Yes.", reasoning="Hm."))
    assert [type(block) for block in answer.chat().message.blocks] == [ThinkingBlock, TextBlock]
    assert type(answer.completion()) is CompletionResponse


def streamed(kind: str, change: Callable[[Any], Any] | None, at: int) -> list[dict[str, Any]]:
    """Return the responses of a stream, each as it was when it came; the one `at` a place is changed by who has it."""
    calls = [ToolCallDelta(0, "c", "f", '{"a": {"b": 1}}')]
    answer, seen = Answer(), list[dict[str, Any]]()
    for at_now, delta in enumerate(
        (
            Delta(model="m", reasoning="Hm"),
            Delta(reasoning="."),
            Delta(text="I"),
            Delta(text=" look"),
            Delta(tool_calls=calls),
            Delta(finish="tool_calls"),
            Delta(usage=Usage(1, 2, 3), timings=Timings(total_ms=5.0)),
            Delta(),
        )
    ):
        answer.take(delta)
        response = getattr(answer, kind)(delta)
        seen.append(copy.deepcopy(response.model_dump()))
        if change is not None and at_now == at:
            change(response)
    return seen


def every(kind: type[Any], change: Callable[[Any], Any]) -> Callable[[Any], None]:
    def changed(response: ChatResponse) -> None:
        for block in response.message.blocks:
            if isinstance(block, kind):
                change(block)

    return changed


def add_to_arguments(block: Any) -> None:
    arguments: Any = block.tool_kwargs
    if isinstance(arguments, dict):
        arguments["a"]["x"] = 1


CHANGES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "a text": ("chat", every(TextBlock, lambda block: setattr(block, "text", "mine"))),
    "thoughts": ("chat", every(ThinkingBlock, lambda block: setattr(block, "content", "mine"))),
    "what is known of thoughts": ("chat", every(ThinkingBlock, lambda block: block.additional_information.update(x=1))),
    "a call": ("chat", every(ToolCallBlock, lambda block: setattr(block, "tool_kwargs", {}))),
    "arguments": ("chat", every(ToolCallBlock, add_to_arguments)),
    "the blocks": ("chat", lambda response: response.message.blocks.clear()),
    "older calls": (
        "chat",
        lambda response: [
            call["function"].update(arguments="mine")
            for call in response.message.additional_kwargs.get("tool_calls", ())
        ],
    ),
    "what is told of a message": ("chat", lambda response: response.message.additional_kwargs.clear()),
    "what is told": ("chat", lambda response: response.additional_kwargs.clear()),
    "raw": ("chat", lambda response: response.raw.clear()),
    "counts in raw": ("chat", lambda response: response.raw.get("usage", {}).clear()),
    "times that are told": ("chat", lambda response: response.additional_kwargs.get("timings", {}).clear()),
    "a completion": ("completion", lambda response: setattr(response, "text", "mine")),
    "raw of a completion": ("completion", lambda response: response.raw.clear()),
    "what is told of a completion": ("completion", lambda response: response.additional_kwargs.clear()),
}


@pytest.mark.parametrize("what", CHANGES)
def test_who_changes_one_response_of_a_stream_changes_no_other(what: str) -> None:
    kind, change = CHANGES[what]
    untouched = streamed(kind, None, 0)
    for at in range(len(untouched)):
        assert streamed(kind, change, at) == untouched


def test_what_one_thread_sets_is_not_lost_where_another_looks_for_the_first_time() -> None:
    block: Any = late(LateText, {"block_type": "text"}, {"text"}, SlowToRead(), 0)
    setting = Thread(target=lambda: setattr(block, "text", "mine"))

    def meanwhile() -> None:
        setting.start()
        setting.join(0.2)  # it has to wait for who looks

    block._so_far[0].meanwhile = meanwhile
    assert block.model_dump()["text"] in ("theirs", "mine")
    setting.join()
    assert block.text == "mine"


class SlowToRead(Growing):
    """A text during whose reading something else is done."""

    meanwhile: Callable[[], None]

    def up_to(self, length: int) -> str:
        self.meanwhile()
        return "theirs"


def test_a_field_that_was_deleted_stays_so() -> None:
    block = chats()[4].message.blocks[-1]
    assert isinstance(block, TextBlock)
    assert block.text
    del block.text
    with pytest.raises(AttributeError, match="text"):
        _ = block.text


def test_a_class_of_somebodys_own_may_be_made_of_one_that_is_streamed() -> None:
    streamed_class: Any = type(chats()[4].message.blocks[-1])

    class Mine(streamed_class):  # type: ignore[misc, valid-type]
        """One of somebody's own."""

    mine: Any = Mine(text="x")
    assert mine == Mine(text="x") != Mine(text="y")
    assert copy.copy(mine).text == copy.deepcopy(mine).text == "x"
    assert streamed_class.__doc__ == TextBlock.__doc__
    assert streamed_class.model_json_schema() == TextBlock.model_json_schema()


@pytest.mark.parametrize("kind", ["chat", "completion"])
def test_responses_that_are_kept_share_what_had_come(kind: str) -> None:
    tracemalloc.start()
    try:
        kept = chats(2000, kind)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(kept) == 4000
    assert taken < 10_000_000  # copies would be 20 MB more
