"""Content blocks → parts of a core message, whoever wrote them: LangChain v1 and v0, OpenAI, Anthropic.

A text is never opened as a file. Files, bytes and pictures that code put into a block are read here:

    {"type": "image", "image": pathlib.Path("cat.png")}     # or bytes, a binary file, a PIL image
    {"type": "image", "url": "https://…"}                   # passed on to a server that fetches it
    image_block(pathlib.Path("cat.png"))                    # a standard block, which can be stored as JSON
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any, cast

from vessel_core.errors import InvalidMedia, InvalidRequest
from vessel_core.media import ImageSource, audio_part, data_url_parts, image_part
from vessel_core.types import ContentPart, TextPart

Block = Mapping[str, Any]

_NOT_FOR_THE_MODEL = frozenset(
    {
        *("tool_call", "tool_call_chunk", "tool_use", "input_json_delta", "function_call", "invalid_tool_call"),
        *(
            "server_tool_call",
            "server_tool_call_chunk",
            "server_tool_result",
            "server_tool_use",
            "web_search_tool_result",
        ),
        *("redacted_thinking", "non_standard", "reasoning", "thinking"),
    }
)
"""Blocks of an assistant's turn that say in another way what the message says, or that only their maker can read."""


def image_block(source: ImageSource) -> dict[str, Any]:
    """Return LangChain's standard image block of a picture: bytes, a path object, a binary file, a PIL image or a URL.

    Raises `InvalidMedia` for what is no picture.

        >>> image_block("https://example.org/cat.png")
        {'type': 'image', 'url': 'https://example.org/cat.png'}
    """
    url = image_part(source)["image_url"]["url"]
    if not url.startswith("data:"):
        return {"type": "image", "url": url}
    kind, data = data_url_parts(url)
    return {"type": "image", "base64": data, "mime_type": kind}


def parts_of(content: Any, where: str) -> list[ContentPart]:
    """Return the parts of a user's, system's or tool's content; raise `InvalidRequest` naming a block nobody knows."""
    if isinstance(content, str):
        return [_text(content)] if content else []
    return [_part(block, f"{where}.content[{at}]") for at, block in enumerate(content) if not _marks_cache(block)]


def _marks_cache(block: Any) -> bool:
    """Tell whether a block is Bedrock's mark of what to cache, which holds nothing."""
    return isinstance(block, Mapping) and set(cast("Block", block)) == {"cachePoint"}


def plain_if_text(parts: list[ContentPart]) -> str | list[ContentPart]:
    """Return a text if there is nothing but text: not every template takes a list."""
    if all(part["type"] == "text" for part in parts):
        return "\n".join(cast("TextPart", part)["text"] for part in parts)
    return parts


def assistant_text(content: Any) -> str:
    """Return the text of an assistant's turn; its pictures and its makers' own blocks can't be sent back."""
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for block in content:
        if isinstance(block, str):
            texts.append(block)
        elif block.get("type") == "text-plain":
            texts.append(_read_plain(block)["text"])
        elif block.get("type") in ("text", "output_text", "refusal"):
            texts.append(str(block.get("text") or block.get("refusal") or ""))
    return "".join(texts)


def assistant_reasoning(content: Any) -> str:
    """Return the reasoning blocks of an assistant's turn as text: LangChain's, Anthropic's, OpenAI's."""
    if isinstance(content, str):
        return ""
    return "".join(_reasoning(block) for block in content if isinstance(block, dict))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - LangChain's blocks are untyped


def _reasoning(block: Block) -> str:
    if block.get("type") == "thinking":
        return str(block.get("thinking") or "")
    if block.get("type") == "reasoning_content":  # Bedrock's
        return str(cast("Block", block.get("reasoning_content") or {}).get("text") or "")
    if block.get("type") != "reasoning":
        return ""
    if text := block.get("reasoning") or block.get("text"):
        return str(text)
    summary = cast("list[Any]", block.get("summary") or [])
    return "\n".join(str(item.get("text") or "") for item in summary if isinstance(item, dict))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


def _part(block: Any, where: str) -> ContentPart:
    if isinstance(block, str):
        return _text(block)
    if not isinstance(block, Mapping):
        raise InvalidRequest(f"{where} is a {type(block).__name__}; blocks are texts and dicts.")
    fields = cast("Block", block)
    read = _READERS.get(str(fields.get("type")))
    if read is None:
        raise InvalidRequest(
            f"{where} has the type {fields.get('type')!r}, which can't be sent to a model.",
            hint=f"Types are {', '.join(sorted(_READERS))}.",
        )
    try:
        return read(fields)
    except InvalidMedia as error:
        error.message = f"{where}: {error.message}"
        raise


def tool_result_part(block: Any, where: str) -> ContentPart:
    """Return a part of a tool's result: what holds nothing that its type says is a record, written as JSON."""
    if isinstance(block, str) or (isinstance(block, Mapping) and _is_filled(cast("Block", block))):
        return _part(block, where)
    return _text(json.dumps(block, ensure_ascii=False, default=str))


def _is_filled(block: Block) -> bool:
    """Tell whether a block holds what its type says, so that it is none of a tool's own records with a `type`."""
    kind, mime = str(block.get("type")), str(block.get("mime_type") or "")
    names = _FILLINGS.get(kind, ())
    if kind in ("file", "media") and not mime:
        names = ("text", "file")
    elif mime.startswith("image/"):
        names = (*names, "url")
    return any(_holds(block, name) for name in names) or (kind in _READERS and isinstance(block.get("path"), PathLike))


def _holds(block: Block, name: str) -> bool:
    value = block.get(name)
    if name in ("source", "file"):
        return isinstance(value, Mapping)
    return value is not None and not (name in _DATA and isinstance(value, Mapping | list))


def pinned(content: Any, where: str) -> Any:
    """Return content in which files, bytes and pictures are data: it can be stored, and tells one picture from another."""
    if isinstance(content, list):
        return [pinned(each, f"{where}[{at}]") for at, each in enumerate(cast("list[Any]", content))]
    block: Any = content
    if is_plain(content) or not isinstance(content, Mapping):
        return block
    if _is_filled(block):
        return _part(block, where)
    return {name: pinned(value, f"{where}.{name}") for name, value in block.items()}


def is_plain(content: Any) -> bool:
    """Tell whether content is what JSON can say."""
    if isinstance(content, Mapping):
        return all(map(is_plain, cast("Block", content).values()))
    if isinstance(content, list | tuple):
        return all(map(is_plain, cast("list[Any]", content)))
    return content is None or isinstance(content, str | int | float)


def is_for_the_model(block: Any) -> bool:
    """Tell whether a block holds something to send, not another form of what the message says anyway."""
    return isinstance(block, str) or block.get("type") not in _NOT_FOR_THE_MODEL


def _text(text: str) -> TextPart:
    return {"type": "text", "text": text}


def _read_text(block: Block) -> TextPart:
    return _text(str(block.get("text") or ""))


def _read_plain(block: Block) -> TextPart:
    """Read a text file, as text or as base64; its title and context go before it."""
    text, data = block.get("text"), block.get("base64") or block.get("data")
    if text is None and isinstance(data, str):
        text = _decoded(data, str(block.get("mime_type") or "text/plain"))
    if text is None:
        raise InvalidMedia(
            f"the text file has no text and no base64: it has {sorted(map(str, block))}.",
            hint="No local server reads files by URL or id: read it, and send its text.",
        )
    return _text("\n".join(str(each) for each in (block.get("title"), block.get("context"), text) if each))


def _decoded(data: str, kind: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidMedia(f"the file of type {kind} is no base64 of text: {error}.") from None


def _read_image_url(block: Block) -> ContentPart:
    """Read OpenAI's form, also with the URL as a plain string, which llama.cpp does not take."""
    given = block.get("image_url")
    if isinstance(given, Mapping):
        fields = cast("Block", given)
        return image_part(fields.get("url"), detail=fields.get("detail"))  # pyright: ignore[reportArgumentType] - checked there
    return image_part(cast("Any", given))


def _read_image(block: Block) -> ContentPart:
    return image_part(_source(block, "image"))


def _read_audio(block: Block) -> ContentPart:
    given = block.get("input_audio")
    if isinstance(given, Mapping):
        return audio_part(_source({"base64": cast("Block", given).get("data")}, "audio"))
    return audio_part(_source(block, "audio"))


def _read_file(block: Block) -> ContentPart:
    """Read a file: text goes as text, pictures and sound as what they are. No local server reads PDFs."""
    kind = str(block.get("mime_type") or "")
    if kind.startswith("image/"):
        return _read_image(block)
    if kind.startswith("audio/"):
        return _read_audio(block)
    data = block.get("base64") or block.get("data")
    is_text = kind.startswith("text/") or kind in ("application/json", "application/xml")
    if "text" in block or (is_text and isinstance(data, str)):
        return _read_plain(block)
    raise InvalidMedia(
        f"a file of type {kind or 'unknown'} can't be sent to a local server.",
        hint="Extract its text, or render its pages as images.",
    )


def _read_document(block: Block) -> ContentPart:
    """Read Anthropic's document block."""
    source = cast("Block", block.get("source") or {})
    said = {name: block[name] for name in ("title", "context") if name in block}
    if source.get("type") == "text":
        return _read_plain({**said, "text": source.get("data")})
    return _read_file({**said, "mime_type": source.get("media_type"), "base64": source.get("data")})


def _read_video(_: Block) -> ContentPart:
    raise InvalidMedia("local servers take no video in a chat.", hint="Send some of its frames as images.")


def _source(block: Block, kind: str) -> Any:
    """Return what a picture or sound comes as: LangChain's v1 and v0 blocks, Anthropic's, and ours (`image`, `path`)."""
    source = block.get("source")
    if isinstance(source, Mapping):
        return _source({**cast("Block", source), "base64": cast("Block", source).get("data")}, kind)
    for name in (kind, "base64", "data", "url", "path", "bytes"):
        if (value := block.get(name)) is not None:
            return value
    if block.get("file_id") or block.get("id"):
        raise InvalidMedia(f"the {kind} is an id of another provider's file.", hint="Send its bytes.")
    raise InvalidMedia(f"the {kind} block has no url, base64, bytes or path: it has {sorted(map(str, block))}.")


_READERS: Mapping[str, Callable[[Block], ContentPart]] = {
    "text": _read_text,
    "input_text": _read_text,
    "output_text": _read_text,
    "text-plain": _read_plain,
    "image_url": _read_image_url,
    "input_image": _read_image_url,
    "image": _read_image,
    "input_audio": _read_audio,
    "audio": _read_audio,
    "file": _read_file,
    "media": _read_file,  # Gemini's
    "document": _read_document,
    "video": _read_video,
}

_DATA = ("base64", "data", "bytes", "source")
_FILLINGS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("text", "input_text", "output_text"), ("text",)),
    "text-plain": ("text", *_DATA),
    **dict.fromkeys(("image_url", "input_image"), ("image_url",)),
    "image": ("image", "url", *_DATA),
    **dict.fromkeys(("input_audio", "audio"), ("input_audio", "audio", *_DATA)),
    **dict.fromkeys(("file", "media"), ("text", "file", *_DATA)),
    "document": ("source",),
    "video": _DATA,
}
"""What a block of each type holds, to tell it from a record of a tool; the address of a file or film is the model's to read."""
