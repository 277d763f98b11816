"""Pictures, sound, files and every form of message, and what is sent of them."""

from __future__ import annotations

import base64
import datetime
import io
import pickle
from pathlib import Path
from typing import Any

import pytest
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_vessel import ChatVessel, image_block
from langchain_vessel.messages import to_messages
from PIL import Image
from vessel_core.errors import InvalidMedia, InvalidRequest
from vessel_core.local import LocalServer

from tests.fake_server import FakeServer, Response, Routes, llamacpp_server, ollama_server
from tests.langchain.media import picture, silence
from tests.langchain.scripted import answer, ollama_answer

RED = picture("red")
RED64 = base64.b64encode(RED).decode()
RED_URL = f"data:image/png;base64,{RED64}"
SOUND64 = base64.b64encode(silence()).decode()


def sent_content(content: Any) -> Any:
    """Return what a user's content becomes."""
    [message] = to_messages([HumanMessage(content)])
    return message.get("content")


IMAGES: list[Any] = [
    {"type": "image", "base64": RED64, "mime_type": "image/png"},
    {"type": "image", "base64": RED64, "mime_type": "image/jpeg"},  # what it is called counts for nothing
    {"type": "image", "url": RED_URL},
    {"type": "image", "data": RED},
    {"type": "image", "bytes": RED},
    {"type": "image", "image": RED},
    {"type": "image", "image": bytearray(RED)},
    {"type": "image", "image": io.BytesIO(RED)},
    {"type": "image", "source_type": "base64", "data": RED64, "mime_type": "image/png"},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": RED64}},
    {"type": "image_url", "image_url": {"url": RED_URL}},
    {"type": "image_url", "image_url": RED_URL},
    {"type": "image_url", "image_url": RED64},
    {"type": "image_url", "image_url": RED},
    {"type": "input_image", "image_url": RED_URL},
    {"type": "file", "mime_type": "image/png", "base64": RED64},
    {"type": "media", "mime_type": "image/png", "data": RED64},
    image_block(RED),
]


@pytest.mark.parametrize("block", IMAGES)
def test_a_picture_in_every_form_becomes_the_same_part(block: Any) -> None:
    parts = sent_content([{"type": "text", "text": "What is this?"}, block])
    assert parts == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": RED_URL}},
    ]


def test_a_path_object_and_a_pil_image_are_read(tmp_path: Path) -> None:
    file = tmp_path / "red.dat"
    file.write_bytes(RED)
    for block in (
        {"type": "image", "path": file},
        {"type": "image", "image": file},
        image_block(file),
        {"type": "image_url", "image_url": file},
    ):
        assert sent_content([block]) == [{"type": "image_url", "image_url": {"url": RED_URL}}]
    pil = Image.open(io.BytesIO(RED))
    assert image_block(pil)["mime_type"] == "image/png"
    assert sent_content([{"type": "image", "image": pil}])[0]["image_url"]["url"].startswith("data:image/png")


def test_pictures_in_code_are_seen_through_the_whole_way(chat_server: LocalServer, tmp_path: Path) -> None:
    """LangChain looks at each block for its traces before we see it."""
    file = tmp_path / "red.png"
    file.write_bytes(RED)
    chat = ChatVessel(base_url=chat_server.base_url, temperature=0, max_tokens=60)
    for block in ({"type": "image", "path": file}, {"type": "image", "image": RED}, image_block(file)):
        content: list[Any] = [{"type": "text", "text": "What colour is this?"}, block]
        assert "red" in chat.invoke([HumanMessage(content)]).text.lower()


@pytest.mark.parametrize("text", ["{folder}/red.png", "file://{folder}/red.png", "red.png", "../{name}/red.png"])
def test_a_text_is_never_opened_as_a_file(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one that is there, and a picture."""
    (tmp_path / "red.png").write_bytes(RED)
    monkeypatch.chdir(tmp_path)
    text = text.format(folder=tmp_path, name=tmp_path.name)
    for block in (
        {"type": "image", "image": text},
        {"type": "image", "base64": text},
        {"type": "file", "mime_type": "image/png", "path": text},
        {"type": "image", "path": text},
        {"type": "image", "url": text},
        {"type": "image_url", "image_url": {"url": text}},
        {"type": "image_url", "image_url": text},
    ):
        with pytest.raises(InvalidMedia, match=r"messages\[0\]\.content\[0\]"):
            sent_content([block])


def test_a_url_is_passed_on_to_a_server_that_fetches_and_refused_for_one_that_does_not() -> None:
    url = "https://example.org/cat.png"
    question: list[Any] = [HumanMessage([{"type": "image_url", "image_url": {"url": url, "detail": "low"}}])]
    with llamacpp_server(answer("A cat"), vision=True) as server:
        ChatVessel(base_url=server.base_url).invoke(question)
        part = server.requests[-1].json()["messages"][0]["content"][0]
        assert part == {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    with ollama_server(ollama_answer(["A cat"])) as server:
        with pytest.raises(ModelInvalidRequestError, match="does not fetch"):
            ChatVessel(base_url=server.base_url, model="qwen3:8b").invoke(question)
        assert server.asked("/api/chat") == []


async def test_a_url_is_fetched_here_for_who_asks_invoked_and_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vessel_core.transport.pictures.is_public", "127.0.0.1".__eq__)  # this machine plays the web
    routes: Routes = {("GET", "/cat.png"): Response(body=RED, headers={"content-type": "image/png"})}
    with (
        FakeServer(routes) as web,
        ollama_server(ollama_answer(["A cat"]), capabilities=("completion", "vision")) as server,
    ):
        chat = ChatVessel(backend="ollama", base_url=server.base_url, model="qwen3:8b", fetch_image_urls=True)
        chat = pickle.loads(pickle.dumps(chat))
        question = [HumanMessage([{"type": "image", "url": f"{web.base_url}/cat.png"}])]
        answers = [chat.invoke(question), await chat.ainvoke(question), *chat.stream(question)]
        answers += [chunk async for chunk in chat.astream(question)]
        assert "".join(one.text for one in answers) == "A cat" * 4
        assert [body["messages"][0]["images"] for body in asked(server)] == [[RED64]] * 4
    assert len(web.requests) == 4


def asked(server: FakeServer) -> list[dict[str, Any]]:
    return [request.json() for request in server.asked("/api/chat")]


def test_ollama_gets_bare_base64() -> None:
    with ollama_server(ollama_answer(["Red"])) as server:
        chat = ChatVessel(base_url=server.base_url, model="qwen3:8b")
        chat.invoke([HumanMessage([{"type": "text", "text": "What?"}, image_block(RED)])])
        [message] = server.requests[-1].json()["messages"]
    assert message == {"role": "user", "content": "What?", "images": [RED64]}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "audio", "base64": SOUND64, "mime_type": "audio/wav"},
        {"type": "audio", "audio": silence()},
        {"type": "input_audio", "input_audio": {"data": SOUND64, "format": "wav"}},
        {"type": "file", "mime_type": "audio/wav", "base64": SOUND64},
    ],
)
def test_sound_in_every_form_becomes_the_same_part(block: Any) -> None:
    assert sent_content([block]) == [{"type": "input_audio", "input_audio": {"data": SOUND64, "format": "wav"}}]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text-plain", "text": "A note", "mime_type": "text/plain"},
        {"type": "text-plain", "base64": base64.b64encode(b"A note").decode(), "mime_type": "text/plain"},
        {"type": "file", "mime_type": "text/plain", "base64": base64.b64encode(b"A note").decode()},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A note"}},
    ],
)
def test_text_files_go_as_text(block: Any) -> None:
    assert sent_content(["Summarise:", block]) == "Summarise:\nA note"
    titled = {**block, "title": "Notes", "context": "From Monday"}
    assert sent_content(["Summarise:", titled]) == "Summarise:\nNotes\nFrom Monday\nA note"


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"type": "file", "mime_type": "application/pdf", "base64": "JVBERi0="}, "application/pdf can't be sent"),
        (
            {"type": "text-plain", "url": "https://example.org/a.txt", "mime_type": "text/plain"},
            "no text and no base64",
        ),
        ({"type": "text-plain", "file_id": "file-1", "mime_type": "text/plain"}, "no text and no base64"),
        ({"type": "text-plain", "base64": "/w==", "mime_type": "text/plain"}, "no base64 of text"),
        ({"type": "video", "url": "https://example.org/cat.mp4"}, "no video"),
        ({"type": "image", "file_id": "file-1"}, "another provider's file"),
        ({"type": "image"}, "no url, base64"),
        ({"type": "image", "base64": base64.b64encode(b"not a picture").decode()}, "no URL, data URL or base64"),
        ({"type": "hologram"}, "'hologram', which can't be sent"),
        ({"no": "type"}, "None, which can't be sent"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_its_place(block: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        sent_content(["Look:", block])
    assert "messages[0].content[1]" in str(caught.value)


def test_texts_alone_go_as_one_text() -> None:
    assert sent_content([{"type": "text", "text": "One"}, "two"]) == "One\ntwo"
    assert sent_content([]) == ""


# ------------------------------------------------------------------------------------------------------------ messages


@pytest.mark.parametrize(
    ("message", "made"),
    [
        (SystemMessage("Be brief"), {"role": "system", "content": "Be brief"}),
        (HumanMessage("Hi", name="ada"), {"role": "user", "content": "Hi", "name": "ada"}),
        (AIMessage("Hello"), {"role": "assistant", "content": "Hello"}),
        (AIMessage(["Hel", "lo"]), {"role": "assistant", "content": "Hello"}),
        (AIMessage([]), {"role": "assistant", "content": ""}),
        (ChatMessage(content="Hi", role="user"), {"role": "user", "content": "Hi"}),
        (ChatMessage(content="Rule", role="developer"), {"role": "system", "content": "Rule"}),
        (
            ChatMessage(
                content=[{"type": "server_tool_call", "id": "1", "name": "web"}, {"type": "text", "text": "Hi"}],
                role="ai",
            ),
            {"role": "assistant", "content": "Hi"},
        ),
        (
            FunctionMessage(content="42", name="multiply"),
            {"role": "tool", "content": "42", "name": "multiply", "tool_call_id": "multiply"},
        ),
        (
            ToolMessage("42", tool_call_id="1", name="multiply", artifact={"big": "thing"}),
            {"role": "tool", "content": "42", "name": "multiply", "tool_call_id": "1"},
        ),
        (
            AIMessage("Hi", additional_kwargs={"reasoning_content": "Hm"}),
            {"role": "assistant", "content": "Hi", "reasoning": "Hm"},
        ),
        (
            AIMessage("Hi", additional_kwargs={"reasoning_content": {"text": "Hm", "signature": "s"}}),
            {"role": "assistant", "content": "Hi", "reasoning": "Hm"},
        ),
        (
            AIMessage(
                [{"type": "reasoning_content", "reasoning_content": {"text": "Hm"}}, {"type": "text", "text": "Hi"}]
            ),
            {"role": "assistant", "content": "Hi", "reasoning": "Hm"},
        ),
        (
            HumanMessage([{"type": "text", "text": "Hi"}, {"cachePoint": {"type": "default"}}]),
            {"role": "user", "content": "Hi"},
        ),
        (
            SystemMessage([{"type": "text", "text": "Be brief"}, {"cachePoint": {"type": "default"}}]),
            {"role": "system", "content": "Be brief"},
        ),
        (
            AIMessage([{"type": "refusal", "refusal": "No."}, {"type": "image", "url": "https://x.org/a.png"}]),
            {"role": "assistant", "content": "No."},
        ),
    ],
)
def test_every_kind_of_message_is_understood(message: BaseMessage, made: dict[str, Any]) -> None:
    assert to_messages([message]) == [made]


def test_a_call_of_before_there_were_tools_goes_with_its_result() -> None:
    called = AIMessage("", additional_kwargs={"function_call": {"name": "multiply", "arguments": '{"a": 6}'}})
    call, result = to_messages([called, FunctionMessage(content="42", name="multiply")])
    [made] = list(call.get("tool_calls") or [])
    assert made["function"] == {"name": "multiply", "arguments": '{"a": 6}'}
    assert made["id"] == result.get("tool_call_id")


def test_messages_that_cannot_be_sent_are_refused_by_their_place() -> None:
    with pytest.raises(InvalidRequest, match=r"messages\[1\] is a RemoveMessage"):
        to_messages([HumanMessage("Hi"), RemoveMessage(id="1")])
    with pytest.raises(InvalidRequest, match=r"messages\[0\] the role 'narrator'|role 'narrator'"):
        to_messages([ChatMessage(content="Hi", role="narrator")])


def test_arguments_that_are_no_json_are_refused_by_their_message() -> None:
    call = {"name": "book", "args": {"on": datetime.date(2026, 11, 30)}, "id": "call-1"}
    with pytest.raises(InvalidRequest, match=r"messages\[1\]: the arguments of its call of 'book' are no JSON: .*date"):
        to_messages([HumanMessage("Book it."), AIMessage("", tool_calls=[call])])


def test_tool_results_in_a_users_turn_become_turns_of_their_own() -> None:
    made = to_messages(
        [
            AIMessage([{"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}]),
            HumanMessage(
                [
                    {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "42"}]},
                    {"type": "text", "text": "So?"},
                ]
            ),
        ]
    )
    assert made == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "42"},
        {"role": "user", "content": "So?"},
    ]


def test_the_same_history_makes_the_same_request_each_time() -> None:
    history = [HumanMessage("x"), AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": None}])]
    assert to_messages(history) == to_messages(history)
    [call] = to_messages(history)[1].get("tool_calls", [])
    assert call["id"] == "call_0"


def test_messages_are_not_changed_by_being_sent() -> None:
    block: dict[str, Any] = {"type": "image", "base64": RED64, "mime_type": "image/png"}
    message = HumanMessage([{"type": "text", "text": "x"}, block])
    before = message.model_copy(deep=True)
    with llamacpp_server(answer("Hi"), vision=True) as server:
        ChatVessel(base_url=server.base_url).invoke([message])
    assert message == before
