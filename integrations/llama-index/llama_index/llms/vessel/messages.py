"""LlamaIndex's messages, whoever wrote them, as the core's: each block is sent, converted, or refused with a reason."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence, Set
from io import IOBase
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import unquote_to_bytes

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.llms.vessel.partial import partial_object
from llama_index.llms.vessel.tools import legacy_call
from vessel_core import Message, ToolCall
from vessel_core.errors import InvalidMedia, InvalidRequest
from vessel_core.media import MAX_FILE, audio_part, data_url_parts, image_from_path, image_part
from vessel_core.types import ContentPart
from vessel_core.wire.jsontext import loads, without_lone_surrogates

Role = Literal["system", "user", "assistant", "tool"]
ROLES: Mapping[MessageRole, Role] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}


def conversation(messages: Iterable[ChatMessage]) -> list[ChatMessage]:
    """Return the messages as a list; raise `InvalidRequest` if they are none."""
    said = None if isinstance(messages, str | ChatMessage) else list(messages)
    if said is None or not all(isinstance(each, ChatMessage) for each in said):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidRequest("A chat takes a list of ChatMessage.", hint='llm.complete("…") takes a text.')
    return said


def to_wire(
    messages: Sequence[ChatMessage], *, image_root: Path | None = None, send_reasoning: bool = True
) -> list[Message]:
    """Return the messages as the core sends them; raise `InvalidRequest` or `InvalidMedia` for what can't be sent.

    `image_root` is the folder image files must lie below; `send_reasoning` tells whether earlier thinking goes along.
    """
    ledger = _Ledger({_answers(message) for message in messages if ROLES[message.role] == "tool"})
    return [_message(message, ledger, image_root, send_reasoning) for message in messages]


def _message(message: ChatMessage, ledger: _Ledger, root: Path | None, send_reasoning: bool) -> Message:
    role = ROLES[message.role]
    wire: Message = {"role": role, "content": _content(_parts(message.blocks, root))}
    if role == "assistant":
        if send_reasoning and (thought := _thinking(message)):
            wire["reasoning"] = thought
        if calls := [*_calls(message), *_broken(message, ledger.results)]:
            wire["tool_calls"] = ledger.asked(calls)
    elif role == "tool":
        wire["tool_call_id"] = ledger.answered(message.additional_kwargs)
    return wire


def _content(parts: Sequence[ContentPart]) -> str | Sequence[ContentPart]:
    """Return a text where there is nothing but text, joined as LlamaIndex does: not every template knows parts."""
    texts = [part["text"] for part in parts if part["type"] == "text"]
    return "\n".join(texts) if len(texts) == len(parts) else parts


def _thinking(message: ChatMessage) -> str:
    """Return what an answer thought: from its blocks, else from where other classes put it."""
    thoughts = [block.content for block in message.blocks if isinstance(block, ThinkingBlock) and block.content]
    return "\n".join(thoughts) or str(message.additional_kwargs.get("reasoning_content") or "")


# -------------------------------------------------------------------------------------------------------------- blocks


def _parts(blocks: Iterable[Any], root: Path | None) -> list[ContentPart]:
    parts: list[ContentPart] = []
    for block in blocks:
        match block:
            case TextBlock():
                parts.append({"type": "text", "text": block.text})
            case ImageBlock():
                parts.append(_image(block, root))
            case AudioBlock():
                parts.append(audio_part(_media(block.audio, block.path, block.url, "audio", root)))
            case DocumentBlock():
                parts.append(_document(block, root))
            case CitableBlock():
                parts.append({"type": "text", "text": f"{block.title} ({block.source}):"})
                parts += _parts(block.content, root)
            case CitationBlock():
                parts += _parts([block.cited_content], root)
                parts.append({"type": "text", "text": f"({block.title}, {block.source})"})
            case ThinkingBlock() | ToolCallBlock() | CachePoint():
                pass  # the first two go beside the content; local servers cache prompts without being told
            case VideoBlock():
                raise InvalidMedia(
                    "Video is not sent: few servers take it.", hint="Send single pictures of it as ImageBlock."
                )
            case _:
                raise InvalidRequest(
                    f"A {type(block).__name__} can't be sent to a local server.",
                    hint="Turn it into a TextBlock or an ImageBlock.",
                )
    return parts


def _image(block: ImageBlock, root: Path | None) -> ContentPart:
    """Return a picture. A URL goes to the server as it is, where it fetches them: LlamaIndex's downloader is not used."""
    if block.image is None and block.path is not None:
        part = image_from_path(block.path, root=root)
    else:
        part = image_part(_media(block.image, None, block.url, "image", root))
    if block.detail in ("auto", "low", "high"):
        part["image_url"]["detail"] = block.detail
    return part


def _media(data: bytes | IOBase | None, path: Path | None, url: Any, what: str, root: Path | None) -> Any:
    """Return what the core makes a part of: bytes, a path object or a URL."""
    if isinstance(data, IOBase):
        data.seek(0)  # a history is sent again and again, and so is its file
        return data
    if data is not None:
        return decoded(data)
    if path is not None:
        return _below(path, root)
    if url is not None:
        return str(url)
    raise InvalidMedia(f"The {what} block is empty.", hint=f"Give it {what}=…, path=… or url=….")


def decoded(data: bytes) -> bytes:
    """Return what a block holds: LlamaIndex stores base64, unless the block was made without validation."""
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error:
        return data


def _inside(url: str) -> bytes:
    """Return what a data URL holds, as base64 or as a text."""
    head, comma, text = url.partition(",")
    if comma and not head.lower().endswith(";base64"):
        return unquote_to_bytes(text)
    try:
        return base64.b64decode(data_url_parts(url)[1], validate=True)
    except binascii.Error as error:
        raise InvalidMedia(f"The document's data URL holds no base64: {error}.") from None


def _below(path: Path, root: Path | None) -> Path:
    real = path.resolve()
    if root is not None and not real.is_relative_to(root.resolve()):
        raise InvalidMedia(f"The file {path} is not below {root}.", hint="Files are read below `image_root` only.")
    return path


def _document(block: DocumentBlock, root: Path | None) -> ContentPart:
    """Return a text document as text. Local servers read no other kind."""
    if isinstance(block.path, str) and root is None:  # unlike a picture's, its bytes may be any file's
        raise InvalidMedia(
            f"The document's path {block.path[:60]!r} is a text, which is opened below `image_root` only.",
            hint="Set `image_root=…` to the folder of your documents; or pass pathlib.Path(…), or the document's data.",
        )
    data = _document_bytes(block, root)
    if len(data) > MAX_FILE:
        raise InvalidMedia(
            f"The document {block.title!r} is longer than {MAX_FILE // 2**20} MB, the limit.", hint="Send a part of it."
        )
    text = _text(data)
    if text is None and (block.document_mimetype or "").startswith("text/") and isinstance(block.data, bytes):
        text = _text(block.data)  # "test" is base64 too, and LlamaIndex takes it for that
    if text is None:
        raise InvalidMedia(
            f"The document {block.title!r} ({block.document_mimetype}) is no text, and local servers read nothing else.",
            hint="Extract its text first, with one of LlamaIndex's readers.",
        )
    return {"type": "text", "text": f"{block.title}:\n{text}" if block.title != "input_document" else text}


def _document_bytes(block: DocumentBlock, root: Path | None) -> bytes:
    """Return what a document holds, of one that is too long a little more than may be sent."""
    url = str(block.url or "")
    if block.data is None and block.path is None and url:
        if url[:5].lower() != "data:":
            raise InvalidMedia("A document's URL is not fetched.", hint="Fetch it yourself and pass its data.")
        return _inside(url)
    path = None if block.path is None else Path(block.path)
    source = _media(block.data, path, None, "document", root)
    if isinstance(source, Path):
        with source.open("rb") as file:
            return file.read(MAX_FILE + 1)
    return source.read(MAX_FILE + 1) if isinstance(source, IOBase) else source


def _text(data: bytes) -> str | None:
    """Return the text in some bytes, `None` if they are none."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


# ---------------------------------------------------------------------------------------------------------- tool calls


def _calls(message: ChatMessage) -> list[tuple[str | None, str, Mapping[str, Any] | str]]:
    """Return id, name and arguments of each call: from blocks, else from where older classes put them."""
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if blocks:
        return [(block.tool_call_id, block.tool_name, block.tool_kwargs) for block in blocks]
    extra = message.additional_kwargs
    legacy: Any = extra.get("tool_calls") or ([extra["function_call"]] if extra.get("function_call") else [])
    return [legacy_call(call) for call in cast("list[Any]", legacy)] if isinstance(legacy, list | tuple) else []


def _broken(message: ChatMessage, results: Set[str]) -> list[tuple[str | None, str, str]]:
    """Return the calls that could not be run, if there is a result of each, which says why."""
    broken: Any = message.additional_kwargs.get("invalid_tool_calls") or ()
    calls = [(str(call["id"]), str(call["name"]), str(call["arguments"])) for call in cast("list[Any]", broken)]
    return [call for call in calls if call[0] in results]


def _answers(message: ChatMessage) -> str:
    """Return the id of the call of which a message is the result."""
    return str(message.additional_kwargs.get("tool_call_id"))


def _arguments(arguments: Mapping[str, Any] | str) -> str:
    """Return arguments as JSON. Of what is no JSON object (cut off, NaN), what can be read: a server refuses the whole
    history for it."""
    written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False, default=str)
    text = without_lone_surrogates(written)
    try:
        readable = isinstance(loads(text, nan=False), dict)
    except ValueError:
        readable = False
    return text if readable else json.dumps(partial_object(text), ensure_ascii=False)


class _Ledger:
    """The calls of a history that wait for their result. Gives each an id of its own: some classes write the tool's name
    in place of one, twice if it is called twice, or nothing."""

    def __init__(self, results: Set[str]) -> None:
        self.results = results
        self._used: set[str] = set()
        self._waiting: list[tuple[str, str | None, str]] = []

    def asked(self, calls: Iterable[tuple[str | None, str, Mapping[str, Any] | str]]) -> list[ToolCall]:
        """Return the calls of one turn."""
        wire: list[ToolCall] = []
        for given, name, arguments in calls:
            call_id = self._unique(given)
            self._waiting.append((call_id, given, name))
            function = {"name": name, "arguments": _arguments(arguments)}
            wire.append(cast("ToolCall", {"id": call_id, "type": "function", "function": function}))
        return wire

    def answered(self, extra: Mapping[str, Any]) -> str:
        """Return the id of the call that a result belongs to."""
        given, name = extra.get("tool_call_id"), extra.get("name")
        for at, (call_id, theirs, called) in enumerate(self._waiting):
            if given in (theirs, called) if given else name in (None, called):
                del self._waiting[at]
                return call_id
        return str(given) if given else self._unique(None)

    def _unique(self, given: str | None) -> str:
        wanted = given or f"call_{len(self._used)}"
        call_id, number = wanted, 1
        while call_id in self._used:
            number += 1
            call_id = f"{wanted}_{number}"
        self._used.add(call_id)
        return call_id
