"""How an LLM is put on the suite's own server, and made to wait there."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from typing import Any, cast

from llama_index.core.llms import LLM
from llama_index.core.llms.function_calling import FunctionCallingLLM

from .dialects import Dialect, Script
from .forms import answers
from .server import ScriptedServer


class Played(ABC):
    """Says which dialect the integration speaks, and how the object is made."""

    @property
    @abstractmethod
    def dialect(self) -> Dialect:
        """How the integration speaks: `OPENAI` or `OLLAMA`."""

    @abstractmethod
    def make(self, base_url: str) -> LLM:
        """Return an object for the model "demo" at this address, which has no `/v1`."""

    @contextmanager
    def playing(self, script: Script) -> Generator[tuple[FunctionCallingLLM, ScriptedServer]]:
        """Yield an object on a server that answers chats by this script."""
        with self.dialect.server(script) as server:
            llm = self.make(server.base_url)
            yield cast("FunctionCallingLLM", llm), server
            if callable(close := getattr(llm, "close", None)):
                close()

    def sent(self, server: ScriptedServer, number: int = -1) -> Any:
        """Return the body of a chat request."""
        return server.asked(self.dialect.path)[number].json()


class Gate:
    """Holds an answer back until a task beside the question, in the same event loop, opens it."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self.held: list[bool] = []

    def wait(self) -> None:
        """Wait in the server, and note whether it was opened: a loop that is held up can't."""
        self.reached.set()
        self.held.append(not self.opened.wait(5))

    async def beside(self, asking: Coroutine[Any, Any, Any]) -> Any:
        """Ask, and open it from beside once the server has the question; return the answer."""
        answer, _ = await asyncio.gather(asking, self._open())
        return answer

    async def _open(self) -> None:
        await asyncio.to_thread(self.reached.wait, 20)
        self.opened.set()


def raised(llm: LLM, form: str) -> Exception | None:
    """Return what asking raises, of whatever kind it is."""
    try:
        answers(llm, form, "Hello")
    except Exception as error:
        return error
    return None
