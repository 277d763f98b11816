"""What LangChain's cache must know: which server and which model answer. Where that was left open, it is found out.

Else the answers of one server would be taken for those of another.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseLanguageModel
from vessel_core.errors import ResponseError, Unsupported

from langchain_vessel.connection import ServerFields
from langchain_vessel.errors import langchain_errors


def is_cached(model: BaseLanguageModel[Any]) -> bool:
    """Tell whether LangChain will look for an answer in a cache."""
    return model.cache is not False and (model.cache or get_llm_cache()) is not None


def find(server: ServerFields, model: str | None) -> None:
    """Find what is not known yet. A server that lists no models answers with the one it has."""
    if _is_open(server, model):
        with langchain_errors(), suppress(ResponseError, Unsupported):
            server.server.model_info(model)


async def afind(server: ServerFields, model: str | None) -> None:
    """Find what is not known yet, without blocking the event loop."""
    if _is_open(server, model):
        with langchain_errors(), suppress(ResponseError, Unsupported):
            await server.aserver.model_info(model)


def _is_open(server: ServerFields, model: str | None) -> bool:
    target = server.server.target
    return not target.where or not (model or target.model or "chat" in target.chosen)
