"""Agents and graphs: structured answers by both strategies, middleware, checkpoints, streaming modes, subgraphs."""

from __future__ import annotations

from typing import Any, Literal, cast

import langchain.agents
import langgraph.prebuilt
import pytest
from langchain.agents.middleware import ModelRetryMiddleware, SummarizationMiddleware
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_vessel import ChatVessel
from langchain_vessel.errors import VesselInvalidOutput
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import (  # pyright: ignore[reportMissingTypeStubs] - it has none
    START,
    MessagesState,
    StateGraph,
)
from pydantic import BaseModel
from vessel_core.local import LocalServer

from tests.fake_server import FakeServer, Response, llamacpp_server, lmstudio_server, ollama_server
from tests.langchain.scripted import answer, calling, ending, ollama_lines, piece

CHAT = ("POST", "/v1/chat/completions")


@tool
def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"Sunny in {city}"


@tool
def now() -> str:
    """Tell the time."""
    return "12:00"


class Report(BaseModel):
    """A weather report."""

    city: str
    sunny: bool


def playing(*replies: bytes | Response) -> FakeServer:
    """Return a server that plays these replies in order."""
    played = [reply if isinstance(reply, Response) else Response.stream(reply) for reply in replies]
    return llamacpp_server(routes={CHAT: cast("Any", played)})


def create_agent(*args: Any, **options: Any) -> Any:
    """Make an agent; its own type has unknown parts."""
    return cast("Any", langchain.agents).create_agent(*args, **options)


def bodies(server: FakeServer) -> list[dict[str, Any]]:
    return [request.json() for request in server.asked("/v1/chat/completions")]


def last(result: dict[str, Any]) -> AnyMessage:
    return result["messages"][-1]


ASK: Any = {"messages": [{"role": "user", "content": "What is the weather in Rome?"}]}


def test_an_agent_calls_a_tool_and_uses_its_result() -> None:
    with playing(calling(("get_weather", '{"city": "Rome"}')), answer("It is sunny.")) as server:
        result = create_agent(ChatVessel(base_url=server.base_url), [get_weather]).invoke(ASK)
        assert [message.type for message in result["messages"]] == ["human", "ai", "tool", "ai"]
        assert last(result).text == "It is sunny."
        assert [message["role"] for message in bodies(server)[1]["messages"]] == ["user", "assistant", "tool"]
        assert bodies(server)[1]["messages"][2]["content"] == "Sunny in Rome"


def test_an_agent_runs_a_call_whose_arguments_are_null_however_it_is_streamed() -> None:
    called = piece({"tool_calls": [{"index": 0, "id": "c0", "function": {"name": "now", "arguments": "null"}}]})
    for mode in ("values", "messages"):
        with playing(called + ending("tool_calls"), answer("It is noon.")) as server:
            agent = create_agent(ChatVessel(base_url=server.base_url), [now])
            streamed = [made for kind, made in agent.stream(ASK, stream_mode=["values", mode]) if kind == "values"]
            assert [message.text for message in streamed[-1]["messages"][2:]] == ["12:00", "It is noon."]


def test_an_agent_runs_a_whole_turn_on_a_real_server(chat_server: LocalServer) -> None:
    agent = create_agent(ChatVessel(base_url=chat_server.base_url, max_tokens=150, temperature=0), [get_weather])
    result = agent.invoke(ASK, {"recursion_limit": 8})
    called = [message for message in result["messages"] if isinstance(message, ToolMessage)]
    assert called
    assert str(called[0].content).startswith("Sunny in ")
    assert last(result).text


def test_the_server_says_that_agents_may_use_its_grammar(chat_server: LocalServer) -> None:
    agent = create_agent(ChatVessel(base_url=chat_server.base_url, max_tokens=100), response_format=Report)
    assert isinstance(agent.invoke(ASK)["structured_response"], Report)


def test_a_schema_given_to_an_agent_goes_to_the_server_as_its_grammar() -> None:
    with playing(answer('{"city": "Rome", "sunny": true}')) as server:
        agent = create_agent(ChatVessel(base_url=server.base_url), response_format=Report)
        assert agent.invoke(ASK)["structured_response"] == Report(city="Rome", sunny=True)
        [body] = bodies(server)
        assert body["response_format"]["json_schema"]["schema"]["properties"].keys() == {"city", "sunny"}
        assert "tools" not in body


@pytest.mark.parametrize("strategy", [ToolStrategy, ProviderStrategy])
def test_both_strategies_work_with_tools_beside_them(strategy: Any) -> None:
    """On llama.cpp the grammar rules tools out, so the schema is one more tool; either way one object comes back."""
    call = calling(("get_weather", '{"city": "Rome"}'))
    name = "Report" if strategy is ToolStrategy else "final_answer"
    with playing(call, calling((name, '{"city": "Rome", "sunny": true}'))) as server:
        agent = create_agent(ChatVessel(base_url=server.base_url), [get_weather], response_format=strategy(Report))
        result = agent.invoke(ASK)
        assert result["structured_response"] == Report(city="Rome", sunny=True)
        choice = "required" if strategy is ToolStrategy else "auto"
        assert [body["tool_choice"] for body in bodies(server)] == [choice, choice]


def test_an_agent_whose_model_only_talks_is_asked_again_for_its_answer_in_the_form() -> None:
    with playing(
        calling(("get_weather", '{"city": "Rome"}')), answer("Sunny!"), answer('{"city": "Rome", "sunny": true}')
    ) as server:
        model = ChatVessel(base_url=server.base_url)
        agent = create_agent(model, [get_weather], response_format=ProviderStrategy(Report))
        result = agent.invoke(ASK)
        assert result["structured_response"] == Report(city="Rome", sunny=True)
        assert last(result).text == '{"city": "Rome", "sunny": true}'
        assert [body["tool_choice"] for body in bodies(server)] == ["auto", "auto", "none"]
        assert bodies(server)[2]["response_format"]["json_schema"]["schema"]["properties"].keys() == {"city", "sunny"}


class Sky(BaseModel):
    """How the sky is."""

    sunny: bool
    clouds: Literal["none", "few", "many"]


@pytest.mark.parametrize("demo", ["chat_server", "assistant_server", "thinking_server"])
def test_an_agent_with_tools_ends_with_an_object_on_a_real_server(demo: str, request: pytest.FixtureRequest) -> None:
    """Even the smallest model calls the tool, and then answers in the form."""
    server: LocalServer = request.getfixturevalue(demo)
    for choice in (Sky, ProviderStrategy(Sky)):
        model = ChatVessel(base_url=server.base_url, max_tokens=200, temperature=0)
        result = create_agent(model, [get_weather], response_format=choice).invoke(ASK, {"recursion_limit": 10})
        assert isinstance(result["structured_response"], Sky)
        assert [message.type for message in result["messages"]] == ["human", "ai", "tool", "ai"]


def test_both_strategies_work_on_a_real_server(chat_server: LocalServer) -> None:
    for strategy in (ToolStrategy, ProviderStrategy):
        model = ChatVessel(base_url=chat_server.base_url, max_tokens=200)
        agent = create_agent(model, response_format=strategy(Report))
        assert isinstance(agent.invoke(ASK)["structured_response"], Report)


@pytest.mark.filterwarnings("ignore::langgraph.warnings.LangGraphDeprecatedSinceV10")
def test_an_older_agent_gives_an_object_after_its_last_turn(chat_server: LocalServer) -> None:
    """It asks for the object behind the answer, with the assistant's turn last."""
    model = ChatVessel(base_url=chat_server.base_url, max_tokens=150, temperature=0)
    agent: Any = cast("Any", langgraph.prebuilt).create_react_agent(model, [get_weather], response_format=Report)
    assert isinstance(agent.invoke(ASK, {"recursion_limit": 10})["structured_response"], Report)


@pytest.mark.parametrize("body", [answer("Sunny."), calling(("Report", '{"city": "Ro'), finish="length")])
def test_an_agent_does_not_ask_for_ever_on_a_server_that_forces_no_tool(body: bytes) -> None:
    with llamacpp_server(body) as server:
        agent = create_agent(ChatVessel(base_url=server.base_url), response_format=ToolStrategy(Report))
        with pytest.raises(VesselInvalidOutput, match=r"Sunny|cut off"):
            agent.invoke(ASK)
        assert len(bodies(server)) == (2 if b"Sunny" in body else 1)  # a second time bound by the schema


def test_both_strategies_work_on_lm_studio_and_ollama() -> None:
    text = '{"city": "Rome", "sunny": true}'
    with lmstudio_server(answer(text)) as server:
        agent = create_agent(ChatVessel(base_url=server.base_url), response_format=ProviderStrategy(Report))
        assert agent.invoke(ASK)["structured_response"] == Report(city="Rome", sunny=True)
    with ollama_server(ollama_lines({"content": text})) as server:
        model = ChatVessel(base_url=server.base_url, model="qwen3:8b")
        for strategy in (ToolStrategy(Report), ProviderStrategy(Report)):
            agent = create_agent(model, response_format=strategy)
            assert agent.invoke(ASK)["structured_response"] == Report(city="Rome", sunny=True)


@pytest.mark.parametrize("arguments", ['{"path": "/tmp/a", "re', ""])
def test_a_call_that_was_cut_off_is_not_run_by_an_agent(arguments: str) -> None:
    ran: list[str] = []

    @tool
    def delete(path: str = "/") -> str:
        """Delete a file."""
        ran.append(path)
        return "deleted"

    with playing(calling(("delete", arguments), finish="length")) as server:
        agent = create_agent(ChatVessel(base_url=server.base_url), [delete])
        for chunk in agent.stream(ASK, stream_mode="messages"):
            assert chunk
        agent.invoke(ASK)
    assert ran == []


def test_a_streamed_call_without_arguments_is_run_once() -> None:
    ran: list[str] = []

    @tool
    def now() -> str:
        """Tell the time."""
        ran.append("now")
        return "12:00"

    with playing(calling(("now", "")), answer("It is noon.")) as server:
        agent = create_agent(ChatVessel(base_url=server.base_url), [now])
        assert len(list(agent.stream(ASK, stream_mode="messages"))) > 1
    assert ran == ["now"]


# --------------------------------------------------------------------------------------------------- graphs and memory


def test_every_streaming_mode_of_a_graph_carries_the_answer() -> None:
    def replies() -> list[bytes]:
        return [calling(("get_weather", '{"city": "Rome"}')), answer("It ", "is ", "sunny.")]

    with playing(*replies(), *replies(), *replies()) as server:
        agent = create_agent(ChatVessel(base_url=server.base_url, together=False), [get_weather])
        tokens = [part[0] for part in agent.stream(ASK, stream_mode="messages")]
        said = [token.text for token in tokens if isinstance(token, AIMessageChunk) and token.text]
        assert said == ["It ", "is ", "sunny."]
        updates = list(agent.stream(ASK, stream_mode="updates"))
        assert [next(iter(update)) for update in updates] == ["model", "tools", "model"]
        values = list(agent.stream(ASK, stream_mode="values"))
        assert last(values[-1]).text == "It is sunny."


async def test_async_graphs_stream_too(chat_server: LocalServer) -> None:
    agent = create_agent(ChatVessel(base_url=chat_server.base_url, max_tokens=100, together=False), [])
    tokens = [part[0] async for part in agent.astream(ASK, stream_mode="messages")]
    assert len([token for token in tokens if isinstance(token, AIMessageChunk) and token.text]) > 2


def test_a_conversation_is_remembered_by_a_checkpointer() -> None:
    with playing(answer("Hello Ada"), answer("You are Ada")) as server:
        agent = create_agent(ChatVessel(base_url=server.base_url), checkpointer=InMemorySaver())
        config = {"configurable": {"thread_id": "1"}}
        agent.invoke({"messages": [HumanMessage("I am Ada")]}, config)
        agent.invoke({"messages": [HumanMessage("Who am I?")]}, config)
        contents = [message["content"] for message in bodies(server)[1]["messages"]]
        assert contents == ["I am Ada", "Hello Ada", "Who am I?"]
        kept = agent.get_state(config).values["messages"]
        assert [type(message) for message in kept] == [HumanMessage, AIMessage, HumanMessage, AIMessage]
        assert len({message.id for message in kept}) == 4


def test_the_model_works_inside_a_subgraph() -> None:
    with playing(answer("From ", "below")) as server:
        model = ChatVessel(base_url=server.base_url)

        def ask(state: MessagesState) -> Any:
            return {"messages": [model.invoke(state["messages"])]}

        inner: Any = StateGraph(MessagesState)
        inner.add_node("ask", ask)
        inner.add_edge(START, "ask")
        outer: Any = StateGraph(MessagesState)
        outer.add_node("inner", inner.compile())
        outer.add_edge(START, "inner")
        parts: list[Any] = list(outer.compile().stream(ASK, stream_mode="messages", subgraphs=True))
    said = [part[1][0].text for part in parts if isinstance(part[1][0], AIMessageChunk) and part[1][0].text]
    assert said == ["From ", "below"]


# ----------------------------------------------------------------------------------------------------------- middleware


def test_summarisation_trusts_the_tokens_the_server_counted() -> None:
    """It only believes reported counts if the message's provider is the model's own."""
    old: list[AnyMessage] = [
        HumanMessage("A long story"),
        AIMessage(
            "Indeed",
            response_metadata={"model_provider": "vessel"},
            usage_metadata={"input_tokens": 900, "output_tokens": 100, "total_tokens": 1000},
        ),
    ]
    with playing(answer("They told a story."), answer("Fine")) as server:
        model = ChatVessel(base_url=server.base_url)
        middleware = SummarizationMiddleware(model, trigger=("tokens", 800), keep=("messages", 1))
        agent = create_agent(model, middleware=[middleware])
        result = agent.invoke({"messages": [*old, HumanMessage("And now?")]})
        assert last(result).text == "Fine"
        assert len(bodies(server)) == 2
        assert "They told a story." in str(bodies(server)[1]["messages"])


def test_summarisation_by_a_fraction_of_the_context_reads_it_from_the_server() -> None:
    with playing(answer("Fine")) as server:
        model = ChatVessel(base_url=server.base_url)
        middleware = SummarizationMiddleware(model, trigger=("fraction", 0.9), keep=("fraction", 0.5))
        result = create_agent(model, middleware=[middleware]).invoke(ASK)
        assert last(result).text == "Fine"
        assert model.profile is not None
        assert model.profile.get("max_input_tokens") == 1024


def test_retry_middleware_repeats_what_is_worth_it() -> None:
    busy = Response.json({"error": {"code": 500, "message": "out of luck", "type": "server_error"}}, 500)
    with playing(busy, answer("Second time")) as server:
        model = ChatVessel(base_url=server.base_url, max_retries=0)
        retries = ModelRetryMiddleware(max_retries=1, initial_delay=0.0, jitter=False)
        assert last(create_agent(model, middleware=[retries]).invoke(ASK)).text == "Second time"


# ------------------------------------------------------------------------------------ histories that other models wrote

ANTHROPIC: list[AnyMessage] = [
    SystemMessage([{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]),
    HumanMessage([{"type": "text", "text": "Weather in Rome?"}]),
    AIMessage(
        [
            {"type": "thinking", "thinking": "A tool knows.", "signature": "Er…"},
            {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Rome"}},
        ],
        tool_calls=[{"id": "toolu_1", "name": "get_weather", "args": {"city": "Rome"}}],
        response_metadata={"model_provider": "anthropic"},
    ),
    ToolMessage([{"type": "text", "text": "Sunny"}], tool_call_id="toolu_1"),
    HumanMessage("And tomorrow?"),
]
OPENAI: list[AnyMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("Weather in Rome?"),
    AIMessage(
        [
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "A tool knows."}]},
            {"type": "text", "text": "Let me look.", "annotations": [], "id": "msg_1"},
            {"type": "function_call", "call_id": "toolu_1", "name": "get_weather", "arguments": '{"city": "Rome"}'},
        ],
        tool_calls=[{"id": "toolu_1", "name": "get_weather", "args": {"city": "Rome"}}],
        response_metadata={"model_provider": "openai"},
    ),
    ToolMessage("Sunny", tool_call_id="toolu_1"),
    HumanMessage("And tomorrow?"),
]
V1: list[AnyMessage] = [
    SystemMessage(content_blocks=[{"type": "text", "text": "Be brief."}]),
    HumanMessage(content_blocks=[{"type": "text", "text": "Weather in Rome?"}]),
    AIMessage(
        content_blocks=[
            {"type": "reasoning", "reasoning": "A tool knows."},
            {"type": "text", "text": "Let me look."},
            {"type": "tool_call", "id": "toolu_1", "name": "get_weather", "args": {"city": "Rome"}},
        ],
    ),
    ToolMessage("Sunny", tool_call_id="toolu_1"),
    HumanMessage("And tomorrow?"),
]


@pytest.mark.parametrize("history", [ANTHROPIC, OPENAI, V1])
def test_a_history_that_another_model_wrote_goes_on(history: list[AnyMessage], chat_server: LocalServer) -> None:
    call = {"id": "toolu_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}
    with playing(answer("Rain")) as server:
        assert last(create_agent(ChatVessel(base_url=server.base_url)).invoke({"messages": history})).text
        assert bodies(server)[0]["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather in Rome?"},
            {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": [call],
                "reasoning_content": "A tool knows.",
            },
            {"role": "tool", "content": "Sunny", "tool_call_id": "toolu_1"},
            {"role": "user", "content": "And tomorrow?"},
        ]
    assert ChatVessel(base_url=chat_server.base_url, max_tokens=60).invoke(history).text
