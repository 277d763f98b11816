"""`VesselLLM` on a real server, and what it asks of a scripted one."""

from __future__ import annotations

import pytest
from langchain_core.exceptions import ModelError
from langchain_vessel import VesselLLM
from vessel_core.local import LocalServer

from tests.fake_server import Response, llamacpp_server, lmstudio_server


def test_text_goes_on_by_every_way(chat_server: LocalServer) -> None:
    llm = VesselLLM(base_url=chat_server.base_url, max_tokens=12, temperature=0)
    whole = llm.invoke("Hello from")
    assert whole
    assert "".join(llm.stream("Hello from")) == whole
    assert llm.batch(["Hello from"]) == [whole]


async def test_async_text_is_the_same(chat_server: LocalServer) -> None:
    llm = VesselLLM(base_url=chat_server.base_url, max_tokens=12, temperature=0)
    whole = llm.invoke("Hello from")
    assert await llm.ainvoke("Hello from") == whole
    assert "".join([piece async for piece in llm.astream("Hello from")]) == whole


def test_options_and_stops_of_a_call_count(chat_server: LocalServer) -> None:
    llm = VesselLLM(base_url=chat_server.base_url, max_tokens=12, temperature=0)
    whole = llm.invoke("Hello from")
    first = whole.split()[0]
    assert first not in llm.invoke("Hello from", stop=[first])
    assert len(llm.invoke("Hello from", max_tokens=1)) < len(whole)


def test_what_comes_after_the_gap_goes_along() -> None:
    line = b'data: {"content": "return a + b", "stop": true, "stop_type": "eos"}\n\n'
    with llamacpp_server(routes={("POST", "/infill"): Response.stream(line)}) as server:
        llm = VesselLLM(base_url=server.base_url, suffix="\nprint(add(1, 2))", extra_body={"n_indent": 4})
        assert llm.invoke("def add(a, b):\n") == "return a + b"
        body = server.asked("/infill")[-1].json()
    assert (body["input_prefix"], body["input_suffix"]) == ("def add(a, b):\n", "\nprint(add(1, 2))")
    assert body["n_indent"] == 4


def test_a_server_without_gap_filling_is_told_apart() -> None:
    with lmstudio_server() as server:
        with pytest.raises(ModelError):
            VesselLLM(base_url=server.base_url, suffix="x").invoke("Hello")
        assert server.asked("/v1/chat/completions") == []


def test_tokens_are_those_of_the_servers_tokenizer(chat_server: LocalServer) -> None:
    llm = VesselLLM(base_url=chat_server.base_url)
    assert llm.get_num_tokens("one two") == len(llm.get_token_ids("one two")) > 0
    assert VesselLLM(custom_get_token_ids=lambda text: list(range(len(text)))).get_num_tokens("abc") == 3


async def test_what_is_told_beside_a_text_is_the_same_by_every_way(chat_server: LocalServer) -> None:
    llm = VesselLLM(base_url=chat_server.base_url, max_tokens=3, temperature=0)
    whole = [llm.generate(["Hello from"]), await llm.agenerate(["Hello from"])]
    for result in whole:
        assert (result.llm_output or {})["token_usage"]["completion_tokens"] == 3
    streams = [list(llm._stream("Hello from")), [chunk async for chunk in llm._astream("Hello from")]]  # pyright: ignore[reportPrivateUsage]
    for told in (*(result.generations[0][0] for result in whole), *(chunks[-1] for chunks in streams)):
        info = told.generation_info or {}
        assert (info["finish_reason"], info["token_usage"]["completion_tokens"]) == ("length", 3)
        assert info["model_name"]


def test_several_texts_for_one_prompt_are_refused() -> None:
    with llamacpp_server() as server:
        for llm in (VesselLLM(base_url=server.base_url, n=2), VesselLLM(base_url=server.base_url).bind(n=2)):
            with pytest.raises(ModelError, match="one text for each prompt"):
                llm.invoke("Hello")
        assert server.asked("/v1/completions") == []
