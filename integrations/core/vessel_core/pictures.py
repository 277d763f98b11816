"""Puts pictures in the place of their URLs, for who has asked for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from vessel_core.backends.base import Flow
from vessel_core.media import image_part
from vessel_core.types import ChatRequest, ContentPart, Message
from vessel_core.wire import Call


def with_pictures(request: ChatRequest) -> Flow[ChatRequest]:
    """Fetch each picture that is given by an http(s) URL, once; raise `InvalidMedia` for one that can't be had."""
    fetched: dict[str, str] = {}
    for url in _urls(request.messages):
        if url not in fetched:
            reply = yield Call("GET", url, picture=True)
            fetched[url] = image_part(reply.body)["image_url"]["url"]
    return (
        replace(request, messages=[_filled(message, fetched) for message in request.messages]) if fetched else request
    )


def _urls(messages: Sequence[Message]) -> list[str]:
    contents = [message.get("content") for message in messages]
    parts = [part for content in contents if content and not isinstance(content, str) for part in content]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return [url for url in urls if url[:5].lower() != "data:"]


def _filled(message: Message, fetched: dict[str, str]) -> Message:
    content = message.get("content")
    if not content or isinstance(content, str):
        return message
    return cast("Message", {**message, "content": [_part(part, fetched) for part in content]})


def _part(part: ContentPart, fetched: dict[str, str]) -> ContentPart:
    if part["type"] != "image_url" or part["image_url"]["url"] not in fetched:
        return part
    return {"type": "image_url", "image_url": {**part["image_url"], "url": fetched[part["image_url"]["url"]]}}
