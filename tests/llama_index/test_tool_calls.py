"""Tool calls as servers really stream them, on scripted bytes; and what reading them costs."""

from __future__ import annotations

import json
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.tools import FunctionTool
from llama_index.llms.vessel import Vessel
from llama_index.llms.vessel.messages import to_wire
from llama_index.llms.vessel.partial import partial_object
from llama_index.llms.vessel.responses import Answer
from llama_index.llms.vessel.tools import tool_selections
from vessel_core import Delta
from vessel_core.errors import InvalidOutput
from vessel_core.partial_json import PartialJSON
from vessel_core.types import ToolCallDelta
from vessel_core.wire.jsontext import MAX_DEPTH

from tests.llama_index.conformance.answers import answer, call_piece, calls, ending
from tests.llama_index.conformance.looking import extra
from tests.llama_index.scripted import scripted, sent


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return city


WEATHER = FunctionTool.from_defaults(get_weather)
LISBON = ("get_weather", {"city": "Lisbon"})


def ask(llm: Vessel, **options: Any) -> ChatResponse:
    return llm.chat_with_tools([WEATHER], "Weather?", allow_parallel_tool_calls=True, **options)


def test_two_identical_calls_stay_two_with_ids_of_their_own() -> None:
    with scripted(calls(LISBON, LISBON, ids=["same", "same"])) as (llm, _):
        selections = llm.get_tool_calls_from_response(ask(llm))
    assert [selection.tool_kwargs for selection in selections] == [{"city": "Lisbon"}] * 2
    assert len({selection.tool_id for selection in selections}) == 2


def test_calls_that_got_no_id_get_one() -> None:
    with scripted(calls(LISBON, LISBON, ids=[None, ""])) as (llm, _):
        response = ask(llm)
    ids = [block.tool_call_id for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    assert all(ids)
    assert len(set(ids)) == 2
    assert [call["id"] for call in extra(response.message)["tool_calls"]] == ids


def test_calls_come_in_one_order_streamed_or_not_whichever_has_arguments() -> None:
    stream = (
        call_piece(0, "", name="get_time", call_id="a")
        + call_piece(1, '{"city": "Oslo"}', name="get_weather", call_id="b")
        + ending("tool_calls")
    )
    with scripted(stream) as (llm, _):
        *_, streamed = llm.stream_chat_with_tools([WEATHER], "Weather?", allow_parallel_tool_calls=True)
        for response in (streamed, ask(llm)):
            named = [call.tool_name for call in llm.get_tool_calls_from_response(response)]
            assert named == ["get_time", "get_weather"]


def test_interleaved_calls_keep_their_own_arguments() -> None:
    stream = (
        call_piece(0, '{"city": ', name="get_weather", call_id="a")
        + call_piece(1, '{"city": ', name="get_weather", call_id="b")
        + call_piece(0, '"Lisbon"}')
        + call_piece(1, '"Oslo"}')
        + ending("tool_calls")
    )
    with scripted(stream) as (llm, _):
        selections = llm.get_tool_calls_from_response(ask(llm))
    assert [(each.tool_id, each.tool_kwargs["city"]) for each in selections] == [("a", "Lisbon"), ("b", "Oslo")]


def test_the_request_says_what_was_asked_of_it() -> None:
    with scripted(calls(LISBON)) as (llm, server):
        for choice in ({}, {"tool_choice": "auto"}, {"tool_choice": "any", "tool_required": False}):
            ask(llm, **{"tool_required": True, **choice})
            assert sent(server)["tool_choice"] == "required"
        assert sent(server)["parallel_tool_calls"] is True
        (tool,) = sent(server)["tools"]
        assert tool["function"]["name"] == "get_weather"
        assert tool["function"]["parameters"]["required"] == ["city"]
        llm.chat_with_tools([WEATHER], "Weather?")
        assert "tool_choice" not in sent(server)
        assert sent(server)["parallel_tool_calls"] is False
        llm.chat_with_tools([WEATHER], "Weather?", tool_choice="none")
        assert sent(server)["tool_choice"] == "none"
        llm.chat_with_tools([], "Weather?", tool_required=True)
        assert "tools" not in sent(server)
        assert "tool_choice" not in sent(server)


async def test_required_tools_are_required_in_all_four_forms() -> None:
    with scripted(calls(LISBON)) as (llm, server):
        llm.chat_with_tools([WEATHER], "Weather?", tool_required=True)
        list(llm.stream_chat_with_tools([WEATHER], "Weather?", tool_required=True))
        await llm.achat_with_tools([WEATHER], "Weather?", tool_required=True)
        async for _ in await llm.astream_chat_with_tools([WEATHER], "Weather?", tool_required=True):
            pass
        await llm.aclose()
        assert [request.json()["tool_choice"] for request in server.asked("/v1/chat/completions")] == ["required"] * 4


def test_only_one_call_is_let_through_if_only_one_is_allowed() -> None:
    with scripted(calls(LISBON, LISBON)) as (llm, _):
        whole = llm.chat_with_tools([WEATHER], "Weather?")
        *_, streamed = llm.stream_chat_with_tools([WEATHER], "Weather?")
    assert len(llm.get_tool_calls_from_response(whole)) == 1
    assert len(llm.get_tool_calls_from_response(streamed)) == 1


def test_a_tool_whose_name_no_other_class_takes_is_found_again() -> None:
    tool = FunctionTool.from_defaults(get_weather, name="Box[int]")
    with scripted(calls(("Box[int]", {"city": "Oslo"}))) as (llm, server):
        done = llm.predict_and_call([tool], "Weather?")
        assert sent(server)["tools"][0]["function"]["name"] == "Box[int]"
    assert done.response == "Oslo"


def test_arguments_that_are_no_object_are_an_error_and_never_an_empty_call() -> None:
    with scripted(call_piece(0, '["Oslo"]', name="get_weather", call_id="a") + ending("tool_calls")) as (llm, _):
        response = ask(llm)
        with pytest.raises(InvalidOutput, match="no JSON object"):
            llm.get_tool_calls_from_response(response)
        (selection,) = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
        assert selection.tool_name.startswith("get_weather (")  # a tool that there isn't


def test_no_call_is_an_error_only_if_one_was_wanted() -> None:
    with scripted(answer("No.")) as (llm, _):
        response = ask(llm)
    assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
    with pytest.raises(ValueError, match="called no tool"):
        llm.get_tool_calls_from_response(response)


def test_the_calls_of_another_class_are_read_too() -> None:
    class Function:
        name = "get_weather"
        arguments = '{"city": "Oslo"}'

    class Call:
        id = "a"
        function = Function()

    dicts = [{"function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}]
    for legacy in ([Call()], dicts):
        message = ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": legacy})
        (selection,) = tool_selections(ChatResponse(message=message), required=True)
        assert selection.tool_kwargs == {"city": "Oslo"}
        assert selection.tool_id
    cut = ToolCallBlock(tool_name="get_weather", tool_kwargs='{"city": "Os')
    (selection,) = tool_selections(ChatResponse(message=ChatMessage(role="assistant", blocks=[cut])), required=True)
    assert selection.tool_kwargs == {"city": "Os"}


# ------------------------------------------------------------------------------------------------------------- reading

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def begins(partial: Any, whole: Any) -> bool:
    """Tell whether a partial value is the beginning of the whole one."""
    if isinstance(partial, dict) and isinstance(whole, dict):
        return all(name in whole and begins(value, whole[name]) for name, value in partial.items())  # pyright: ignore[reportUnknownVariableType]
    if isinstance(partial, list) and isinstance(whole, list):
        return len(partial) <= len(whole) and all(map(begins, partial, whole))  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(partial, str) and isinstance(whole, str):
        return whole.startswith(partial)
    return json.dumps(partial) == json.dumps(whole)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(), values, max_size=4), st.booleans(), st.integers(1, 7))
def test_a_document_is_read_as_far_as_it_has_come(document: dict[str, Any], escaped: bool, size: int) -> None:
    text = json.dumps(document, ensure_ascii=escaped)
    reader = PartialJSON()
    shown: list[tuple[Any, str]] = []
    for at in range(0, len(text), size):
        reader.feed(text[at : at + size])
        value = reader.value()
        shown.append((value, json.dumps(value)))
        assert value is None or begins(value, document)
    assert reader.complete
    assert reader.value() == document
    assert all(json.dumps(value) == dumped for value, dumped in shown[:-1] if value is not reader.value())


@pytest.mark.parametrize(
    "text", ["", "no JSON", '{"a": bad', '{"a" "b"', "}{", '{"a": 1}}}', "[[[[", '{"a": "\\u12', "{1: 2}"]
)
def test_what_is_no_document_is_read_without_an_error(text: str) -> None:
    assert isinstance(partial_object(text), dict)


def test_a_code_fence_before_the_document_is_passed_over() -> None:
    assert partial_object('Here it is:\n```json\n{"a": [1, {"b": "c') == {"a": [1, {"b": "c"}]}


@pytest.mark.parametrize("level", ['{"a":', '{"a":['])
def test_what_nests_deeper_than_documents_may_is_no_object(level: str) -> None:
    brackets = level.count("{") + level.count("[")
    deepest = level * (MAX_DEPTH // brackets)
    assert partial_object(deepest)
    for deeper in (deepest + level, deepest * 100):
        assert partial_object(deeper) == {}
        assert partial_object(deeper + '1}]} {"b": 1}') == {}


def test_a_history_with_arguments_nested_deep_is_sent_with_none() -> None:
    """An agent sends back what the model wrote; five kilobytes of this end in a RecursionError where they are written."""
    call = ToolCallBlock(tool_call_id="a", tool_name="write", tool_kwargs='{"a":' * 1000)
    [message] = to_wire([ChatMessage(role="assistant", blocks=[call])])
    assert [each["function"]["arguments"] for each in message.get("tool_calls", ())] == ["{}"]


def selected(arguments: str) -> list[Any]:
    """Return the selections of a call whose arguments come in pieces of two characters, read with each piece."""
    answer = Answer()
    answer.take(Delta(tool_calls=[ToolCallDelta(0, "a", "write", "")]))
    for at in range(0, len(arguments), 2):
        delta = Delta(tool_calls=[ToolCallDelta(0, arguments=arguments[at : at + 2])])
        answer.take(delta)
        tool_selections(answer.chat(delta), required=False)
    answer.take(Delta(finish="tool_calls"))
    return tool_selections(answer.chat(), required=True)


def steps(arguments: str) -> int:
    """Return how many lines of code are run to read such a call."""
    run = 0

    def note(_: FrameType, event: str, __: Any) -> Any:
        nonlocal run
        run += event == "line"
        return note

    before = sys.gettrace()
    sys.settrace(note)
    try:
        selections = selected(arguments)
    finally:
        sys.settrace(before)
    assert selections[0].tool_kwargs == json.loads(arguments)
    return run


def long_arguments(shape: str, size: int) -> str:
    if shape == "text":
        return json.dumps({"code": "x = 1\n" * (size // 7)})
    if shape == "numbers":
        return json.dumps({"rows": list(range(10, 10 + size // 6))})
    return json.dumps({f"f{number}": number for number in range(size // 14)})


@pytest.mark.parametrize("shape", ["text", "numbers", "fields"])
def test_long_arguments_cost_in_proportion_to_their_length(shape: str) -> None:
    short, long = long_arguments(shape, 4_000), long_arguments(shape, 32_000)
    # Read anew with each piece, a character of the long ones would cost eight times as much.
    assert steps(long) / len(long) < 1.2 * steps(short) / len(short)


def shown(document: str) -> list[Any]:
    """Return the values that a document of 2-character pieces goes through."""
    reader, values = PartialJSON(), list[Any]()
    for at in range(0, len(document), 2):
        reader.feed(document[at : at + 2])
        if not values or reader.value() is not values[-1]:
            values.append(reader.value())
    return values


def test_what_is_copied_of_a_long_text_stays_in_proportion_to_it() -> None:
    short, long = ({"text": "ab " * (size // 3)} for size in (900, 64_000))
    assert len(shown(json.dumps(short))) > 400  # a short one is shown with each piece
    values = shown(json.dumps(long))
    assert values[-1] == long
    copied = sum(len(value["text"]) for value in values if value and "text" in value)
    assert copied < 1000 * 64_000  # each piece anew would be 16,000 times


def test_mended_arguments_run_and_what_the_model_wrote_is_told() -> None:
    written = "{'city': 'Lisbon',}"
    stream = call_piece(0, written, name="get_weather", call_id="a") + ending("tool_calls")
    with scripted(stream, quirks={"repair_arguments": True}) as (llm, _):
        response = ask(llm)
        assert llm.get_tool_calls_from_response(response)[0].tool_kwargs == {"city": "Lisbon"}
        assert extra(response.message)["repaired_tool_calls"] == {"a": written}
    with scripted(stream) as (llm, _):
        response = ask(llm)
        assert "repaired_tool_calls" not in extra(response.message)
        with pytest.raises(InvalidOutput, match="repair_arguments"):
            llm.get_tool_calls_from_response(response)


PROSE = answer("Hello, ", "I am a model.", finish="length")


@pytest.mark.parametrize("choice", [{"tool_required": True}, {"tool_choice": "get_weather"}, {"tool_choice": "any"}])
async def test_a_forced_call_that_does_not_come_is_an_error_in_all_four_forms(choice: dict[str, Any]) -> None:
    with scripted(PROSE) as (llm, _):
        with pytest.raises(InvalidOutput, match="had to be called") as whole:
            ask(llm, **choice)
        with pytest.raises(InvalidOutput) as awhole:
            await llm.achat_with_tools([WEATHER], "Weather?", **choice)
        with pytest.raises(InvalidOutput) as streamed:
            list(llm.stream_chat_with_tools([WEATHER], "Weather?", **choice))
        stream = await llm.astream_chat_with_tools([WEATHER], "Weather?", **choice)
        assert (await anext(stream)).delta == "Hello, "
        with pytest.raises(InvalidOutput) as astreamed:
            [each async for each in stream]
        await llm.aclose()
    for error in (whole.value, awhole.value, streamed.value, astreamed.value):
        assert error.partial is not None
        assert error.partial.text == "Hello, I am a model."
        assert "tool_required=True" not in str(error)


def test_a_forced_call_that_does_not_come_is_returned_if_it_is_not_to_be_checked() -> None:
    with scripted(PROSE) as (llm, server):
        assert ask(llm, tool_required=True, validate=False).message.content == "Hello, I am a model."
        assert "validate" not in sent(server)


def test_arguments_that_are_null_are_none() -> None:
    with scripted(call_piece(0, "null", name="get_weather", call_id="a") + ending("tool_calls")) as (llm, _):
        (selection,) = llm.get_tool_calls_from_response(ask(llm))
    assert selection.tool_kwargs == {}


def test_the_calls_of_an_anthropic_history_keep_their_arguments() -> None:
    call = {"id": "i", "name": "get_weather", "input": {"city": "Oslo"}, "type": "tool_use"}
    message = ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": [call]})
    with scripted(answer("Yes.")) as (llm, server):
        llm.chat([message])
        (asked,) = sent(server)["messages"][0]["tool_calls"]
    assert json.loads(asked["function"]["arguments"]) == {"city": "Oslo"}
