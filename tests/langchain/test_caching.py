"""The key of LangChain's cache: everything that changes an answer, and nothing that blocks."""

from __future__ import annotations

import base64
import io
import threading
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_vessel import ChatVessel, VesselLLM
from langchain_vessel.errors import VesselInvalidOutput
from PIL import Image
from pydantic import BaseModel, Field
from vessel_core import Client, Timeout

from tests.fake_server import FakeServer, Request, Response, llamacpp_server
from tests.langchain.scripted import answer


def test_every_option_that_changes_an_answer_is_in_the_key_of_the_cache() -> None:
    with llamacpp_server(answer("Hi"), model="m") as one, llamacpp_server(answer("Hi"), model="m") as other:
        cache = InMemoryCache()
        base: dict[str, Any] = {"base_url": one.base_url, "model": "m", "cache": cache}
        variants: list[dict[str, Any]] = [
            {},
            {"model": "other"},
            {"base_url": other.base_url},
            {"temperature": 0.1},
            {"max_tokens": 5},
            {"seed": 1},
            {"stop": ["X"]},
            {"reasoning": True},
            {"grammar": "root ::= [a-z]"},
            {"response_format": {"type": "json_object"}},
            {"extra_body": {"dry_base": 2}},
            {"output_version": "v1"},
            {"headers": {"X-Model": "a"}},
            {"headers": {"X-Model": "b"}},
            {"api_key": "sk-secret"},
            {"quirks": {"repair_arguments": True}},
            {"quirks": {"image_types": ["image/png"], "think_opened": True}},
            {"response_format": described("one")},
            {"response_format": described("two")},
        ]
        for variant in variants:
            ChatVessel(**{**base, **variant}).invoke("x")
            ChatVessel(**{**base, **variant}).invoke("x")
        asked = one.asked("/v1/chat/completions") + other.asked("/v1/chat/completions")
        assert len(asked) == len(variants)
        chat = ChatVessel(**base)
        chat.bind_tools([{"title": "f", "description": "f", "type": "object", "properties": {}}]).invoke("x")
        chat.invoke("x", temperature=0.2)
        assert len(one.asked("/v1/chat/completions") + other.asked("/v1/chat/completions")) == len(variants) + 2


def test_neither_key_nor_headers_stand_in_the_key_of_the_cache() -> None:
    cache = InMemoryCache()
    with llamacpp_server(answer("Hi"), model="m") as server:
        secrets: dict[str, Any] = {"api_key": "sk-secret", "headers": {"X-Who": "nobody"}}
        ChatVessel(base_url=server.base_url, cache=cache, **secrets).invoke("x")
        assert ChatVessel(client=Client(base_url=server.base_url, api_key="sk-secret"), cache=cache).invoke("x").text
        assert len(server.asked("/v1/chat/completions")) == 2
    keys = repr(vars(cache))
    assert "sent_as" in keys
    assert "sk-secret" not in keys
    assert "nobody" not in keys


def shown(request: Request) -> Response:
    """Answer with the colour of the picture that was sent."""
    url = request.json()["messages"][-1]["content"][-1]["image_url"]["url"]
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        return Response.stream(answer(str(image.convert("RGB").getpixel((0, 0)))))


@pytest.mark.parametrize("kind", ["PIL", "binary file", "path", "bytes", "OpenAI's block", "tool's result"])
async def test_the_key_of_the_cache_holds_what_a_picture_shows_not_the_object(kind: str, tmp_path: Path) -> None:
    """Else the next picture at the same address, or a file written anew, gets the answer of the one before."""
    with llamacpp_server(shown, vision=True) as server:
        chat = ChatVessel(base_url=server.base_url, cache=InMemoryCache())

        def asked(shade: int) -> list[BaseMessage]:
            image = Image.new("RGB", (4, 4), (shade, 0, 0))
            image.save(tmp_path / "one.png")
            written: dict[str, Any] = {
                "binary file": io.BytesIO((tmp_path / "one.png").read_bytes()),
                "path": tmp_path / "one.png",
                "bytes": (tmp_path / "one.png").read_bytes(),
            }
            block: dict[str, Any] = {"type": "image", "image": written.get(kind, image)}
            if kind == "OpenAI's block":
                block = {"type": "image_url", "image_url": {"url": image}}
            content: list[Any] = [{"type": "text", "text": "Look:"}, block]
            if kind != "tool's result":
                return [HumanMessage(content)]
            called = AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}])
            return [HumanMessage("x"), called, ToolMessage(content, tool_call_id="1")]

        for shade in (*range(0, 80, 8), *range(0, 80, 8)):
            assert chat.invoke(asked(shade)).text == (await chat.ainvoke(asked(shade))).text == f"({shade}, 0, 0)"
        assert len(server.asked("/v1/chat/completions")) == 10


def test_an_answer_that_was_not_to_be_checked_is_none_for_who_wants_it_checked() -> None:
    with llamacpp_server(answer("I can't")) as server:
        chat = ChatVessel(base_url=server.base_url, quirks={"forced_by_schema": False}, cache=InMemoryCache())
        tool: dict[str, Any] = {"title": "f", "description": "f", "type": "object", "properties": {}}
        assert chat.bind_tools([tool], tool_choice="any", validate=False).invoke("x").text == "I can't"
        with pytest.raises(VesselInvalidOutput):
            chat.bind_tools([tool], tool_choice="any").invoke("x")


def described(text: str) -> type[BaseModel]:
    """Return a class whose `repr` says nothing of its schema."""

    class Answer(BaseModel):
        word: str = Field(description=text)

    return Answer


async def test_the_key_of_the_cache_finds_the_server_without_blocking_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def blocking(*_: Any) -> None:
        raise AssertionError("asked in the event loop")

    with llamacpp_server(answer("Hi"), model="m") as server:
        monkeypatch.setenv("LLAMACPP_URL", server.base_url)
        monkeypatch.setattr(Client, "model_info", blocking)
        chat = ChatVessel(backend="llamacpp", cache=InMemoryCache())
        assert [(await chat.ainvoke("x")).text, (await chat.ainvoke("x")).text] == ["Hi", "Hi"]
        assert len(server.asked("/v1/chat/completions")) == 1


@pytest.mark.parametrize("given", [{"timeout": 0.05}, {"request_timeout": Timeout(request=0.05)}], ids=str)
@pytest.mark.parametrize("cls", [ChatVessel, VesselLLM])
async def test_the_search_for_the_model_takes_no_longer_than_the_call_may(cls: Any, given: dict[str, Any]) -> None:
    with FakeServer(otherwise=Response(wait=threading.Event())) as server:
        model = cls(backend="llamacpp", base_url=server.base_url, timeout=600, cache=InMemoryCache())
        with pytest.raises(TimeoutError):
            model.invoke("x", **given)
        with pytest.raises(TimeoutError):
            await model.ainvoke("x", **given)
        assert [request.path for request in server.requests] == ["/v1/models"] * 2


def test_a_server_that_lists_no_models_is_cached_too() -> None:
    with FakeServer({("POST", "/v1/chat/completions"): Response.stream(answer("Hi"))}) as server:
        chat = ChatVessel(backend="openai", base_url=server.base_url, cache=InMemoryCache())
        assert [chat.invoke("x").text for _ in range(2)] == ["Hi", "Hi"]
        assert len(server.asked("/v1/chat/completions")) == 1


def test_a_cached_answer_of_another_server_is_not_taken_when_the_server_was_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = InMemoryCache()
    answers: list[str] = []
    for text in ("One", "Two"):
        with llamacpp_server(answer(text)) as server:
            monkeypatch.setenv("LLAMACPP_URL", server.base_url)
            answers.append(ChatVessel(backend="llamacpp", cache=cache).invoke("x").text)
    assert answers == ["One", "Two"]


async def test_the_options_of_a_completion_are_in_the_key_too() -> None:
    """LangChain looks at the model alone, and would answer one gap with what fills another."""
    filled = Response.stream(b'data: {"index": 0, "content": "x", "stop": true, "stop_type": "eos"}\n\n')
    for asynchronous in (False, True):
        with llamacpp_server(routes={("POST", "/infill"): filled}) as server:
            llm = VesselLLM(base_url=server.base_url, cache=InMemoryCache())
            for options in ({"suffix": "a"}, {"suffix": "b"}, {"suffix": "a", "max_tokens": 3}) * 2:
                given: dict[str, Any] = options
                assert (await llm.ainvoke("def", **given) if asynchronous else llm.invoke("def", **given)) == "x"
            assert [request.json()["input_suffix"] for request in server.asked("/infill")] == ["a", "b", "a"]
            with pytest.raises(ModelInvalidRequestError, match="did you mean 'temperature'"):
                llm.invoke("def", suffix="a", temprature=1)


def test_cached_completions_go_over_one_connection_to_a_server_found_once() -> None:
    told = Response.stream(b'data: {"index": 0, "content": "x", "stop": true, "stop_type": "eos"}\n\n')
    with llamacpp_server(routes={("POST", "/infill"): told}) as server:
        made = VesselLLM(base_url=server.base_url, suffix="z", cache=InMemoryCache())
        made.invoke("a")
        before = server.connections, len(server.requests)
        made.invoke("b", max_tokens=3)
        made.invoke("c", max_tokens=4, timeout=30)
        assert (server.connections, len(server.requests)) == (before[0], before[1] + 2)


def test_a_cached_completion_of_another_server_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = InMemoryCache()
    answers: list[str] = []
    for text in ("one", "two"):
        filled = Response.stream(
            f'data: {{"index": 0, "content": "{text}", "stop": true, "stop_type": "eos"}}\n\n'.encode()
        )
        with llamacpp_server(routes={("POST", "/infill"): filled}) as server:
            monkeypatch.setenv("LLAMACPP_URL", server.base_url)
            answers.append(VesselLLM(backend="llamacpp", cache=cache, suffix="b").invoke("a"))
    assert answers == ["one", "two"]
