"""Agents and workflows, on a real server and on scripted answers."""

from typing import Any, cast

import pytest
from llama_index.core.agent.workflow import (
    AgentStream,
    AgentWorkflow,
    FunctionAgent,
    ReActAgent,
    ToolCall,
    ToolCallResult,
)
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context
from llama_index.llms.vessel import Vessel
from pydantic import BaseModel
from vessel_core.errors import InvalidOutput

from tests.llama_index.conformance.answers import answer, call_piece, calls, ending
from tests.llama_index.conformance.pictures import png
from tests.llama_index.scripted import in_turn, scripted, sent

pytestmark = pytest.mark.usefixtures("nothing_left_open")


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"It is sunny in {city}."


def search(query: str) -> str:
    """Search the web."""
    return f"Found: {query}."


async def remember(ctx: Context, fact: str) -> str:
    """Remember a fact."""
    async with ctx.store.edit_state() as state:  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        state["state"]["fact"] = fact
    return "Remembered."


def memory_of(llm: Vessel) -> Any:
    """Return a memory of three quarters of the context window."""
    return cast("Any", ChatMemoryBuffer).from_defaults(llm=llm)


def workflow_of(*arguments: Any, **options: Any) -> AgentWorkflow:
    """Return a workflow of one agent."""
    return cast("Any", AgentWorkflow).from_tools_or_functions(*arguments, **options)


class Report(BaseModel):
    """What came out."""

    city: str


async def run(agent: Any, question: str, **options: Any) -> tuple[Any, list[Any]]:
    """Return what an agent answers, and the events on the way."""
    running = agent.run(user_msg=question, **options)
    events = [event async for event in running.stream_events()]
    return await running, events


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_function_agent_calls_a_tool_and_answers(llm: Vessel, streaming: bool) -> None:
    agent = FunctionAgent(tools=[get_weather], llm=llm, streaming=streaming)
    result, events = await run(agent, "What is the weather in Lisbon?")
    results = [event for event in events if isinstance(event, ToolCallResult)]
    assert len(results) == 1
    assert str(results[0].tool_output).startswith("It is sunny in ")
    assert str(result)
    assert result.tool_calls
    if streaming:
        assert "".join(event.delta for event in events if isinstance(event, AgentStream)) == str(result)
    await llm.aclose()


async def test_a_function_agent_that_thinks_streams_its_thoughts(thinking_llm: Vessel) -> None:
    agent = FunctionAgent(tools=[get_weather], llm=thinking_llm)
    result, events = await run(agent, "What is the weather in Oslo?")
    thoughts = "".join(event.thinking_delta or "" for event in events if isinstance(event, AgentStream))
    assert thoughts
    assert thoughts not in str(result)
    assert any(isinstance(event, ToolCallResult) for event in events)
    await thinking_llm.aclose()


async def test_parallel_calls_are_run_and_answered(llm: Vessel) -> None:
    agent = FunctionAgent(tools=[get_weather], llm=llm)
    _, events = await run(agent, "What is the weather in both Lisbon and Oslo?")
    results = [event for event in events if isinstance(event, ToolCallResult)]
    assert len(results) == 2
    assert len({event.tool_id for event in results}) == 2
    await llm.aclose()


async def test_an_agent_sends_back_what_it_was_told() -> None:
    script = in_turn(calls(("get_weather", {"city": "Oslo"})), answer("Sunny", " there."))
    with scripted(script) as (llm, server):
        agent = FunctionAgent(
            tools=[get_weather], llm=llm, system_prompt="Be brief.", initial_tool_choice="get_weather"
        )
        result, events = await run(agent, "Weather?")
        await llm.aclose()
        assert str(result) == "Sunny there."
        first, second = sent(server, 0), sent(server, 1)
        assert first["messages"][0] == {"role": "system", "content": "Be brief."}
        assert first["tool_choice"] == "required"
        assert first["parallel_tool_calls"] is True
        assert "tool_choice" not in second
        asked, told = second["messages"][-2:]
        assert asked["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": '{"city": "Oslo"}'}
        assert told == {"role": "tool", "content": "It is sunny in Oslo.", "tool_call_id": asked["tool_calls"][0]["id"]}
    (called,) = [event for event in events if event.__class__ is ToolCall]
    assert called.tool_kwargs == {"city": "Oslo"}


async def test_an_agent_remembers_the_turns_before() -> None:
    with scripted(in_turn(answer("I am a boat."), answer("Yes."))) as (llm, server):
        agent = FunctionAgent(tools=[get_weather], llm=llm)
        memory = memory_of(llm=llm)
        await run(agent, "What are you?", memory=memory)
        await run(agent, "Really?", memory=memory)
        await llm.aclose()
        contents = [message["content"] for message in sent(server)["messages"]]
        assert contents == ["What are you?", "I am a boat.", "Really?"]


async def test_an_agent_does_not_run_a_call_that_was_cut_off() -> None:
    script = call_piece(0, '{"city": "Os', name="get_weather", call_id="a") + ending("length")
    with scripted(script) as (llm, _):
        with pytest.raises(InvalidOutput, match="max_tokens"):
            await run(FunctionAgent(tools=[get_weather], llm=llm), "Weather?")
        await llm.aclose()


async def test_a_picture_that_a_tool_returns_reaches_the_model() -> None:
    def draw(what: str) -> list[Any]:
        """Draw something."""
        return [TextBlock(text="Here it is."), ImageBlock(image=png(0, 0, 255))]

    tool = FunctionTool.from_defaults(draw)
    with scripted(in_turn(calls(("draw", {"what": "a boat"})), answer("Blue."))) as (llm, server):
        await run(FunctionAgent(tools=[tool], llm=llm), "Draw a boat.")
        await llm.aclose()
        result, picture = sent(server)["messages"][-2:]
        assert (result["role"], result["content"]) == ("tool", "Here it is.")
        assert picture["content"][-1]["image_url"]["url"].startswith("data:image/png;base64,")


async def test_an_agent_answers_with_an_object(llm: Vessel) -> None:
    agent = FunctionAgent(tools=[get_weather], llm=llm, output_cls=Report)
    result, _ = await run(agent, "What is the weather in Lisbon?")
    assert isinstance(result.get_pydantic_model(Report), Report)
    await llm.aclose()


async def test_agents_hand_over_to_each_other() -> None:
    handed = calls(("handoff", {"to_agent": "writer", "reason": "it is found"}))
    script = in_turn(calls(("search", {"query": "boats"})), handed, answer("Boats", " float."))
    with scripted(script) as (llm, server):
        researcher = FunctionAgent(
            name="researcher", description="Finds.", tools=[search], llm=llm, can_handoff_to=["writer"]
        )
        writer = FunctionAgent(name="writer", description="Writes.", tools=[], llm=llm)
        workflow = AgentWorkflow(agents=[researcher, writer], root_agent="researcher")
        result, events = await run(workflow, "Write about boats.")
        await llm.aclose()
        assert str(result) == "Boats float."
        assert [event.tool_name for event in events if isinstance(event, ToolCallResult)] == ["search", "handoff"]
        assert [tool["function"]["name"] for tool in sent(server, 0)["tools"]] == ["search", "handoff"]
        assert "Found: boats." in str(sent(server, 2)["messages"])


async def test_an_agent_workflow_keeps_its_state_on_a_real_server(llm: Vessel) -> None:
    workflow = workflow_of([remember], llm=llm, initial_state={"fact": None})
    assert isinstance(workflow.agents[workflow.root_agent], FunctionAgent)
    context: Any = Context(workflow)
    await run(workflow, "Remember that boats float.", ctx=context)
    assert (await context.store.get("state"))["fact"]
    await llm.aclose()


async def test_a_react_agent_reasons_in_text() -> None:
    script = in_turn(
        answer('Thought: I look it up.\nAction: get_weather\nAction Input: {"city": ', '"Oslo"}'),
        answer("Thought: I can answer.\nAnswer: Sunny in Oslo."),
    )
    with scripted(script) as (llm, server):
        result, events = await run(ReActAgent(tools=[get_weather], llm=llm), "Weather in Oslo?")
        await llm.aclose()
        assert str(result) == "Sunny in Oslo."
        assert [event.tool_kwargs for event in events if event.__class__ is ToolCallResult] == [{"city": "Oslo"}]
        assert "It is sunny in Oslo." in sent(server)["messages"][-1]["content"]


async def test_a_model_without_tools_gets_a_react_agent() -> None:
    with scripted(answer("Hello"), is_function_calling_model=False) as (llm, _):
        workflow = workflow_of([get_weather], llm=llm)
        assert isinstance(workflow.agents[workflow.root_agent], ReActAgent)


async def test_a_tool_that_returns_directly_ends_the_turn() -> None:
    tool = FunctionTool.from_defaults(get_weather, return_direct=True)
    with scripted(in_turn(calls(("get_weather", {"city": "Oslo"})), answer("Yes."))) as (llm, server):
        agent = FunctionAgent(tools=[tool], llm=llm)
        memory = memory_of(llm=llm)
        result, _ = await run(agent, "Weather?", memory=memory)
        assert str(result) == "It is sunny in Oslo."
        await run(agent, "Sure?", memory=memory)
        await llm.aclose()
        direct = [message for message in sent(server)["messages"] if message["role"] == "assistant"][-1]
        assert direct == {"role": "assistant", "content": "It is sunny in Oslo."}


async def test_a_conversation_with_tools_can_be_resumed_from_its_json(llm: Vessel) -> None:
    agent = FunctionAgent(tools=[get_weather], llm=llm)
    memory = memory_of(llm=llm)
    await run(agent, "What is the weather in Lisbon?", memory=memory)
    history = [ChatMessage.model_validate(message.model_dump(mode="json")) for message in memory.get_all()]
    assert any(message.role == "tool" for message in history)
    again = await llm.achat_with_tools([FunctionTool.from_defaults(get_weather)], "Thank you.", chat_history=history)
    assert again.message.content or llm.get_tool_calls_from_response(again)
    await llm.aclose()


async def test_a_call_that_can_not_be_run_comes_back_to_the_model_as_an_error() -> None:
    """It is never run, and no end of the agent: the model is told why, and does better."""
    ran: list[str] = []

    def delete(path: str = "/") -> str:
        """Delete a file."""
        ran.append(path)
        return "Deleted."

    broken = call_piece(0, "['/tmp/a'", name="delete", call_id="a") + ending("tool_calls")
    for streaming in (True, False):
        ran.clear()
        with scripted(in_turn(broken, calls(("delete", {"path": "/tmp/a"})), answer("Done."))) as (llm, server):
            agent = FunctionAgent(tools=[delete], llm=llm, streaming=streaming)
            await run(agent, "Delete /tmp/a")
            asked, result = sent(server, 1)["messages"][-2:]
            await llm.aclose()
        assert ran == ["/tmp/a"]
        assert [call["id"] for call in asked["tool_calls"]] == ["a"] == [result["tool_call_id"]]
        assert "no JSON" in result["content"]


async def test_a_call_that_was_cut_off_ends_an_agent_since_it_would_be_again() -> None:
    with scripted(call_piece(0, '{"city": "Li', name="get_weather", call_id="a") + ending("length")) as (llm, _):
        with pytest.raises(InvalidOutput, match="max_tokens"):
            await run(FunctionAgent(tools=[get_weather], llm=llm), "What is the weather in Lisbon?")
        await llm.aclose()


async def test_an_agent_whose_first_call_is_forced_and_does_not_come_says_so() -> None:
    with scripted(answer("Hello.")) as (llm, _):
        agent = FunctionAgent(tools=[get_weather], llm=llm, initial_tool_choice="get_weather")
        with pytest.raises(InvalidOutput, match="had to be called"):
            await run(agent, "Hello")
        await llm.aclose()


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("choice", ["none", "search"])
async def test_an_agent_runs_no_tool_that_its_first_choice_rules_out(choice: str, streaming: bool) -> None:
    ran: list[str] = []

    def pay(amount: int) -> str:
        """Pay."""
        ran.append(f"pay {amount}")
        return "Paid."

    with scripted(in_turn(calls(("pay", {"amount": 9})), answer("Done."))) as (llm, server):
        agent = FunctionAgent(tools=[search, pay], llm=llm, initial_tool_choice=choice, streaming=streaming)
        if choice == "search":
            with pytest.raises(InvalidOutput, match="search had to be called, and the model called pay"):
                await run(agent, "Pay nothing.")
        else:
            await run(agent, "Pay nothing.")
            assert "no tool was to be called" in sent(server)["messages"][-1]["content"]
        await llm.aclose()
    assert ran == []
