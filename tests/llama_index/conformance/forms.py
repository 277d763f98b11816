"""Asks in each form: as a chat, as a completion or for an object; whole and streamed; sync and async."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms import LLM

WHOLE = ("chat", "achat", "complete", "acomplete")
STREAMED = ("stream_chat", "astream_chat", "stream_complete", "astream_complete")
CHATS = ("chat", "achat", "stream_chat", "astream_chat")
WITH_TOOLS = ("chat_with_tools", "achat_with_tools", "stream_chat_with_tools", "astream_chat_with_tools")


def pieces(llm: LLM, form: str, *asked: Any, **options: Any) -> list[Any]:
    """Return what comes of the method named `form`: all of a stream, or the one whole answer."""
    if form.startswith("a"):
        return asyncio.run(apieces(llm, form, *asked, **options))
    answer = getattr(llm, form)(*asked, **options)
    return list(answer) if "stream" in form else [answer]


async def apieces(llm: LLM, form: str, *asked: Any, **options: Any) -> list[Any]:
    """Return what comes of an async method, and close what it has open in this event loop."""
    try:
        answer = await getattr(llm, form)(*asked, **options)
        return [piece async for piece in answer] if "stream" in form else [answer]
    finally:
        if callable(aclose := getattr(llm, "aclose", None)):
            await cast("Any", aclose())


def answers(llm: LLM, form: str, question: str) -> list[Any]:
    """Return what comes of asking a question."""
    return pieces(llm, form, asked(form, question))


def asked(form: str, question: str) -> Any:
    """Return a question as a form takes it: a chat as a message, a completion as a text."""
    return [ChatMessage(question)] if form.endswith("chat") else question


def text_of(answer: Any) -> str:
    """Return the text of a chat's or of a completion's answer."""
    return (answer.message.content or "") if hasattr(answer, "message") else answer.text
