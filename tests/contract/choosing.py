"""Rows on options: what is said to the constructor or with a call, and what becomes of it."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any, cast

from langchain_core.caches import InMemoryCache

from tests.contract.measuring import NO, PARTLY, YES, Bench, Rows, parts
from tests.contract.stand import SERVED_V1, Said, inside
from tests.fake_server import Response
from tests.langchain.scripted import ending, piece

OPTIONS = Rows()


@OPTIONS.add("Options", "`max_tokens` reaches the server under the name it has there")
def max_tokens(bench: Bench) -> str:
    with bench.at(Said(), max_tokens=12) as (chat, server):
        chat.invoke("Hi")
        body = bench.body(server)
    named = inside(body, "options").get("num_predict") if bench.kind == "ollama" else body.get("max_tokens")
    return YES if named == 12 else PARTLY if "12" in json.dumps(body) else NO


@OPTIONS.add("Options", "`top_k` and `min_p` are options like any other")
def samplers(bench: Bench) -> str:
    held: list[bool] = []
    options: dict[str, Any] = {"top_k": 17, "min_p": 0.125}
    for option, value in options.items():
        try:
            with bench.at(Said(), None, **{option: value}) as (chat, server):
                chat.invoke("Hi")
                body = bench.body(server)
                held.append(body.get(option, inside(body, "options").get(option)) == value)
        except Exception:
            held.append(False)
    return parts(*held)


@OPTIONS.add("Options", "`mirostat` is an option like any other", SERVED_V1)
def mirostat(bench: Bench) -> bool:
    with bench.at(Said(), mirostat=2) as (chat, server):
        chat.invoke("Hi")
        return bench.body(server).get("mirostat") == 2


@OPTIONS.add("Options", "`id_slot` and `cache_prompt` are options like any other", SERVED_V1)
def slots(bench: Bench) -> bool:
    with bench.at(Said(), id_slot=1, cache_prompt=False) as (chat, server):
        chat.invoke("Hi")
        body = bench.body(server)
        return (body.get("id_slot"), body.get("cache_prompt")) == (1, False)


@OPTIONS.add("Options", "of two alternatives (`n=2`), a stream gives the first, not a mixture", SERVED_V1)
def two_choices(bench: Bench) -> bool:
    stream = piece({"content": "Hel"}) + piece({"content": "B"}, index=1) + piece({"content": "lo"})
    with bench.at(Response.stream(stream + piece({"content": "ye"}, index=1) + ending()), n=2) as (chat, _):
        return "".join(str(chunk.content) for chunk in chat.stream("Hi")) == "Hello"


@OPTIONS.add("Options", "`stop` may be set twice: for all calls, and for one")
def stop_twice(bench: Bench) -> bool:
    with bench.at(Said(), stop=["A"]) as (chat, server):
        chat.invoke("Hi", stop=["B"])
        body = bench.body(server)
        return "B" in (inside(body, "options") or body)["stop"]


@OPTIONS.add("Options", "a cached answer is not given for another model, another length, another server")
def cache_key(bench: Bench) -> str:
    cache = InMemoryCache()
    with bench.at(Said(), cache=cache) as (chat, server), bench.at(Said()) as (_, elsewhere):
        chat.invoke("Hi")
        held: list[bool] = []
        for where, options in ((server, {"model": "other"}), (server, {"max_tokens": 5}), (elsewhere, {})):
            before = len(where.asked(bench.path))
            bench.candidate.chat(where.base_url, **cast("Any", {"cache": cache, **options})).invoke("Hi")
            held.append(len(where.asked(bench.path)) > before)
        return parts(*held)


@OPTIONS.add("Options", "traces name the model of the call")
def traced(bench: Bench) -> bool:
    with bench.at(Said()) as (chat, _):
        return chat._get_ls_params(model="other")["ls_model_name"] == "other"


@OPTIONS.add("Options", "can be pickled and deep-copied")
def copied(bench: Bench) -> str:
    with bench.at(Said()) as (chat, _):
        chat.invoke("Hi")
        held: list[bool] = []
        for again in (copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))):  # pyright: ignore[reportUnknownLambdaType, reportUnknownVariableType]
            try:
                held.append(again(chat).invoke("Hi").text == "Hello")  # pyright: ignore[reportUnknownMemberType]
            except Exception:
                held.append(False)
        return parts(*held)
