"""Who stops reading stops the server: whatever holds the stream, in whatever form it is read."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms import LLM
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.vessel import Vessel
from pydantic import BaseModel

from tests.fake_server import FakeServer, Request, Response
from tests.llama_index.conformance.answers import answer, event
from tests.llama_index.scripted import scripted

HELLO = [ChatMessage("Hello")]


@contextmanager
def endless() -> Generator[tuple[Vessel, FakeServer]]:
    """Yield a model that says one word and never ends."""
    pieces = (event({"content": '{"name": "Os'}), threading.Event())
    with scripted(Response.stream(*pieces)) as (llm, server):
        yield llm, server


def hung_up(server: FakeServer) -> bool:
    """Tell whether the client hangs up on the chat."""
    return server.asked("/v1/chat/completions")[-1].disconnected.wait(5)


class Place(BaseModel):
    name: str


def chat(llm: Vessel) -> Any:
    return llm.stream_chat(HELLO)


def complete(llm: Vessel) -> Any:
    return llm.stream_complete("Hello")


def structured(llm: Vessel) -> Any:
    return llm.stream_structured_predict(Place, PromptTemplate("A place."))


def structured_llm(llm: Vessel) -> Any:
    return llm.as_structured_llm(Place).stream_chat(HELLO)


@pytest.mark.parametrize("ask", [chat, complete, structured, structured_llm])
def test_closing_a_stream_hangs_up_at_once(ask: Any) -> None:
    with endless() as (llm, server):
        stream = ask(llm)
        next(stream)
        stream.close()
        assert hung_up(server)


def test_dropping_a_stream_hangs_up_at_once() -> None:
    with endless() as (llm, server):
        gc.disable()
        try:
            for _ in llm.stream_chat(HELLO):
                break
            assert hung_up(server)
        finally:
            gc.enable()


def test_a_stream_that_somebody_still_holds_is_closed_all_the_same() -> None:
    with endless() as (llm, server):
        held = llm.stream_chat(HELLO)
        for _ in held:
            break
        held.close()
        assert hung_up(server)
        assert held is not None


@pytest.mark.parametrize("form", ["chat", "complete", "structured"])
async def test_closing_an_async_stream_hangs_up_at_once(form: str) -> None:
    with endless() as (llm, server):
        if form == "chat":
            stream: Any = await llm.astream_chat(HELLO)
        elif form == "complete":
            stream = await llm.astream_complete("Hello")
        else:
            stream = await llm.astream_structured_predict(Place, PromptTemplate("A place."))
        await anext(stream)
        await stream.aclose()
        assert await asyncio.to_thread(hung_up, server)
        await llm.aclose()


@pytest.mark.parametrize("streamed", [True, False])
async def test_cancelling_a_task_hangs_up_at_once(streamed: bool) -> None:
    with endless() as (llm, server):
        begun, asked = asyncio.Event(), threading.Event()
        played: Any = server.routes["POST", "/v1/chat/completions"]

        def chat(_: Request) -> Response:
            asked.set()
            return played

        server.routes["POST", "/v1/chat/completions"] = chat

        async def read() -> None:
            async for _ in await llm.astream_chat(HELLO):
                begun.set()

        task = asyncio.create_task(read() if streamed else llm.achat(HELLO))
        await (begun.wait() if streamed else asyncio.to_thread(asked.wait, 5))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(hung_up, server)
        await llm.aclose()


@pytest.mark.parametrize("form", ["chat", "complete", "structured", "structured_llm"])
def test_a_reader_that_fails_is_heard_alone(form: str, caplog: pytest.LogCaptureFixture) -> None:
    """A loop that ends closes every generator it knows: what is nested here must not be closed twice."""
    with endless() as (llm, server):

        async def read() -> None:
            if form == "chat":
                stream: Any = await llm.astream_chat(HELLO)
            elif form == "complete":
                stream = await llm.astream_complete("Hello")
            elif form == "structured":
                stream = await llm.astream_structured_predict(Place, PromptTemplate("A place."))
            else:
                stream = await llm.as_structured_llm(Place).astream_chat(HELLO)
            async for _ in stream:
                raise RuntimeError("the reader's own")

        for _ in range(4):  # the loop closes them in any order
            with pytest.raises(RuntimeError, match="the reader's own"):
                asyncio.run(read())
            assert hung_up(server)
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_one_object_serves_one_event_loop_after_another() -> None:
    with scripted(answer("Hello", " there.")) as (llm, _):

        async def ask() -> str:
            chunks = [chunk.delta or "" async for chunk in await llm.astream_chat(HELLO)]
            return "".join(chunks) + str((await llm.achat(HELLO)).message.content)

        assert [asyncio.run(ask()) for _ in range(3)] == ["Hello there.Hello there."] * 3
        assert llm.complete("Hello").text == "Hello there."


async def test_the_sync_forms_work_inside_a_running_loop() -> None:
    """As in a notebook."""
    with scripted(answer("Hello", " there.")) as (llm, _):
        assert llm.complete("Hello").text == "Hello there."
        assert "".join(chunk.delta or "" for chunk in llm.stream_chat(HELLO)) == "Hello there."
        assert (await llm.acomplete("Hello")).text == "Hello there."
        await llm.aclose()


def test_one_object_serves_many_threads(llm: Vessel) -> None:
    expected = llm.complete("Hello").text

    def ask(number: int) -> str:
        if number % 2:
            return llm.complete("Hello").text
        return "".join(chunk.delta or "" for chunk in llm.stream_chat(HELLO))

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(40))) == {expected}


async def test_many_tasks_share_one_object(llm: Vessel) -> None:
    expected = (await llm.acomplete("Hello")).text
    replies = await asyncio.gather(*(llm.achat(HELLO) for _ in range(20)))
    assert {reply.message.content for reply in replies} == {expected}
    await llm.aclose()


def test_no_stream_leaves_anything_on_the_object() -> None:
    with scripted(answer("Hello", " there.")) as (llm, _):
        llm.chat(HELLO)
        before = (set(vars(llm)), set(llm.__pydantic_private__ or ()))
        one, other = llm.stream_chat(HELLO), llm.stream_chat(HELLO)
        next(one)
        next(other)
        assert [chunk.message.content for chunk in one][-1] == "Hello there."
        assert [chunk.message.content for chunk in other][-1] == "Hello there."
        assert (set(vars(llm)), set(llm.__pydantic_private__ or ())) == before
        assert isinstance(llm, LLM)
