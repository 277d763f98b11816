"""The profile and the token counts, from the server."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.exceptions import ModelError
from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    trim_messages,  # pyright: ignore[reportUnknownVariableType] - its type has open parts
)
from langchain_vessel import ChatVessel, image_block
from vessel_core.local import LocalServer

from tests.fake_server import Response, Routes, llamacpp_server, ollama_server
from tests.langchain.media import picture
from tests.langchain.scripted import answer, ollama_lines

CONVERSATION: list[AnyMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("One two three four five six seven eight"),
    AIMessage("Nine ten eleven twelve"),
    HumanMessage("And now?"),
]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_the_profile_says_what_the_server_says(chat_server: LocalServer) -> None:
    profile = ChatVessel(base_url=chat_server.base_url).profile
    assert profile is not None
    said = dict(profile)
    assert said["name"] == "demo-chat"
    assert said["max_input_tokens"] == 8192
    yes = {name for name, value in said.items() if value is True}
    assert yes >= {"tool_calling", "tool_choice", "structured_output", "image_inputs", "text_inputs", "text_outputs"}
    assert said["audio_inputs"] is False


def test_the_profile_tells_models_apart(thinking_server: LocalServer, no_tools_server: LocalServer) -> None:
    thinking, plain = ChatVessel(base_url=thinking_server.base_url), ChatVessel(base_url=no_tools_server.base_url)
    assert (thinking.profile or {}).get("reasoning_output") is True
    assert (plain.profile or {}).get("tool_calling") is False


def test_ollamas_profile_has_the_context_that_is_allocated() -> None:
    with ollama_server(context_length=4096) as server:
        profile = ChatVessel(base_url=server.base_url, model="qwen3:8b").profile or {}
        assert profile.get("max_input_tokens") == 4096
        assert profile.get("reasoning_output") is True
        assert profile.get("image_inputs") is False
        small = ChatVessel(base_url=server.base_url, model="qwen3:8b", num_ctx=512).profile or {}
        assert small.get("max_input_tokens") == 512


def test_a_model_that_is_not_loaded_has_no_context_yet_but_what_it_is_told_to_get() -> None:
    running: list[dict[str, Any]] = []
    routes: Routes = {("GET", "/api/ps"): lambda _: Response.json({"models": running})}
    with ollama_server(routes=routes) as server:
        chat = ChatVessel(base_url=server.base_url, model="qwen3:8b")
        told = ChatVessel(base_url=server.base_url, model="qwen3:8b", num_ctx=8192)
        much = ChatVessel(base_url=server.base_url, model="qwen3:8b", num_ctx=999_999)
        assert "max_input_tokens" not in (chat.profile or {"max_input_tokens": "no profile"})
        assert (told.profile or {}).get("max_input_tokens") == 8192
        assert (much.profile or {}).get("max_input_tokens") == 40960
        running.append({"name": "qwen3:8b", "model": "qwen3:8b", "context_length": 4096})
        assert (chat.profile or {}).get("max_input_tokens") == 4096


def test_the_profile_is_asked_for_once_and_only_when_looked_at() -> None:
    with llamacpp_server(answer("Hi")) as server:
        chat = ChatVessel(base_url=server.base_url)
        assert server.connections == 0
        assert chat.profile == chat.profile
        asked = len(server.requests)
        assert chat.profile is not None
        assert len(server.requests) == asked


def test_a_model_that_was_pickled_asks_for_its_profile_as_a_new_one_does() -> None:
    with llamacpp_server(answer("Hi")) as server:
        chat = ChatVessel(base_url=server.base_url)
        loaded: ChatVessel = pickle.loads(pickle.dumps(chat))
        assert loaded == chat
        assert server.requests == []
        assert loaded.profile == chat.profile
        assert (loaded.profile or {}).get("structured_output")
        chat.profile = {"max_input_tokens": 7}
        assert pickle.loads(pickle.dumps(chat)).profile == {"max_input_tokens": 7}


def test_a_profile_that_was_given_is_used_as_it_is() -> None:
    with llamacpp_server() as server:
        chat = ChatVessel(base_url=server.base_url, profile={"max_input_tokens": 7})
        assert chat.profile == {"max_input_tokens": 7}
        chat.profile = {"max_input_tokens": 8}
        assert chat.profile == {"max_input_tokens": 8}
        assert server.requests == []


def test_nobody_there_is_no_profile_and_no_error() -> None:
    with llamacpp_server() as server:
        chat = ChatVessel(base_url=server.base_url, max_retries=0)
    assert chat.profile is None


async def test_the_profile_can_be_had_without_blocking_the_loop(chat_server: LocalServer) -> None:
    chat = ChatVessel(base_url=chat_server.base_url)
    profile = await chat.aprofile()
    assert profile == chat.profile
    given = ChatVessel(base_url=chat_server.base_url, profile={"max_input_tokens": 7})
    assert await given.aprofile() == {"max_input_tokens": 7}


def test_tokens_are_those_of_the_servers_tokenizer(chat_server: LocalServer) -> None:
    chat = ChatVessel(base_url=chat_server.base_url)
    ids = chat.get_token_ids("Hello from a small demo model.")
    assert all(isinstance(each, int) for each in ids)
    assert chat.get_num_tokens("Hello from a small demo model.") == len(ids)


def test_a_conversation_counts_as_many_tokens_as_the_server_says_it_was(chat_server: LocalServer) -> None:
    chat = ChatVessel(base_url=chat_server.base_url, max_tokens=5)
    used = chat.invoke(CONVERSATION).usage_metadata
    assert used is not None
    assert chat.get_num_tokens_from_messages(CONVERSATION) == used["input_tokens"]


def test_tools_count_too(chat_server: LocalServer) -> None:
    chat = ChatVessel(base_url=chat_server.base_url, max_tokens=100)
    used = chat.bind_tools([add]).invoke(CONVERSATION).usage_metadata
    assert used is not None
    counted = chat.get_num_tokens_from_messages(CONVERSATION, tools=[add])
    assert counted > chat.get_num_tokens_from_messages(CONVERSATION)
    assert abs(counted - used["input_tokens"]) <= 2


def test_pictures_count_too(chat_server: LocalServer) -> None:
    chat = ChatVessel(base_url=chat_server.base_url)
    seen = HumanMessage([{"type": "text", "text": "What?"}, image_block(picture("red"))])
    assert chat.get_num_tokens_from_messages([seen]) > chat.get_num_tokens_from_messages([HumanMessage("What?")])


def test_messages_are_trimmed_to_what_the_server_counts(chat_server: LocalServer) -> None:
    chat = ChatVessel(base_url=chat_server.base_url)
    limit = sum(chat.get_num_tokens_from_messages([each]) for each in (CONVERSATION[0], CONVERSATION[3]))
    kept = trim_messages(
        CONVERSATION, max_tokens=limit, token_counter=chat, include_system=True, start_on="human", strategy="last"
    )
    assert kept == [CONVERSATION[0], CONVERSATION[3]]
    assert chat.get_num_tokens_from_messages(kept) <= limit


def test_messages_may_be_trimmed_to_nothing_and_in_parts() -> None:
    with ollama_server() as server:
        chat = ChatVessel(base_url=server.base_url, model="qwen3:8b")
        assert chat.get_num_tokens_from_messages([]) == 0
        assert server.requests == []
        long = [HumanMessage("\n".join(["one two three"] * 40))]
        count = chat.get_num_tokens_from_messages(long)
        [kept] = trim_messages(long, max_tokens=count // 2, token_counter=chat, allow_partial=True)
        assert 0 < len(kept.text) < len(long[0].text)


def test_a_history_of_an_agent_is_counted_and_trimmed_at_every_turn(chat_server: LocalServer) -> None:
    chat = ChatVessel(base_url=chat_server.base_url)
    calls = [{"name": "add", "args": {"a": 1, "b": 2}, "id": name} for name in ("one", "two")]
    history: list[AnyMessage] = [
        HumanMessage("What is one and two?"),
        AIMessage("", tool_calls=calls),
        ToolMessage("3", tool_call_id="one"),
        ToolMessage("3", tool_call_id="two"),
        AIMessage("Three."),
    ]
    counts = [chat.get_num_tokens_from_messages(history[:end]) for end in range(1, len(history) + 1)]
    assert counts[0] < counts[1] < counts[3]
    trimmed = trim_messages(history, max_tokens=counts[1], token_counter=chat, strategy="first")
    assert 2 <= len(trimmed) < len(history)
    assert chat.get_num_tokens_from_messages(trimmed) <= counts[1]


def test_a_server_that_does_not_count_is_estimated_on_the_high_side() -> None:
    with ollama_server() as server:
        chat = ChatVessel(base_url=server.base_url, model="qwen3:8b")
        assert 8 <= chat.get_num_tokens("one two three four five six seven eight") <= 16
        assert chat.get_num_tokens_from_messages(CONVERSATION) > 20
        with pytest.raises(ModelError):
            chat.get_token_ids("one")


def test_a_counter_of_ones_own_goes_first() -> None:
    chat = ChatVessel(custom_get_token_ids=lambda text: list(range(len(text.split()))))
    assert chat.get_num_tokens("a b c") == 3
    assert chat.get_token_ids("a b c") == [0, 1, 2]


def test_what_one_model_is_loaded_with_is_not_asked_for_by_another_object() -> None:
    with ollama_server(ollama_lines({"content": "Hi"})) as server:
        small = ChatVessel(base_url=server.base_url, model="qwen3:8b", num_ctx=512)
        plain = ChatVessel(base_url=server.base_url, model="qwen3:8b")
        small.invoke("x")
        plain.invoke("x")
        asked = [request.json().get("options", {}).get("num_ctx") for request in server.asked("/api/chat")]
    assert asked == [512, None]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, ChatVessel.model_copy])
def test_what_a_copy_is_loaded_with_is_not_asked_for_by_its_original(
    copied: Callable[[ChatVessel], ChatVessel],
) -> None:
    with ollama_server(ollama_lines({"content": "Hi"})) as server:
        chat = ChatVessel(base_url=server.base_url, model="qwen3:8b")
        chat.invoke("x")
        small = copied(chat)
        small.num_ctx = 512
        small.invoke("x")
        chat.invoke("x")
        asked = [request.json().get("options", {}).get("num_ctx") for request in server.asked("/api/chat")]
    assert asked == [None, 512, None]


@pytest.mark.parametrize(("words", "cut"), [(2400, True), (2, None)])
async def test_a_prompt_that_ollama_cut_is_told_by_every_way_of_asking(words: int, cut: bool | None) -> None:
    with ollama_server(ollama_lines({"content": "Hi"}), context_length=2048) as server:
        chat = ChatVessel(backend="ollama", base_url=server.base_url, model="qwen3:8b")
        first, *others = chat.stream("quick " * words)
        answers = [first.__add__(others), chat.invoke("quick " * words), await chat.ainvoke("quick " * words)]
    assert [message.response_metadata.get("truncated") for message in answers] == [cut] * 3
