"""How each way of asking is driven: how a call is made, and how its text, its calls, its error and its partial text are read.

Another face is one more pair of drivers: what makes its objects, and what asks them.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage
from langchain_vessel import ChatVessel, VesselEmbeddings
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.vessel import VesselEmbedding
from llama_index.llms.vessel import Vessel
from vessel_core import AsyncClient, ChatReply, Client, Tool
from vessel_core.errors import InvalidOutput, VesselError
from vessel_core.owned import owned

HELLO = "Hello"
TOOL: Tool = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Say how the weather is.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@dataclass
class Answer:
    """What a call gave, of whatever face."""

    text: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    invalid: int = 0


@dataclass
class Outcome:
    """What came of a call."""

    answer: Answer | None
    error: Exception | None
    seconds: float

    @property
    def partial(self) -> str | None:
        """The part of the answer that an error carries."""
        reply: ChatReply | None = getattr(self.error, "partial", None)
        return reply.text if reply is not None else None


def answered(outcome: Outcome, text: str = "Hello") -> None:
    """Hold that a call gave this text."""
    assert (outcome.error, outcome.answer) == (None, Answer(text))


How = Callable[..., float]
"""A way to stop: it gets what begins a stream (and what runs the event loop), and returns when it stopped."""


async def opened(stream: Any) -> Any:
    """Return a stream of any face: LlamaIndex's must be awaited first."""
    return await stream if asyncio.iscoroutine(stream) else stream


class Session(Protocol):
    """An object of a face, and the ways to use it."""

    made: Any

    def ask(self, *, tools: bool = False, **call: Any) -> Outcome:
        """Make a call that waits for the whole answer; `call` is what it alone says."""
        ...

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed texts; raise what goes wrong."""
        ...

    def told(self) -> list[str]:
        """Stream an answer, and return what was told of how far the server is."""
        ...

    def stop(self, how: How) -> float:
        """Begin a stream and stop it that way; return when that was."""
        ...

    def hold(self, count: int) -> int:
        """Begin so many streams, have the first piece of each, and then stop them all; return how many had one."""
        ...

    def many(self, count: int) -> list[Outcome]:
        """Make so many calls at once."""
        ...

    def again(self, made: Any) -> Session:
        """Return a session of another object: a copy."""
        ...


@dataclass(frozen=True)
class Driver:
    """A way of asking. `base` is what each of its errors must be."""

    name: str
    base: type[Exception]
    open: Callable[..., Any]

    @contextmanager
    def session(self, base_url: str, **options: Any) -> Generator[Session]:
        """Make an object for a server, and close what it opened."""
        with self.open({"backend": "llamacpp", "base_url": base_url, "model": "demo-chat", **options}) as session:
            yield session


@dataclass
class _Sync:
    made: Any
    asking: Callable[..., Answer]
    embedding: Callable[[Any, Sequence[str]], list[list[float]]]
    streaming: Callable[[Any], Any]
    progress: Callable[[Any], Any]

    def ask(self, *, tools: bool = False, **call: Any) -> Outcome:
        started = time.monotonic()
        try:
            answer, error = self.asking(self.made, tools, **call), None
        except Exception as caught:
            answer, error = None, caught
        return Outcome(answer, error, time.monotonic() - started)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return self.embedding(self.made, texts)

    def told(self) -> list[str]:
        return self.progress(self.made)

    def stop(self, how: How) -> float:
        return how(lambda: self.streaming(self.made))

    def hold(self, count: int) -> int:
        streams = [self.streaming(self.made) for _ in range(count)]
        pieces = [next(stream) for stream in streams]
        for stream in streams:
            stream.close()
        return len(pieces)

    def many(self, count: int) -> list[Outcome]:
        with ThreadPoolExecutor(32) as pool:
            calls = [pool.submit(self.ask) for _ in range(count)]
            return [call.result() for call in calls]

    def again(self, made: Any) -> Session:
        return _Sync(made, self.asking, self.embedding, self.streaming, self.progress)


@dataclass
class _Async:
    made: Any
    runner: asyncio.Runner
    asking: Callable[..., Awaitable[Answer]]
    embedding: Callable[[Any, Sequence[str]], Awaitable[list[list[float]]]]
    streaming: Callable[[Any], Any]
    progress: Callable[[Any], Any]

    async def asked(self, tools: bool = False, **call: Any) -> Outcome:
        started = time.monotonic()
        try:
            answer, error = await self.asking(self.made, tools, **call), None
        except Exception as caught:
            answer, error = None, caught
        return Outcome(answer, error, time.monotonic() - started)

    def ask(self, *, tools: bool = False, **call: Any) -> Outcome:
        return self.runner.run(self.asked(tools, **call))

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        async def embedded() -> list[list[float]]:
            return await self.embedding(self.made, texts)

        return self.runner.run(embedded())

    def told(self) -> list[str]:
        return self.runner.run(self.progress(self.made))

    def stop(self, how: How) -> float:
        return how(lambda: self.streaming(self.made), self.runner)

    def hold(self, count: int) -> int:
        async def held() -> int:
            streams = [await opened(self.streaming(self.made)) for _ in range(count)]
            pieces = await asyncio.gather(*(anext(stream) for stream in streams))
            for stream in streams:
                await stream.aclose()
            return len(pieces)

        return self.runner.run(held())

    def many(self, count: int) -> list[Outcome]:
        async def asked() -> list[Outcome]:
            return await asyncio.gather(*(self.asked() for _ in range(count)))

        return self.runner.run(asked())

    def again(self, made: Any) -> Session:
        return _Async(made, self.runner, self.asking, self.embedding, self.streaming, self.progress)


# ------------------------------------------------------------------------------------------------------------- the core


def _core_answer(reply: ChatReply) -> Answer:
    calls = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in reply.tool_calls]
    return Answer(reply.text, calls, len(reply.invalid_tool_calls))


MESSAGES: Any = [{"role": "user", "content": HELLO}]


@contextmanager
def _core(options: dict[str, Any]) -> Generator[Session]:
    def ask(made: Client, tools: bool, **call: Any) -> Answer:
        return _core_answer(made.chat(MESSAGES, tools=[TOOL] if tools else [], **call))

    with Client(**options) as client:
        yield _Sync(
            client,
            ask,
            lambda made, texts: made.embed(texts).vectors,
            lambda made: made.stream(MESSAGES),
            lambda made: [delta.progress.status for delta in made.stream(MESSAGES) if delta.progress],
        )


@contextmanager
def _core_async(options: dict[str, Any]) -> Generator[Session]:
    async def ask(made: AsyncClient, tools: bool, **call: Any) -> Answer:
        return _core_answer(await made.chat(MESSAGES, tools=[TOOL] if tools else [], **call))

    async def embed(made: AsyncClient, texts: Sequence[str]) -> list[list[float]]:
        return (await made.embed(texts)).vectors

    async def progress(made: AsyncClient) -> list[str]:
        return [delta.progress.status async for delta in made.stream(MESSAGES) if delta.progress]

    with asyncio.Runner() as runner:
        client = AsyncClient(**options)
        yield _Async(client, runner, ask, embed, lambda made: made.stream(MESSAGES), progress)
        runner.run(client.aclose())


# ------------------------------------------------------------------------------------------------------------ LangChain


def _langchain_answer(message: AIMessage) -> Answer:
    calls = [(call["name"], call["args"]) for call in message.tool_calls]
    return Answer(str(message.text), calls, len(message.invalid_tool_calls))


def _bound(chat: ChatVessel, tools: bool) -> Any:
    return chat.bind_tools([dict(TOOL)]) if tools else chat


def _embeddings(chat: ChatVessel) -> VesselEmbeddings:
    fields = {
        name: getattr(chat, name) for name in ("backend", "base_url", "model", "timeout", "max_retries", "verify")
    }
    return VesselEmbeddings(**fields)


@contextmanager
def _langchain(options: dict[str, Any]) -> Generator[Session]:
    def ask(made: ChatVessel, tools: bool, **call: Any) -> Answer:
        return _langchain_answer(_bound(made, tools).invoke(HELLO, **call))

    def progress(made: ChatVessel) -> list[str]:
        return [each["status"] for chunk in made.stream(HELLO) for each in chunk.response_metadata.get("progress", ())]

    yield _Sync(
        ChatVessel(**options),
        ask,
        lambda made, texts: _embeddings(made).embed_documents(list(texts)),
        lambda made: made.stream(HELLO),
        progress,
    )


@contextmanager
def _langchain_async(options: dict[str, Any]) -> Generator[Session]:
    async def ask(made: ChatVessel, tools: bool, **call: Any) -> Answer:
        return _langchain_answer(await _bound(made, tools).ainvoke(HELLO, **call))

    async def embed(made: ChatVessel, texts: Sequence[str]) -> list[list[float]]:
        return await _embeddings(made).aembed_documents(list(texts))

    async def progress(made: ChatVessel) -> list[str]:
        chunks = [event["data"]["chunk"] async for event in _tokens(made)]
        return [each["status"] for chunk in chunks for each in chunk.response_metadata.get("progress", ())]

    with asyncio.Runner() as runner:
        yield _Async(ChatVessel(**options), runner, ask, embed, lambda made: made.astream(HELLO), progress)


@contextmanager
def _langchain_events(options: dict[str, Any]) -> Generator[Session]:
    """Stream as `astream_events` does, which runs the model in a task of its own."""
    with _langchain_async(options) as session:
        yield replace(cast("_Async", session), streaming=_tokens)


async def _tokens(chat: Any) -> AsyncGenerator[Any]:
    async with owned(chat.astream_events(HELLO, version="v2")) as events:
        async for event in events:
            if event["event"] == "on_chat_model_stream":
                yield event


# ----------------------------------------------------------------------------------------------------------- LlamaIndex


def get_weather(city: str) -> str:
    """Say how the weather is."""
    return f"Sunny in {city}"


def _llama_index_answer(llm: Vessel, response: Any, tools: bool) -> Answer:
    text = response.message.content or ""
    if not tools:
        return Answer(text)
    try:
        calls = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    except InvalidOutput:
        return Answer(text, [], 1)
    broken = response.message.additional_kwargs.get("invalid_tool_calls") or ()  # agents get them back as errors
    ids = {call["id"] for call in broken}
    run = [(call.tool_name, call.tool_kwargs) for call in calls if call.tool_id not in ids]
    return Answer(text, run, len(broken))


LLAMA_INDEX_MESSAGES = [ChatMessage(HELLO)]
PARALLEL: Any = {"allow_parallel_tool_calls": True}
LLAMA_INDEX_TOOLS = [FunctionTool.from_defaults(get_weather)]


def _status(response: Any) -> list[str]:
    """Return what a piece of a stream tells of how far the server is."""
    progress = response.additional_kwargs.get("progress")
    return [progress["status"]] if progress else []


def _embedding(llm: Vessel) -> VesselEmbedding:
    fields = {name: getattr(llm, name) for name in ("backend", "base_url", "model", "timeout", "max_retries", "verify")}
    return VesselEmbedding(**fields)


@contextmanager
def _llama_index(options: dict[str, Any]) -> Generator[Session]:
    def ask(made: Vessel, tools: bool, **call: Any) -> Answer:
        if tools:
            response = made.chat_with_tools(LLAMA_INDEX_TOOLS, chat_history=LLAMA_INDEX_MESSAGES, **PARALLEL)
        else:
            response = made.chat(LLAMA_INDEX_MESSAGES, **call)
        return _llama_index_answer(made, response, tools)

    llm = Vessel(**options)
    yield _Sync(
        llm,
        ask,
        lambda made, texts: _embedding(made).get_text_embedding_batch(list(texts)),
        lambda made: made.stream_chat(LLAMA_INDEX_MESSAGES),
        lambda made: [status for response in made.stream_chat(LLAMA_INDEX_MESSAGES) for status in _status(response)],
    )
    llm.close()


@contextmanager
def _llama_index_async(options: dict[str, Any]) -> Generator[Session]:
    async def ask(made: Vessel, tools: bool, **call: Any) -> Answer:
        if tools:
            response = await made.achat_with_tools(LLAMA_INDEX_TOOLS, chat_history=LLAMA_INDEX_MESSAGES, **PARALLEL)
        else:
            response = await made.achat(LLAMA_INDEX_MESSAGES, **call)
        return _llama_index_answer(made, response, tools)

    async def embed(made: Vessel, texts: Sequence[str]) -> list[list[float]]:
        return await _embedding(made).aget_text_embedding_batch(list(texts))

    async def progress(made: Vessel) -> list[str]:
        stream = await made.astream_chat(LLAMA_INDEX_MESSAGES)
        return [status async for response in stream for status in _status(response)]

    llm = Vessel(**options)
    with asyncio.Runner() as runner:
        yield _Async(llm, runner, ask, embed, lambda made: made.astream_chat(LLAMA_INDEX_MESSAGES), progress)
        runner.run(llm.aclose())


DRIVERS = (
    Driver("core sync", VesselError, _core),
    Driver("core async", VesselError, _core_async),
    Driver("langchain sync", ModelError, _langchain),
    Driver("langchain async", ModelError, _langchain_async),
    Driver("llama_index sync", VesselError, _llama_index),
    Driver("llama_index async", VesselError, _llama_index_async),
)
EVENTS = Driver("langchain events", ModelError, _langchain_events)
"""One more way, where it is another way to stop."""
