"""One `ChatVessel` over several event loops, in threads, in forked children, and in a Jupyter kernel."""

from __future__ import annotations

import asyncio
import multiprocessing
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import nbformat
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_vessel import ChatVessel
from run_notebook import kernel

from tests.fake_server import llamacpp_server
from tests.langchain.scripted import answer

ANSWER = answer("Hello", " there")
SAID = "Hello there"


async def streamed(chat: ChatVessel) -> str:
    return "".join([chunk.text async for chunk in chat.astream("Hi")])


async def left_early(chat: ChatVessel) -> str:
    async for chunk in chat.astream("Hi"):
        return chunk.text
    return ""


def test_one_model_serves_one_event_loop_after_another() -> None:
    with llamacpp_server(ANSWER) as server:
        chat = ChatVessel(base_url=server.base_url)
        for _ in range(3):
            assert asyncio.run(chat.ainvoke("Hi")).text == SAID
            assert chat.invoke("Hi").text == SAID
            assert asyncio.run(streamed(chat)) == SAID
            assert asyncio.run(left_early(chat)) == "Hello"
            assert [one.text for one in asyncio.run(chat.abatch(["Hi", "Ho"]))] == [SAID, SAID]


def test_two_loops_at_once_in_two_threads_do_not_meet() -> None:
    def asked(_: int) -> list[str]:
        return [asyncio.run(streamed(chat)), chat.invoke("Hi").text, asyncio.run(chat.ainvoke("Hi")).text]

    with llamacpp_server(ANSWER) as server, ThreadPoolExecutor(4) as pool:
        chat = ChatVessel(base_url=server.base_url)
        assert list(pool.map(asked, range(8))) == [[SAID] * 3] * 8


class Itself(ChatVessel):
    """One that says what it is in the way of before."""

    def dict(self, **_: Any) -> dict[str, Any]:
        return {"itself": "a boat"}


class Identified(BaseCallbackHandler):
    """Keeps what a model says it is."""

    said: Any = None

    def on_chat_model_start(self, *_: Any, **kwargs: Any) -> None:
        self.said = kwargs["invocation_params"]


def test_a_call_leaves_the_warnings_of_all_threads_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with llamacpp_server(ANSWER) as server:
        chat, heard = ChatVessel(base_url=server.base_url, temperature=0.5), Identified()
        chat.invoke("Hi")  # what is loaded once may
        with monkeypatch.context() as without:
            without.delattr(warnings, "catch_warnings")
            assert chat.invoke("Hi", {"callbacks": [heard]}).text == SAID
        assert (heard.said["temperature"], heard.said["_type"]) == (0.5, "vessel-chat")


def test_a_subclass_that_says_itself_what_it_is_is_asked() -> None:
    with llamacpp_server(ANSWER) as server:
        heard = Identified()
        Itself(base_url=server.base_url).invoke("Hi", {"callbacks": [heard]})
        assert heard.said["itself"] == "a boat"


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_asks_on_connections_of_its_own() -> None:
    with llamacpp_server(ANSWER) as server:
        chat = ChatVessel(base_url=server.base_url)
        assert chat.invoke("Hi").text == SAID
        before = server.connections
        assert asyncio.run(_beside_a_child(chat)) == [[SAID] * 3, [SAID]]
        assert server.connections > before
        parents = server.connections
        assert chat.invoke("Hi").text == SAID
        assert server.connections == parents, "the parent's connection is still its own"


async def _beside_a_child(chat: ChatVessel) -> list[Any]:
    """Return what a child forked inside a running loop got, and what its parent got afterwards in that loop."""
    await chat.ainvoke("Hi")
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_in_child, args=(chat, theirs))
    child.start()
    theirs.close()
    got = ours.recv() if await asyncio.to_thread(ours.poll, 30) else None
    await asyncio.to_thread(child.join, 30)
    assert child.exitcode == 0
    return [got, [await streamed(chat)]]


def _in_child(chat: ChatVessel, pipe: Any) -> None:
    with ThreadPoolExecutor(1) as pool:  # the fork left a running loop behind in this thread
        later = pool.submit(lambda: [asyncio.run(chat.ainvoke("Hi")).text, asyncio.run(streamed(chat))])
        pipe.send([chat.invoke("Hi").text, *later.result(30)])


CELLS = [
    "import asyncio\nfrom langchain_vessel import ChatVessel\nchat = ChatVessel(base_url='URL')",
    "print(chat.invoke('Hi').text)",
    "print((await chat.ainvoke('Hi')).text)",
    "print(''.join([chunk.text async for chunk in chat.astream('Hi')]))",
    "print(''.join(chunk.text for chunk in chat.stream('Hi')))",
    "async for chunk in chat.astream('Hi'):\n    break",
    "for _ in range(2):\n    print((await asyncio.to_thread(asyncio.run, chat.ainvoke('Hi'))).text)",
    "print([answer.text for answer in await chat.abatch(['Hi', 'Ho'])])",
]


@pytest.mark.timeout(180)
def test_a_model_works_in_a_jupyter_kernel_cell_after_cell() -> None:
    with llamacpp_server(ANSWER) as server:
        sources = [cell.replace("URL", server.base_url) for cell in CELLS]
        new: Any = nbformat.v4
        notebook = new.new_notebook(cells=[new.new_code_cell(source) for source in sources])
        with kernel() as run:
            run(notebook, 2)
    outputs: list[Any] = [output for cell in notebook.cells for output in cell.outputs]
    assert {output.output_type for output in outputs} == {"stream"}
    assert {output.name for output in outputs} == {"stdout"}, "no warning is printed"
    said = "".join(output.text for output in outputs).splitlines()
    assert said == [SAID] * 6 + [str([SAID, SAID])]
