"""Tools: each form of one, each spelling of a choice on each server, results of every kind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from functools import partial, reduce
from operator import add
from typing import Any, cast

import pytest
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langchain_vessel import ChatVessel, image_block
from langchain_vessel.errors import VesselInvalidOutput
from pydantic import BaseModel, Field
from typing_extensions import TypedDict
from vessel_core.local import LocalServer

from tests.fake_server import FakeServer, llamacpp_server, lmstudio_server, ollama_server
from tests.langchain.media import picture
from tests.langchain.scripted import answer, calling, ollama_answer, ollama_lines
from tests.langchain.ways import BETA, every_way


@tool
def search(query: str, limit: int = 3) -> str:
    """Search the web."""
    return f"{limit} results for {query}"


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


class Book(BaseModel):
    """Note a book."""

    title: str = Field(description="the book's title")


class Author(TypedDict):
    """Note an author."""

    name: str


JSON_SCHEMA = {
    "title": "Place",
    "description": "Note a place",
    "type": "object",
    "properties": {"x": {"type": "integer"}},
}
OPENAI: dict[str, Any] = {
    "type": "function",
    "function": {"name": "now", "parameters": {"type": "object", "properties": {}}},
}
ANTHROPIC = {"name": "pick", "input_schema": {"type": "object", "properties": {"color": {"type": "string"}}}}


def sent(server: FakeServer, path: str = "/v1/chat/completions") -> dict[str, Any]:
    return server.asked(path)[-1].json()


def chat(server: FakeServer, **options: Any) -> ChatVessel:
    return ChatVessel(base_url=server.base_url, model="m", **options)


@pytest.mark.parametrize(
    ("given", "name", "parameters"),
    [
        (search, "search", {"query", "limit"}),
        (multiply, "multiply", {"a", "b"}),
        (Book, "Book", {"title"}),
        (Author, "Author", {"name"}),
        (JSON_SCHEMA, "Place", {"x"}),
        (OPENAI, "now", set[str]()),
        ({"type": "function", **OPENAI["function"]}, "now", set[str]()),  # of the Responses API
        (ANTHROPIC, "pick", {"color"}),
    ],
)
def test_every_form_of_a_tool_is_sent(given: Any, name: str, parameters: set[str]) -> None:
    with llamacpp_server(answer("Hi")) as server:
        chat(server).bind_tools([given]).invoke("x")
        [made] = sent(server)["tools"]
    assert made["type"] == "function"
    assert made["function"]["name"] == name
    assert made["function"]["parameters"]["properties"].keys() == parameters


@pytest.mark.parametrize("choice", [None, "any", "web_search"])
def test_a_tool_that_only_a_provider_runs_is_refused_when_it_is_bound(choice: str | None) -> None:
    with pytest.raises(ModelInvalidRequestError, match=r"tools\[1\] is \{'type': 'web_search'\}"):
        ChatVessel().bind_tools([search, {"type": "web_search"}], tool_choice=choice)


@pytest.mark.parametrize(
    "given",
    [
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        {"type": "text_editor_20250124", "name": "str_replace_editor"},
        {"google_search": {}},
    ],
)
def test_tools_that_anthropics_and_googles_servers_run_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ModelInvalidRequestError, match=r"tools\[0\] is .*own servers run"):
        ChatVessel().bind_tools([given])


def test_a_tool_that_has_no_name_is_refused_with_its_place() -> None:
    with pytest.raises(ModelInvalidRequestError, match=r"tools\[1\] is a partial, which has no name"):
        ChatVessel().bind_tools([search, partial(multiply, b=2)])


OPENAI_NAMED = {"type": "function", "function": {"name": "multiply"}}
CHOICES: list[tuple[Any, list[str], str | None]] = [
    (None, ["search", "multiply"], None),
    (False, ["search", "multiply"], None),
    ("auto", ["search", "multiply"], "auto"),
    ("none", ["search", "multiply"], "none"),
    ("any", ["search", "multiply"], "required"),
    ("required", ["search", "multiply"], "required"),
    (True, ["search", "multiply"], "required"),
    ({"type": "any"}, ["search", "multiply"], "required"),
    ({"type": "auto"}, ["search", "multiply"], "auto"),
    ("multiply", ["multiply"], "required"),
    (OPENAI_NAMED, ["multiply"], "required"),
    ({"type": "function", "name": "multiply"}, ["multiply"], "required"),
    ({"type": "tool", "name": "multiply"}, ["multiply"], "required"),
    ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [OPENAI_NAMED]}}, ["multiply"], "auto"),
    (
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "search"}]},
        ["search"],
        "required",
    ),
]


@pytest.mark.parametrize("make", [llamacpp_server, lmstudio_server])
@pytest.mark.parametrize(("choice", "names", "wire"), CHOICES)
def test_a_choice_goes_as_a_string_and_a_named_tool_goes_alone(
    make: Callable[..., FakeServer], choice: Any, names: list[str], wire: str | None
) -> None:
    with make(calling((names[-1], "{}"))) as server:
        ChatVessel(base_url=server.base_url).bind_tools([search, multiply], tool_choice=choice).invoke("x")
        body = sent(server)
    assert [each["function"]["name"] for each in body["tools"]] == names
    assert body.get("tool_choice") == wire


def test_allowed_tools_may_be_said_with_a_call_and_must_be_there() -> None:
    allowed: Any = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "search"}]}
    with llamacpp_server(answer("Hi")) as server:
        chat(server).bind_tools([search, multiply]).invoke("x", tool_choice=allowed)
        assert [each["function"]["name"] for each in sent(server)["tools"]] == ["search"]
    with pytest.raises(ModelInvalidRequestError, match="'search', which is none of the tools"):
        ChatVessel().bind_tools([multiply], tool_choice=allowed)


def test_a_named_tool_is_forced_on_ollama_too() -> None:
    with ollama_server(ollama_answer(['{"a": 6, ', '"b": 7}'])) as server:
        model = ChatVessel(base_url=server.base_url, model="qwen3:8b")
        [call] = model.bind_tools([search, multiply], tool_choice="multiply").invoke("6 x 7").tool_calls
        body = sent(server, "/api/chat")
    assert (call["name"], call["args"]) == ("multiply", {"a": 6, "b": 7})
    assert body["format"]["properties"].keys() == {"a", "b"}


def test_some_tool_is_forced_on_ollama_too() -> None:
    text = '{"name": "search", "arguments": {"query": "cats"}}'
    with ollama_server(ollama_lines({"content": text})) as server:
        model = ChatVessel(base_url=server.base_url, model="qwen3:8b")
        [call] = model.bind_tools([search, multiply], tool_choice="any").invoke("cats").tool_calls
    assert (call["name"], call["args"]) == ("search", {"query": "cats"})


def test_a_tool_that_is_not_there_is_refused_when_bound() -> None:
    with pytest.raises(ModelInvalidRequestError, match="did you mean 'multiply'"):
        ChatVessel().bind_tools([search, multiply], tool_choice="mutiply")


def test_no_tools_send_no_tools() -> None:
    with llamacpp_server(answer("Hi")) as server:
        chat(server).bind_tools([], tool_choice="auto").invoke("x")
        assert not sent(server).keys() & {"tools", "tool_choice", "parallel_tool_calls"}


def test_parallel_calls_can_be_forbidden_and_a_second_call_is_dropped() -> None:
    with llamacpp_server(calling(("multiply", '{"a": 1}'), ("multiply", '{"a": 2}'))) as server:
        model = chat(server).bind_tools([multiply], parallel_tool_calls=False)
        assert [call["args"] for call in model.invoke("x").tool_calls] == [{"a": 1}]
        assert sent(server)["parallel_tool_calls"] is False


async def test_calls_come_in_one_order_streamed_or_not_whichever_has_arguments() -> None:
    with llamacpp_server(calling(("now", ""), ("multiply", '{"a": 1}'))) as server:
        model = chat(server).bind_tools([OPENAI, multiply])
        asked = [model.invoke("x"), joined(model.stream("x")), await model.ainvoke("x")]
        asked.append(joined([chunk async for chunk in model.astream("x")]))
    for message in asked:
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [("now", {}), ("multiply", {"a": 1})]


def test_strict_goes_with_the_tool() -> None:
    with llamacpp_server(answer("Hi")) as server:
        chat(server).bind_tools([multiply], strict=True).invoke("x")
        assert sent(server)["tools"][0]["function"]["strict"] is True


@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
@pytest.mark.parametrize(
    ("body", "said"), [(answer("Six"), "the model wrote 'Six'"), (calling(("multiply", '{"a": ')), "can't be run")]
)
async def test_a_forced_call_that_did_not_come_is_an_error_with_what_came(body: bytes, said: str) -> None:
    with llamacpp_server(body) as server:
        model = chat(server).bind_tools([multiply], tool_choice="any")
        free = chat(server).bind_tools([multiply], tool_choice="any", validate=False)
        ways: list[Callable[[], Any]] = [
            lambda: model.invoke("x"),
            lambda: list(model.stream("x")),
            lambda: cast("Any", model).stream_events("x", version="v3").output,
        ]
        for ask in ways:
            with pytest.raises(VesselInvalidOutput, match=said) as caught:
                ask()
            assert caught.value.partial is not None
            assert caught.value.partial.text or caught.value.partial.invalid_tool_calls
        with pytest.raises(VesselInvalidOutput, match=said):
            await model.ainvoke("x")
        with pytest.raises(VesselInvalidOutput, match=said):
            [each async for each in model.astream("x")]
        assert free.invoke("x").tool_calls == []


def test_tools_may_be_given_with_a_call_or_by_bind() -> None:
    with llamacpp_server(calling(("now", "{}"))) as server:
        chat(server).invoke("x", tools=[OPENAI], tool_choice="now")
        assert sent(server)["tool_choice"] == "required"
        chat(server).bind(tools=[multiply]).invoke("x")
        assert sent(server)["tools"][0]["function"]["name"] == "multiply"


def test_a_tool_without_a_name_is_refused_before_anything_is_sent() -> None:
    with llamacpp_server(answer("Hi")) as server:
        with pytest.raises(ModelInvalidRequestError, match="has no name"):
            chat(server).invoke("x", tools=[{"type": "function", "function": {"name": " "}}])
        assert server.asked("/v1/chat/completions") == []


# ------------------------------------------------------------------------------------------------------------- results

QUESTION = HumanMessage("What is 6 x 7?")
CALL = AIMessage("", tool_calls=[{"name": "multiply", "args": {"a": 6, "b": 7}, "id": "call-7"}])


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        ("42", "42"),
        (["forty", "two"], "forty\ntwo"),
        ([{"type": "text", "text": "42"}], "42"),
        ([{"answer": 42, "unit": None}], '{"answer": 42, "unit": null}'),
        ([{"type": "file", "name": "a.txt", "size": 3}], '{"type": "file", "name": "a.txt", "size": 3}'),
        ([{"type": "image", "path": "a.png"}], '{"type": "image", "path": "a.png"}'),
        ([{"type": "document", "source": "a.pdf", "page": 1}], '{"type": "document", "source": "a.pdf", "page": 1}'),
        ([{"type": "text", "body": "42"}], '{"type": "text", "body": "42"}'),
        ([{"type": "video", "url": "https://x/a"}], '{"type": "video", "url": "https://x/a"}'),
        ([{"type": "file", "mime_type": "text/csv", "text": "4;2"}], "4;2"),
        ("", ""),
    ],
)
def test_results_of_every_kind_travel_as_text(content: Any, wire: str) -> None:
    with llamacpp_server(answer("42")) as server:
        chat(server).invoke([QUESTION, CALL, ToolMessage(content, tool_call_id="call-7", name="multiply")])
        history = sent(server)["messages"]
    assert history[1]["tool_calls"] == [
        {"id": "call-7", "type": "function", "function": {"name": "multiply", "arguments": '{"a": 6, "b": 7}'}}
    ]
    assert history[2] == {"role": "tool", "content": wire, "name": "multiply", "tool_call_id": "call-7"}


def test_an_error_of_a_tool_is_told_to_the_model(chat_server: LocalServer) -> None:
    broken = ToolMessage("ZeroDivisionError: division by zero", tool_call_id="call-7", status="error")
    model = ChatVessel(base_url=chat_server.base_url, max_tokens=60).bind_tools([multiply])
    assert model.invoke([QUESTION, CALL, broken]).text


def test_a_picture_that_a_tool_returns_is_seen(chat_server: LocalServer) -> None:
    shown = ToolMessage([image_block(picture("green"))], tool_call_id="call-7")
    model = ChatVessel(base_url=chat_server.base_url, max_tokens=60, temperature=0)
    call = AIMessage("", tool_calls=[{"name": "draw", "args": {}, "id": "call-7"}])
    answered = model.invoke([HumanMessage("What colour did you draw?"), call, shown])
    assert "green" in answered.text.lower()


def test_a_call_that_could_not_be_run_and_its_error_stay_together() -> None:
    invalid = {"name": "multiply", "args": '{"a": ', "id": "call-9", "error": "cut off", "type": "invalid_tool_call"}
    message = AIMessage("", invalid_tool_calls=[invalid])  # pyright: ignore[reportArgumentType] - LangChain takes dicts
    with llamacpp_server(answer("42")) as server:
        chat(server).invoke([QUESTION, message, ToolMessage("cut off: try again", tool_call_id="call-9")])
        history = sent(server)["messages"]
        assert history[1]["tool_calls"][0]["id"] == "call-9"
        assert history[1]["tool_calls"][0]["function"] == {"name": "multiply", "arguments": "{}"}
        chat(server).invoke([QUESTION, message, HumanMessage("Well?")])
        assert "tool_calls" not in sent(server)["messages"][1]


def test_real_parallel_calls_have_ids_and_their_results_are_taken(chat_server: LocalServer) -> None:
    model = ChatVessel(base_url=chat_server.base_url, max_tokens=200).bind_tools([search, multiply], tool_choice="any")
    call = model.invoke("Search for cats and multiply 6 by 7")
    assert call.tool_calls
    assert len({each["id"] for each in call.tool_calls}) == len(call.tool_calls)
    runs: dict[str, BaseTool] = {"search": search, "multiply": tool(multiply)}
    results = [
        ToolMessage(str(runs[each["name"]].invoke(each["args"])), tool_call_id=each["id"]) for each in call.tool_calls
    ]
    final = ChatVessel(base_url=chat_server.base_url, max_tokens=60).invoke([HumanMessage("x"), call, *results])
    assert final.text


async def test_bound_tools_work_in_async_batches(chat_server: LocalServer) -> None:
    model = ChatVessel(base_url=chat_server.base_url, max_tokens=200).bind_tools([multiply], tool_choice="any")
    answers = await asyncio.gather(*(model.ainvoke(f"{n} x 2") for n in range(3)))
    assert [len(each.tool_calls) for each in answers] == [1, 1, 1]


async def test_arguments_that_are_json_in_a_json_string_are_the_same_invoked_and_streamed() -> None:
    with llamacpp_server(calling(("multiply", json.dumps('{"a": 6, "b": 7}')))) as server:
        chat = ChatVessel(base_url=server.base_url).bind_tools([multiply])
        asked = [chat.invoke("Hi"), joined(chat.stream("Hi")), await chat.ainvoke("Hi")]
        asked.append(joined([chunk async for chunk in chat.astream("Hi")]))
        events: Any = chat.stream_events("Hi", version="v3")
        asked.append(events.output)
    for message in asked:
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [("multiply", {"a": 6, "b": 7})]
        assert message.invalid_tool_calls == []


@pytest.mark.filterwarnings(BETA)
async def test_raw_line_breaks_in_arguments_are_taken_by_every_way() -> None:
    with llamacpp_server(calling(("search", '{\n"query": "a\n\tb"}'))) as server:
        for message in (await every_way(chat(server))).values():
            assert [call["args"] for call in message.tool_calls] == [{"query": "a\n\tb"}]
            assert message.invalid_tool_calls == []


def test_half_a_character_in_arguments_is_the_same_invoked_and_streamed() -> None:
    with llamacpp_server(calling(("now", r'{"city": "\ud83d"}'))) as server:
        model = chat(server).bind_tools([OPENAI])
        for message in (model.invoke("x"), joined(model.stream("x"))):
            assert [call["args"] for call in message.tool_calls] == [{"city": "\ufffd"}]


def joined(chunks: Iterable[Any]) -> Any:
    return reduce(add, list(chunks))


WRITTEN = "{'query': 'fox', 'limit': 2,}"


def test_mended_arguments_run_and_what_the_model_wrote_is_told() -> None:
    with llamacpp_server(calling(("search", WRITTEN))) as server:
        chat = ChatVessel(base_url=server.base_url, backend="llamacpp", quirks={"repair_arguments": True})
        bound: Any = chat.bind_tools([search])
        events = bound.stream_events("Go", version="v3")
        for message in (bound.invoke("Go"), reduce(add, bound.stream("Go")), events.output):
            assert message.tool_calls[0]["args"] == {"query": "fox", "limit": 2}
            assert message.response_metadata["repaired_tool_calls"] == {"call-x0": WRITTEN}


def test_a_quirk_that_there_is_not_is_refused_when_the_model_is_made() -> None:
    with pytest.raises(ValueError, match="did you mean 'repair_arguments'"):
        ChatVessel(quirks={"repair_argument": True})
