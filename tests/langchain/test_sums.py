"""Chunks that are added up: each sum is LangChain's own in every field, and no character of arguments is looked at twice."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.load import dumps, loads
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    BaseMessageChunk,
    ToolCallChunk,
    convert_to_messages,
    merge_message_runs,
    message_chunk_to_message,
)
from langchain_core.messages import ai as langchain_ai
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import RunnableLambda
from langchain_core.utils.json import parse_partial_json
from langchain_vessel import sums
from langchain_vessel.chunks import Chunks, chunk
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import START, MessagesState, StateGraph  # pyright: ignore[reportMissingTypeStubs]
from langgraph.graph.message import add_messages  # pyright: ignore[reportMissingTypeStubs]
from pydantic import BaseModel
from vessel_core.types import Delta, Progress, ToolCallDelta, Usage

from tests.fake_server import llamacpp_server
from tests.langchain import scripted
from tests.langchain.ways import BETA, OUTPUT_VERSIONS, model

pytestmark = pytest.mark.filterwarnings(BETA)

DEEP = 300
ODD = [
    '{"path": "/tmp/a", "text": "one\\ntwo \\"three\\" \\\\", "n": [1, {"a": null}], "b": true}',
    '{"text": "a raw\nnewline, a\ttab, a \x01, and \\\nboth"}',
    '{"a": "\\ud83d\\ude00 \\ud83d half, \\u00e9 \\u12g4"}',
    '{"a": "\ud83d", "é": "\u00a0\u2028"}',
    '{"a": "\\q", "b": 1}',
    '{"a": 1e5, "b": -0.5E+10, "c": 1e400, "d": 01, "e": 1.}',
    '{"a": tru, "b": fals, "c": nul}',
    '{"a": truee, "b": 1}',
    '{"a": NaN, "b": -Infinity, "c": [Infinity, -0, 123456789012345678901234567890]}',
    '{"a": 1, "a": {"b": 2}, "a": [3]}',
    '{"a": ' + "9" * 4301 + ', "b": 1}',
    '{"a": {"b": {"c": [[], {}, [{}]]}}, "d": ""}',
    '{"a": {"b": 1}, x{',
    '{"a": b, "c": "{"}',
    "{'a': 1}",
    '{"a": 1 2, "b" "c": 3,, "d": }',
    '{"a": [1, "b": 2]}',
    '{"a": [1, 2}]}',
    '{"a": 1}{"b": 2}',
    '{"a": 1} and more',
    '{"a": 1}]',
    "[1, 2, 3]",
    '"text"',
    "12",
    "null",
    "  \n ",
    ' \u00a0{"a": 1}',
    "\ufeff{}",
    '\\{"a": "\\',
    '{"a": 1\\"}',
    "[" * DEEP + "]" * DEEP,
    '{"a":' * DEEP,
]


def plain(made: BaseMessageChunk) -> AIMessageChunk:
    """Return the same chunk as LangChain would have made it."""
    return AIMessageChunk(**{name: copy.deepcopy(getattr(made, name)) for name in made.model_fields_set})


def pieces(text: str, size: int, index: int = 0) -> list[ToolCallChunk]:
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    return [
        tool_call_chunk(name="write", args="", id="call-1", index=index),
        *(tool_call_chunk(name=None, args=part, id=None, index=index) for part in parts),
    ]


def calling(*calls: ToolCallChunk, text: str = "") -> AIMessageChunk:
    made = chunk(text, calls=list(calls)).message
    assert isinstance(made, AIMessageChunk)
    return made


def same(made: Any, theirs: Any) -> None:
    """Compare two chunks in each field, down to the order of names."""
    assert isinstance(made, AIMessageChunk)
    assert type(theirs) is AIMessageChunk
    assert vars(made) == vars(theirs)
    assert repr(vars(made)) == repr(vars(theirs))
    assert made.model_fields_set == theirs.model_fields_set
    assert made.__pydantic_extra__ == theirs.__pydantic_extra__
    assert made.__pydantic_private__ == theirs.__pydantic_private__


def every_sum_is_langchains(chunks: Sequence[AIMessageChunk]) -> sums.Chunk:
    """Return the sum of all, of which each on the way has been compared with LangChain's."""
    total, theirs = chunks[0], plain(chunks[0])
    for each in chunks[1:]:
        total, theirs = total + each, theirs + plain(each)
        same(total, theirs)
    assert type(total) is sums.Chunk
    return total


@pytest.mark.parametrize("size", [1, 2, 7])
@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_every_sum_of_odd_arguments_is_langchains_own(text: str, size: int) -> None:
    every_sum_is_langchains([calling(piece) for piece in pieces(text, size)])


def test_arguments_that_are_too_deep_are_no_call() -> None:
    deep, more = pieces('{"a":' * 3001, 5 * 3000)[1:]
    total = every_sum_is_langchains([calling(), calling(deep), calling(more)])
    assert len(total.invalid_tool_calls) == 1


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
OBJECTS = st.dictionaries(st.text(max_size=5), VALUES, max_size=4)
WRITTEN = st.builds(json.dumps, OBJECTS, ensure_ascii=st.booleans(), indent=st.none() | st.just(1))
MARKS = st.sampled_from([*'{}[]":,\\ \n\te.-1u', "tru", "null", "NaN", "-Inf", '"a"', '{"a": ', "\\u", "\\ud83d", "é"])
MARKED = st.lists(MARKS, max_size=16).map("".join)


def damaged(text: str, at: int, mark: str) -> str:
    return text[:at] + mark + text[at:]


DAMAGED = st.builds(damaged, WRITTEN, st.integers(0, 40), MARKS)


@given(WRITTEN | MARKED | MARKED.map(lambda text: f'{{"k": {text}') | DAMAGED, st.integers(1, 4))
def test_every_sum_of_any_arguments_is_langchains_own(text: str, size: int) -> None:
    every_sum_is_langchains([calling(piece) for piece in pieces(text, size)])


def of(*deltas: Delta) -> list[AIMessageChunk]:
    """Return what is streamed of these, the last chunk with it."""
    chunks = Chunks()
    made = [*(chunks.of(delta) for delta in deltas), chunks.last()]
    return [each.message for each in made if each is not None and isinstance(each.message, AIMessageChunk)]


def begun(index: int, name: str = "look") -> ToolCallDelta:
    return ToolCallDelta(index, f"call-{index}", name, "")


ANSWERS = {
    "all there is": of(
        Delta(progress=Progress("reading", 2, 3)),
        Delta(reasoning="Let me "),
        Delta(reasoning="see."),
        Delta("I look", logprobs=[{"token": "I look", "logprob": -0.1}]),
        Delta(tool_calls=[begun(0)]),
        Delta(tool_calls=[ToolCallDelta(0, arguments='{"a": ')]),
        Delta(" at it.", tool_calls=[ToolCallDelta(0, arguments='"b"}'), begun(1)]),
        Delta(tool_calls=[ToolCallDelta(1, arguments="{}")], finish="tool_calls", usage=Usage(3, 4, 7)),
    ),
    "calls in turns": of(
        Delta(tool_calls=[begun(0), begun(1, "write")]),
        *(
            Delta(tool_calls=[ToolCallDelta(index, arguments=part)])
            for pair in zip(('{"a', '": [', "1, ", "2]}"), ('{"text": "o', "ne\\n", "two", '"}'), strict=True)
            for index, part in enumerate(pair)
        ),
    ),
    "calls at once": of(
        *(Delta(tool_calls=[ToolCallDelta(0, arguments=a), ToolCallDelta(1, arguments=a)]) for a in '{"a": 1}')
    ),
    "a call cut off": of(
        Delta(tool_calls=[begun(0)]),
        Delta(tool_calls=[ToolCallDelta(0, arguments='{"path": "/tmp/a", "re')]),
        Delta(tool_calls=[ToolCallDelta(0, error="cut off")], finish="length"),
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_every_sum_of_an_answer_is_langchains_own(name: str) -> None:
    every_sum_is_langchains(ANSWERS[name])


def test_sums_of_content_blocks_and_of_names_are_langchains_own() -> None:
    parts = [
        plain(calling(piece)).model_copy(
            update={
                "content": [{"type": "tool_call_chunk", "id": piece["id"], "args": piece["args"], "index": "lc_tc_0"}],
                "response_metadata": {"output_version": "v1"},
                "id": name,
            }
        )
        for piece, name in zip(
            pieces('{"a": 1, "b": [2]}', 4), ("lc_1", None, "lc_run--2", "chat-3", "chat-4", None), strict=True
        )
    ]
    last = AIMessageChunk(content=[], response_metadata={"output_version": "v1"}, chunk_position="last")
    first = calling(pieces("", 1)[0]).model_copy(update=vars(parts[0]))
    assert type(first) is sums.Chunk
    total = every_sum_is_langchains([first, *parts[1:], last])
    assert total.content == [{"type": "tool_call", "name": "write", "args": {"a": 1, "b": [2]}, "id": "call-1"}]
    assert total.id == "chat-3"


def test_pieces_that_have_no_index_stay_apart() -> None:
    parts = [tool_call_chunk(name="f", args=args, id=None, index=None) for args in ('{"a": 1}', '{"b', "")]
    total = every_sum_is_langchains([calling(), calling(*parts), calling(parts[1])])
    assert len(total.tool_call_chunks) == 4


def test_two_sums_that_begin_with_one_chunk_know_nothing_of_each_other() -> None:
    head, part = pieces('{"a": "', 9)
    first = calling(head) + calling(part)
    one, two = (first + calling(tool_call_chunk(name=None, args=args, id=None, index=0)) for args in ('x"}', 'yy", "b'))
    assert [each.tool_calls[0]["args"] for each in (one, two)] == [{"a": "x"}, {"a": "yy"}]


def test_what_is_done_to_a_sum_counts_in_the_next() -> None:
    head, *parts = (calling(piece) for piece in pieces('{"a": "one", "b": [1, 2]}', 4))
    total = head + parts[0] + parts[1]
    total.tool_calls[0]["args"]["a"] = "mine"
    total.tool_call_chunks[0]["args"] = '{"z": ["two'
    total.name = "me"
    same(total + parts[2], plain(total) + plain(parts[2]))
    assert (total + parts[2]).tool_calls[0]["args"] == {"z": ["twone"]}


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_sum_of_many_at_once_is_langchains_own(kind: Any) -> None:
    for answer in ANSWERS.values():
        first, *others = answer
        same(first + kind(others), plain(first) + kind([plain(each) for each in others]))


def test_other_chunks_in_a_sum() -> None:
    head, *parts = (calling(piece) for piece in pieces('{"a": "one"}', 4))
    theirs = plain(head) + plain(parts[0])
    assert type(plain(head) + parts[0]) is AIMessageChunk
    same(plain(head) + parts[0], theirs)
    same(head + plain(parts[0]), theirs)
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = head + 1  # type: ignore[operator]  # pyright: ignore[reportUnusedExpression]


class Counted:
    """A pattern that counts the characters it is given."""

    def __init__(self) -> None:
        self.characters = 0
        self._pattern = sums._STRUCTURE  # pyright: ignore[reportPrivateUsage]

    def finditer(self, text: str, begin: int) -> Iterator[Any]:
        self.characters += len(text) - begin
        return self._pattern.finditer(text, begin)


@pytest.mark.parametrize(
    ("text", "times"),
    [
        (json.dumps({"path": "notes.txt", "text": "a line\n" * 300}), 1.01),
        (json.dumps({"rows": [{"id": at, "name": "abc", "ok": True} for at in range(60)]}), 1.25),
        ('{"text": "' + "a raw line\n" * 200 + '"}', 1.01),
        ('{"a": b, "c": "' + "x" * 2000, 4),
    ],
)
@pytest.mark.parametrize("calls", [1, 2])
def test_each_character_is_looked_at_once(monkeypatch: pytest.MonkeyPatch, text: str, times: float, calls: int) -> None:
    counted, readings = Counted(), 0
    parsed = sums._parsed  # pyright: ignore[reportPrivateUsage]

    def counting(document: str) -> Any:
        nonlocal readings
        readings += 1
        return parsed(document)

    made = [
        calling(piece) for pair in zip(*(pieces(text, 2, at) for at in range(calls)), strict=True) for piece in pair
    ]
    monkeypatch.setattr(sums, "_STRUCTURE", counted)
    monkeypatch.setattr(sums, "_parsed", counting)
    monkeypatch.setattr(langchain_ai, "parse_partial_json", None)  # whatever it is given would be no call then
    total = made[0]
    for each in made[1:]:
        total = total + each
        assert len(total.tool_calls) == len(total.tool_call_chunks)
    assert counted.characters == calls * len(text)
    assert readings <= times * calls * len(made)


SUM = every_sum_is_langchains(ANSWERS["all there is"])
THEIRS = plain(SUM)


def test_a_sum_equals_langchains_both_ways() -> None:
    assert SUM == THEIRS
    assert THEIRS == SUM
    assert every_sum_is_langchains(ANSWERS["all there is"]) == SUM
    other = THEIRS.model_copy(update={"content": "other"})
    assert other != SUM
    assert other != SUM
    assert AIMessage(content="I look at it.") != SUM
    assert SUM != "I look at it."
    with pytest.raises(TypeError, match="unhashable"):
        hash(SUM)


def test_a_streamed_chunk_equals_langchains_both_ways() -> None:
    made = Chunks().of(Delta(text="Hi"))
    assert made is not None
    theirs = ChatGenerationChunk(message=plain(made.message))
    assert made == theirs
    assert theirs == made
    assert made == Chunks().of(Delta(text="Hi"))
    assert made != ChatGenerationChunk(message=AIMessageChunk(content="Hi"))
    assert type(pickle.loads(pickle.dumps(made))) is ChatGenerationChunk
    assert pickle.loads(pickle.dumps(made)) == made
    assert repr(made) == repr(theirs)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_what_is_pickled_is_langchains(protocol: int) -> None:
    again = pickle.loads(pickle.dumps(SUM, protocol))
    same(again, THEIRS)
    assert b"vessel.sums" not in pickle.dumps(SUM, protocol)


def model_copied(made: AIMessageChunk) -> AIMessageChunk:
    return made.model_copy(deep=True)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, AIMessageChunk.model_copy, model_copied])
def test_a_copy_is_added_up_as_the_chunk_is(copied: Any) -> None:
    [*begin, end] = [calling(piece) for piece in pieces('{"a": "one", "b": 2}', 4)]
    total = every_sum_is_langchains(begin)
    assert type(copied(total)) is sums.Chunk
    assert copied(total) == total
    same(copied(total) + end, plain(total) + plain(end))


def test_a_sum_is_written_and_shown_as_langchains() -> None:
    assert repr(SUM) == repr(THEIRS)
    assert str(SUM) == str(THEIRS)
    assert SUM.pretty_repr() == THEIRS.pretty_repr()
    assert SUM.model_dump() == THEIRS.model_dump()
    assert SUM.model_dump_json() == THEIRS.model_dump_json()
    assert ChatGenerationChunk(message=SUM).model_dump() == ChatGenerationChunk(message=THEIRS).model_dump()
    assert SUM.content_blocks == THEIRS.content_blocks
    assert dumps(SUM) == dumps(THEIRS)
    assert type(loads(dumps(SUM), allowed_objects=[AIMessageChunk])) is AIMessageChunk
    kind, written = JsonPlusSerializer().dumps_typed(SUM)
    assert (kind, written) == JsonPlusSerializer().dumps_typed(THEIRS)


class Kept(BaseModel):
    message: AnyMessage
    chunk: AIMessageChunk


def test_a_sum_is_a_chunk_to_whoever_checks() -> None:
    kept = Kept(message=SUM, chunk=SUM)
    assert kept.message is SUM
    assert kept.chunk is SUM
    assert kept.model_dump() == Kept(message=THEIRS, chunk=THEIRS).model_dump()
    assert convert_to_messages([SUM]) == [SUM]
    assert type(SUM.model_validate(SUM.model_dump())) is sums.Chunk


def test_a_whole_message_of_a_sum_is_an_aimessage() -> None:
    whole = message_chunk_to_message(SUM)
    assert type(whole) is AIMessage
    assert whole == message_chunk_to_message(THEIRS)
    assert whole.model_fields_set == message_chunk_to_message(THEIRS).model_fields_set
    [added] = add_messages([], [SUM])  # type: ignore[list-item]
    assert type(added) is AIMessage
    pair = [AIMessage(content="One"), SUM]
    runs, theirs = merge_message_runs(pair), merge_message_runs([AIMessage(content="One"), THEIRS])
    assert [type(each) for each in runs] == [type(each) for each in theirs]
    assert runs == theirs
    generated = generate_from_stream(ChatGenerationChunk(message=each) for each in ANSWERS["all there is"])
    assert type(generated.generations[0].message) is AIMessage
    assert generated.generations[0].message == whole


@pytest.mark.parametrize("output_version", OUTPUT_VERSIONS)
def test_a_chain_and_its_tracers_make_langchain_complete_no_part_of_a_call(
    monkeypatch: pytest.MonkeyPatch, output_version: str
) -> None:
    arguments = json.dumps({"text": "a line\n" * 20})
    stream = scripted.piece({"tool_calls": [{"index": 0, "id": "1", "function": {"name": "write", "arguments": ""}}]})
    for at in range(0, len(arguments), 2):
        stream += scripted.piece({"tool_calls": [{"index": 0, "function": {"arguments": arguments[at : at + 2]}}]})
    completed: list[str] = []

    def parsing(text: str) -> Any:
        completed.append(text)
        return parse_partial_json(text)

    monkeypatch.setattr(langchain_ai, "parse_partial_json", parsing)
    with llamacpp_server(stream + scripted.ending("tool_calls")) as server:
        chain: Any = RunnableLambda[str, str](lambda text: text) | model(
            server, together=False, output_version=output_version
        )
        total, *others = chain.stream("x")
    for each in others:
        total = total + each
    assert total.tool_calls[0]["args"] == json.loads(arguments)
    assert set(completed) <= {
        arguments
    }  # in the one sum of all that the model's own tracer is given, and with the last chunk of v1


def test_a_graph_streams_chunks_and_keeps_a_message() -> None:
    with llamacpp_server(scripted.calling(("look", '{"a": 1}'), text="I look.")) as server:
        chat = model(server, together=False)

        def ask(state: MessagesState) -> dict[str, Any]:
            total: Any
            total, *others = chat.stream(state["messages"])
            for each in others:
                total = total + each
            return {"messages": [total]}

        graph: Any = StateGraph(MessagesState)
        graph.add_node("ask", ask)
        graph.add_edge(START, "ask")
        parts: list[Any] = list(
            graph.compile().stream({"messages": [("user", "x")]}, stream_mode=["messages", "values"])
        )
    tokens = [part[0] for mode, part in parts if mode == "messages"]
    assert [type(token) for token in tokens] == [sums.Chunk] * len(tokens)
    assert "".join(token.text for token in tokens) == "I look."
    kept = parts[-1][1]["messages"][-1]
    assert type(kept) is AIMessage
    assert kept.tool_calls[0]["args"] == {"a": 1}
