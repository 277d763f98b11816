"""What LangChain's cache must know: which server and which model answer, and what a picture shows.

Else the answers of one server would be taken for those of another, and so with pictures that are held as objects.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import BaseMessage
from vessel_core import Timeout
from vessel_core.errors import ResponseError, Unsupported

from langchain_vessel.connection import ServerFields
from langchain_vessel.content import is_plain, pinned
from langchain_vessel.errors import langchain_errors
from langchain_vessel.messages import read_files


def is_cached(model: BaseLanguageModel[Any]) -> bool:
    """Tell whether LangChain will look for an answer in a cache."""
    return model.cache is not False and (model.cache or get_llm_cache()) is not None


def storable(messages: list[BaseMessage]) -> list[BaseMessage]:
    """Return the messages with files, bytes and pictures as data: of an object the key would hold the address alone."""
    with langchain_errors():
        return [_storable(message, at) for at, message in enumerate(messages)]


async def astorable(messages: list[BaseMessage]) -> list[BaseMessage]:
    """Return the same, with files read beside the event loop."""
    return await asyncio.to_thread(storable, messages) if read_files(messages) else storable(messages)


def _storable(message: BaseMessage, at: int) -> BaseMessage:
    if is_plain(message.content):
        return message
    return message.model_copy(update={"content": pinned(message.content, f"messages[{at}].content")})


def find(server: ServerFields, model: str | None, timeout: Timeout | float | None) -> None:
    """Find what is not known yet, within the call's timeout. A server that lists no models answers with the one it has."""
    if _is_open(server, model):
        with langchain_errors(), suppress(ResponseError, Unsupported):
            server.server.model_info(model, timeout=timeout)


async def afind(server: ServerFields, model: str | None, timeout: Timeout | float | None) -> None:
    """Find what is not known yet, without blocking the event loop."""
    if _is_open(server, model):
        with langchain_errors(), suppress(ResponseError, Unsupported):
            await server.aserver.model_info(model, timeout=timeout)


def _is_open(server: ServerFields, model: str | None) -> bool:
    target = server.server.target
    return not target.where or not (model or target.model or "chat" in target.chosen)
