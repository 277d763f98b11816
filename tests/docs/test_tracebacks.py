"""What a traceback shows of an error whose message says it all: who asked, the message, and none of our way down."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_vessel import ChatVessel, VesselEmbeddings
from llama_index.core.llms import ChatMessage
from llama_index.embeddings.vessel import VesselEmbedding
from llama_index.llms.vessel import Vessel
from vessel_core import AsyncClient, Client, Message, VesselError

from tests.fake_server import Response, llamacpp_server, ollama_server

#: Fifteen lines, two of them the user's own.
MOST = 13
THEIRS = ("site-packages", "/asyncio/", "test_tracebacks.py")
HELLO: Message = {"role": "user", "content": "Hello"}
ASK: dict[str, Callable[[dict[str, Any]], Any]] = {
    "chat": lambda at: Client(**at).chat([HELLO]),
    "stream": lambda at: list(Client(**at).stream([HELLO])),
    "embed": lambda at: Client(**at).embed(["Hello"]),
    "models": lambda at: Client(**at).models(),
    "async chat": lambda at: asyncio.run(AsyncClient(**at).chat([HELLO])),
    "LangChain": lambda at: ChatVessel(**at).invoke([HumanMessage("Hello")]),
    "LangChain stream": lambda at: list(ChatVessel(**at).stream([HumanMessage("Hello")])),
    "LangChain async": lambda at: asyncio.run(ChatVessel(**at).ainvoke([HumanMessage("Hello")])),
    "LangChain embeddings": lambda at: VesselEmbeddings(**at).embed_query("Hello"),
    "LlamaIndex": lambda at: Vessel(**at).chat([ChatMessage("Hello")]),
    "LlamaIndex stream": lambda at: list(Vessel(**at).stream_complete("Hello")),
    "LlamaIndex async": lambda at: asyncio.run(Vessel(**at).acomplete("Hello")),
    "LlamaIndex embeddings": lambda at: VesselEmbedding(**at).get_text_embedding("Hello"),
}


@pytest.mark.parametrize("ask", ASK)
def test_a_server_that_is_down_is_told_in_fifteen_lines_with_two_of_message(ask: str) -> None:
    with llamacpp_server() as server:
        url = server.base_url
    lines = printed(lambda: ASK[ask]({"backend": "llamacpp", "base_url": url}))
    assert len(lines) <= MOST, "\n".join(lines)
    assert url in lines[-2]
    assert lines[-1].startswith("Start it: llama-server")


@pytest.mark.parametrize("ask", [name for name in ASK if "embed" not in name and name != "models"])
def test_a_model_that_is_missing_is_told_in_fifteen_lines(ask: str) -> None:
    missing = Response.json({"error": "model 'qwen3:7b' not found"}, 404)
    with ollama_server(models=["qwen3:8b"], routes={("POST", "/api/chat"): missing}) as server:
        lines = printed(lambda: ASK[ask]({"backend": "ollama", "base_url": server.base_url, "model": "qwen3:7b"}))
    assert len(lines) <= MOST, "\n".join(lines)
    assert "qwen3:8b" in "\n".join(lines[-3:])


def printed(ask: Callable[[], object]) -> list[str]:
    """Return what Python prints of the error, without the frames of who asks, of the frameworks and of asyncio."""
    with pytest.raises(VesselError) as caught:
        ask()
    lines = "".join(traceback.format_exception(caught.value)).splitlines()
    kept: list[str] = []
    theirs = False
    for line in lines:
        if not line.startswith("    "):
            theirs = line.startswith("  File ") and any(place in line for place in THEIRS)
        if not theirs:
            kept.append(line)
    return kept
