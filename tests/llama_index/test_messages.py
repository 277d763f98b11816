"""Each kind of block is sent, converted, or refused with a reason; histories of other classes are understood."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.schema import ImageDocument
from llama_index.llms.vessel import Vessel
from llama_index.llms.vessel.messages import to_wire
from pydantic import BaseModel
from vessel_core.errors import InvalidMedia, InvalidRequest
from vessel_core.media import MAX_FILE

from tests.fake_server import ollama_server
from tests.llama_index.conformance import OLLAMA
from tests.llama_index.conformance.answers import answer
from tests.llama_index.conformance.pictures import png
from tests.llama_index.scripted import scripted, sent

RED = png(255, 0, 0)
DATA_URL = f"data:image/png;base64,{base64.b64encode(RED).decode()}"
WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(28)


def one(*blocks: Any, role: str = "user", **extra: Any) -> Any:
    """Return what a message of these blocks becomes."""
    (message,) = to_wire([ChatMessage(role=role, blocks=list(blocks), additional_kwargs=extra)])
    return message


def url_of(block: ImageBlock) -> str:
    (part,) = one(block)["content"]
    return part["image_url"]["url"]


# --------------------------------------------------------------------------------------------------------------- texts


def test_texts_become_one_text() -> None:
    assert one(TextBlock(text="a"), TextBlock(text="b")) == {"role": "user", "content": "a\nb"}


@pytest.mark.parametrize(
    ("role", "wire"),
    [("developer", "system"), ("system", "system"), ("chatbot", "assistant"), ("model", "assistant"), ("user", "user")],
)
def test_every_role_has_one_that_servers_know(role: str, wire: str) -> None:
    assert one(TextBlock(text="a"), role=role)["role"] == wire


def test_a_text_document_is_sent_as_text() -> None:
    document = DocumentBlock(data=b"Boats float.", title="Boats", document_mimetype="text/plain")
    assert one(document)["content"] == "Boats:\nBoats float."


def test_a_text_document_is_read_from_a_path_object(tmp_path: Path) -> None:
    file = tmp_path / "boats.md"
    file.write_text("# Boats")
    assert one(DocumentBlock(path=file))["content"] == "# Boats"


@pytest.mark.parametrize("data", [b"%PDF-1.7\n\xff\xfe\0", b"\0asm\1\0\0\0"])
def test_what_is_no_text_is_refused_with_what_to_do(data: bytes) -> None:
    with pytest.raises(InvalidMedia, match="Extract its text"):
        one(DocumentBlock(data=data, title="Report"))


def test_a_document_above_the_limit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "long.txt"
    file.write_bytes(b"a" * (MAX_FILE + 1))
    for block in (DocumentBlock(path=file), DocumentBlock(data=io.BytesIO(file.read_bytes()))):
        with pytest.raises(InvalidMedia, match="MB"):
            one(block)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_documents_path_as_a_text_is_opened_below_the_root_only(tmp_path: Path, asynchronous: bool) -> None:
    with pytest.raises(InvalidMedia, match="image_root"):
        one(DocumentBlock(path="/etc/hostname"))
    (tmp_path / "boats.md").write_text("# Boats")
    message = ChatMessage(blocks=[DocumentBlock(path=tmp_path / "boats.md")])
    stored = ChatMessage.model_validate_json(message.model_dump_json())
    outside = ChatMessage(blocks=[DocumentBlock(path="/etc/hostname")])
    with scripted(answer("Hi"), image_root=tmp_path) as (llm, server):
        for history in ([stored], [outside]):
            asked = llm.achat(history) if asynchronous else asyncio.to_thread(llm.chat, history)
            if history == [stored]:
                await asked
                continue
            with pytest.raises(InvalidMedia, match="below"):
                await asked
        assert [request["content"] for request in sent(server)["messages"]] == ["# Boats"]
        await llm.aclose()


def test_a_document_in_a_data_url_is_read_and_an_empty_one_is_empty() -> None:
    assert one(DocumentBlock(url="data:text/plain;base64,Qm9hdHM="))["content"] == "Boats"
    assert one(DocumentBlock(data=b"", title="Boats", document_mimetype="text/plain"))["content"] == "Boats:\n"
    with pytest.raises(InvalidMedia, match="no base64"):
        one(DocumentBlock(url="data:text/plain;base64,@@@"))


@pytest.mark.parametrize(
    "url",
    ["data:text/plain,a%20test,%20caf%C3%A9", "DATA:text/plain;charset=utf-8,a test, café", "data:,a test, caf%c3%a9"],
)
def test_a_document_in_a_data_url_of_text_is_read(url: str) -> None:
    assert one(DocumentBlock(url=url))["content"] == "a test, café"


def test_a_text_that_could_be_base64_stays_a_text(tmp_path: Path) -> None:
    file = tmp_path / "test.txt"
    file.write_text("test")
    blocks = [
        DocumentBlock(data=b"test", document_mimetype="text/plain"),
        DocumentBlock(data=io.BytesIO(b"test")),
        DocumentBlock(path=file),
        DocumentBlock(url="data:text/plain;base64,dGVzdA=="),
        DocumentBlock(url="data:text/plain,test"),
    ]
    assert [one(block)["content"] for block in blocks] == ["test"] * 5


def test_what_other_classes_kept_of_the_thinking_is_sent_along() -> None:
    said = ChatMessage("4", role="assistant", additional_kwargs={"reasoning_content": "2 + 2"})
    assert to_wire([said])[0].get("reasoning") == "2 + 2"
    assert "reasoning" not in to_wire([said], send_reasoning=False)[0]


class Place(BaseModel):
    name: str


@pytest.mark.parametrize("structured", [False, True])
async def test_messages_from_an_iterator_are_sent_in_all_four_forms(structured: bool) -> None:
    messages = [ChatMessage("Be brief.", role="system"), ChatMessage("Hello")]

    def once() -> Any:
        return (message for message in messages)

    with scripted(answer('{"name": "Oslo"}')) as (llm, server):
        asked = llm.as_structured_llm(Place) if structured else llm
        asked.chat(once())
        list(asked.stream_chat(once()))
        await asked.achat(once())
        [each async for each in await asked.astream_chat(once())]
        await llm.aclose()
        assert [len(sent(server, at)["messages"]) for at in range(4)] == [2] * 4


def test_a_documents_url_is_not_fetched() -> None:
    with pytest.raises(InvalidMedia, match="not fetched"):
        one(DocumentBlock(url="http://127.0.0.1:9/secret.txt"))


def test_citations_are_sent_with_their_source() -> None:
    citable = CitableBlock(title="Boats", source="boats.md", content=[TextBlock(text="They float.")])
    cited = CitationBlock(
        cited_content=TextBlock(text="They float."), source="boats.md", title="Boats", additional_location_info={}
    )
    assert one(citable)["content"] == "Boats (boats.md):\nThey float."
    assert one(cited)["content"] == "They float.\n(Boats, boats.md)"


def test_a_cache_point_changes_nothing() -> None:
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    assert one(TextBlock(text="a"), point) == {"role": "user", "content": "a"}


def test_video_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidMedia, match="single pictures"):
        one(VideoBlock(video=b"\0\0\0\x18ftypmp42" + bytes(20)))


# ------------------------------------------------------------------------------------------------------------ pictures


def test_pictures_are_sent_from_bytes_base64_files_and_data_urls() -> None:
    assert url_of(ImageBlock(image=RED)) == DATA_URL
    assert url_of(ImageBlock(image=base64.b64encode(RED))) == DATA_URL
    assert url_of(ImageBlock(url=DATA_URL)) == DATA_URL
    file = io.BytesIO(RED)
    block = ImageBlock(image=file)
    assert url_of(block) == DATA_URL
    assert url_of(block) == DATA_URL  # again, as in the next turn


def test_a_picture_says_what_it_is_by_its_bytes() -> None:
    assert url_of(ImageBlock(image=RED, image_mimetype="image/jpeg")) == DATA_URL


def test_the_detail_of_a_picture_is_kept() -> None:
    (part,) = one(ImageBlock(image=RED, detail="low"))["content"]
    assert part["image_url"]["detail"] == "low"


def test_a_picture_is_read_from_a_path_below_the_root(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in" / "red.png", tmp_path / "out.png"
    inside.parent.mkdir()
    for file in (inside, outside):
        file.write_bytes(RED)
    (tmp_path / "in" / "link.png").symlink_to(outside)
    assert url_of(ImageBlock(path=inside)) == DATA_URL
    root = tmp_path / "in"
    to_wire([ChatMessage(blocks=[ImageBlock(path=inside)])], image_root=root)
    for refused in (outside, tmp_path / "in" / "link.png"):
        with pytest.raises(InvalidMedia, match="below"):
            to_wire([ChatMessage(blocks=[ImageBlock(path=refused)])], image_root=root)


def test_files_of_every_kind_are_read_below_the_root_only(tmp_path: Path) -> None:
    picture, sound, text = (tmp_path / name for name in ("red.png", "beep.wav", "boats.md"))
    for file, data in ((picture, RED), (sound, WAV), (text, b"# Boats")):
        file.write_bytes(data)
    (tmp_path / "in").mkdir()
    document, image = DocumentBlock(path=text), ImageBlock(path=picture)
    cited: dict[str, Any] = {"source": "boats.md", "title": "Boats"}
    blocks: list[Any] = [
        *(image, AudioBlock(path=sound), document),
        *(CitableBlock(content=[document], **cited), CitableBlock(content=[image], **cited)),
        CitationBlock(cited_content=image, additional_location_info={}, **cited),
    ]
    for block in blocks:
        assert to_wire([ChatMessage(blocks=[block])], image_root=tmp_path)
        with pytest.raises(InvalidMedia, match="below"):
            to_wire([ChatMessage(blocks=[block])], image_root=tmp_path / "in")


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "passwords.png"
    file.write_text("root:x:0:0")
    with pytest.raises(InvalidMedia, match="no picture"):
        one(ImageBlock(path=file))


def test_a_picture_above_the_limit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "large.png"
    with file.open("wb") as opened:
        opened.write(RED)
        opened.truncate(21 * 1024 * 1024)
    with pytest.raises(InvalidMedia, match="20 MB"):
        one(ImageBlock(path=file))


def test_an_empty_block_is_refused() -> None:
    with pytest.raises(InvalidMedia, match="empty"):
        one(ImageBlock())


def test_a_files_url_is_refused() -> None:
    with pytest.raises(InvalidMedia):
        one(ImageBlock(url="file:///etc/hostname"))


def test_a_pictures_url_is_left_to_the_server_and_never_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: Any, **__: Any) -> None:
        raise AssertionError("LlamaIndex's downloader was used")

    monkeypatch.setattr("requests.get", download)
    message = ChatMessage(blocks=[TextBlock(text="What is it?"), ImageBlock(url="http://127.0.0.1:9/cat.png")])
    with scripted(answer("A cat.")) as (llm, server):
        llm.chat([message])
        part = sent(server)["messages"][0]["content"][1]
        assert part["image_url"]["url"] == "http://127.0.0.1:9/cat.png"
    with ollama_server() as server:
        llm = Vessel(backend="ollama", base_url=server.base_url, model="qwen3:8b")
        with pytest.raises(InvalidMedia, match="does not fetch"):
            llm.chat([message])
        assert not server.asked("/api/chat")
        llm.close()


def test_sound_is_sent_with_its_format() -> None:
    (part,) = one(AudioBlock(audio=WAV))["content"]
    assert part["input_audio"] == {"data": base64.b64encode(WAV).decode(), "format": "wav"}
    with pytest.raises(InvalidMedia, match="WAV or MP3"):
        one(AudioBlock(audio=b"OggS" + bytes(20)))


def test_a_real_server_sees_the_colour_however_the_picture_came(llm: Vessel, tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(png(0, 0, 255))
    blue = base64.b64encode(png(0, 0, 255)).decode()
    for block in (
        ImageBlock(path=file),
        ImageBlock(image=png(0, 0, 255)),
        ImageBlock(url=f"data:image/png;base64,{blue}"),
    ):
        reply = llm.chat([ChatMessage(blocks=[TextBlock(text="Which colour?"), block])])
        assert "blue" in (reply.message.content or "")


def test_a_picture_in_a_tools_result_arrives(llm: Vessel) -> None:
    call = ToolCallBlock(tool_call_id="a", tool_name="draw", tool_kwargs={"what": "a square"})
    history = [
        ChatMessage("Draw a square. Which colour is it?"),
        ChatMessage(role="assistant", blocks=[call]),
        ChatMessage(role="tool", blocks=[ImageBlock(image=png(0, 255, 0))], additional_kwargs={"tool_call_id": "a"}),
    ]
    with scripted(answer("Green.")) as (scripted_llm, server):
        scripted_llm.chat(history)
        *_, result, picture = sent(server)["messages"]
        assert (result["role"], result["tool_call_id"]) == ("tool", "a")
        assert picture["role"] == "user"
        assert picture["content"][-1]["image_url"]["url"].startswith("data:image/png;base64,")
    assert "green" in (llm.chat(history).message.content or "")


def test_the_older_way_to_pass_pictures_works() -> None:
    document = ImageDocument(image=base64.b64encode(RED).decode())
    (message,) = to_wire([ChatMessage(content="What is it?", additional_kwargs={"images": [document]})])
    assert message.get("content") == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": DATA_URL}},
    ]


# ----------------------------------------------------------------------------------------------------------- histories


def test_thinking_goes_back_beside_the_answer_and_can_be_kept_out() -> None:
    message = ChatMessage(role="assistant", blocks=[ThinkingBlock(content="Hm."), TextBlock(text="Yes.")])
    assert one(*message.blocks, role="assistant") == {"role": "assistant", "content": "Yes.", "reasoning": "Hm."}
    assert to_wire([message], send_reasoning=False) == [{"role": "assistant", "content": "Yes."}]
    with scripted(answer("Ok.")) as (llm, server):
        llm.chat([ChatMessage("?"), message, ChatMessage("Why?")])
        assert sent(server)["messages"][1]["reasoning_content"] == "Hm."
        llm.send_reasoning = False
        llm.chat([ChatMessage("?"), message, ChatMessage("Why?")])
        assert "reasoning_content" not in sent(server)["messages"][1]


def test_thinking_that_was_withheld_is_left_out() -> None:
    assert "reasoning" not in one(ThinkingBlock(content=None), TextBlock(text="Yes."), role="assistant")


def test_a_call_and_its_result_belong_together() -> None:
    call = ToolCallBlock(tool_call_id="a", tool_name="add", tool_kwargs={"x": 1})
    asked, result = to_wire(
        [
            ChatMessage(role="assistant", blocks=[call]),
            ChatMessage(role="tool", content="2", additional_kwargs={"tool_call_id": "a"}),
        ]
    )
    assert asked.get("tool_calls") == [
        {"id": "a", "type": "function", "function": {"name": "add", "arguments": '{"x": 1}'}}
    ]
    assert result == {"role": "tool", "content": "2", "tool_call_id": "a"}


def test_a_history_of_ollamas_class_gets_ids_that_tell_its_calls_apart() -> None:
    """It writes the tool's name in place of an id."""
    calls = [ToolCallBlock(tool_name="add", tool_call_id="add", tool_kwargs={"x": number}) for number in (1, 2)]
    results = [ChatMessage(role="tool", content=text, additional_kwargs={"tool_call_id": "add"}) for text in "23"]
    asked, *answered = to_wire([ChatMessage(role="assistant", blocks=calls), *results])
    ids = [call["id"] for call in asked.get("tool_calls", ())]
    assert len(set(ids)) == 2
    assert [message.get("tool_call_id") for message in answered] == ids


def test_calls_without_an_id_get_one_that_their_results_share() -> None:
    asked, first, second = to_wire(
        [
            ChatMessage(
                role="assistant",
                blocks=[ToolCallBlock(tool_name="add", tool_kwargs="{}"), ToolCallBlock(tool_name="sub")],
            ),
            ChatMessage(role="tool", content="1", additional_kwargs={"name": "sub"}),
            ChatMessage(role="tool", content="2"),
        ]
    )
    add, sub = (call["id"] for call in asked.get("tool_calls", ()))
    assert (first.get("tool_call_id"), second.get("tool_call_id")) == (sub, add)


@pytest.mark.parametrize(
    "legacy",
    [
        {"tool_calls": [{"id": "a", "type": "function", "function": {"name": "add", "arguments": '{"x": 1}'}}]},
        {"tool_calls": [{"function": {"name": "add", "arguments": {"x": 1}}}]},
        {"function_call": {"name": "add", "arguments": '{"x": 1}'}},
    ],
)
def test_calls_in_the_older_place_are_sent(legacy: dict[str, Any]) -> None:
    (call,) = one(TextBlock(text=""), role="assistant", **legacy)["tool_calls"]
    assert call["function"] == {"name": "add", "arguments": '{"x": 1}'}
    assert call["id"]


def test_calls_in_both_places_are_sent_once() -> None:
    block = ToolCallBlock(tool_call_id="a", tool_name="add", tool_kwargs={})
    plain = {"id": "a", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    assert len(one(block, role="assistant", tool_calls=[plain])["tool_calls"]) == 1


@pytest.mark.parametrize(
    ("written", "sent_as"),
    [
        ('{"city":"Os"}', '{"city":"Os"}'),
        ('{"city": "Os', '{"city": "Os"}'),
        *(("", "{}"), ("null", "{}"), ("[1]", "{}")),
        *(('{"a": 1, "b": NaN, "c": 2}', '{"a": 1}'), ('{"a": 1, "b": 1e999}', '{"a": 1}'), ('{"a": -Infinity}', "{}")),
        *(({"a": 1, "b": float("nan")}, '{"a": 1}'), ({"b": [float("inf")]}, '{"b": []}')),
        *(('{"a": "\\ud800"}', '{"a": "\\ufffd"}'), ('{"a": "\ud800"}', '{"a": "\\ufffd"}')),
        *(({"a": "\ud800"}, '{"a": "\\ufffd"}'), ('{"a": "\ud800", "b": tr', '{"a": "\ufffd"}')),
    ],
)
def test_arguments_that_are_no_object_are_sent_as_far_as_they_can_be_read(written: Any, sent_as: str) -> None:
    block = ToolCallBlock(tool_call_id="a", tool_name="get_weather", tool_kwargs=written)
    (call,) = one(block, role="assistant")["tool_calls"]
    assert call["function"] == {"name": "get_weather", "arguments": sent_as}


def test_a_call_that_was_cut_off_makes_no_history_that_a_server_refuses(llm: Vessel) -> None:
    cut = ToolCallBlock(tool_call_id="a", tool_name="get_weather", tool_kwargs='{"city": "Os')
    result = ChatMessage(role="tool", content="No such city.", additional_kwargs={"tool_call_id": "a"})
    history = [ChatMessage("Weather?"), ChatMessage(role="assistant", blocks=[cut]), result, ChatMessage("Thanks.")]
    assert llm.chat(history).message.content


ARGUMENTS: list[Any] = [{"x": float("nan"), "y": "\ud800"}, '{"y": "\ud800", "x": 1e999}', '{"y": "\\ud800", "x": NaN}']


@pytest.mark.parametrize("arguments", ARGUMENTS)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_every_server_is_sent_json_whatever_a_call_of_the_history_holds(
    arguments: Any, asynchronous: bool
) -> None:
    history = [
        ChatMessage(role="assistant", blocks=[ToolCallBlock(tool_call_id="a", tool_name="f", tool_kwargs=arguments)]),
        ChatMessage(role="tool", content="0", additional_kwargs={"tool_call_id": "a"}),
    ]
    finite = {"y": "\ufffd"} if "y" in str(arguments)[:4] else {}
    with scripted(answer("Hi")) as (llm, server), ollama_server(OLLAMA.text("Hi"), models=["demo"]) as ollama:
        other = Vessel(backend="ollama", base_url=ollama.base_url, model="demo")
        for each in (llm, other):
            await (each.achat(history) if asynchronous else asyncio.to_thread(each.chat, history))
            await each.aclose()
            each.close()
        (call,) = sent(server)["messages"][0]["tool_calls"]
        assert json.loads(call["function"]["arguments"], parse_constant=pytest.fail) == finite
        (call,) = ollama.asked("/api/chat")[0].json()["messages"][0]["tool_calls"]
        assert call["function"]["arguments"] == finite


def test_what_return_direct_adds_is_no_result() -> None:
    assert one(TextBlock(text="2"), role="assistant", tool_call_id="a") == {"role": "assistant", "content": "2"}


def test_a_message_of_nothing_is_sent_as_one() -> None:
    assert one(role="assistant") == {"role": "assistant", "content": ""}


def test_what_is_no_block_of_ours_is_refused_by_name() -> None:
    class OddBlock(TextBlock.__mro__[1]):  # type: ignore[misc] # LlamaIndex's base of all blocks
        block_type: str = "odd"

    message = ChatMessage("a")
    message.blocks.append(OddBlock())  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidRequest, match="OddBlock"):
        to_wire([message])
