"""Rows on answers: what arrives of a turn, streamed and whole, and what a fault becomes."""

from __future__ import annotations

import asyncio
import json
import threading
from functools import reduce
from operator import add
from typing import Any

from langchain_core.exceptions import ContextOverflowError, ModelError, ModelTimeoutError
from langchain_core.language_models import BaseChatModel

from tests.contract.measuring import NO, PARTLY, YES, Bench, Rows, best, parts
from tests.contract.stand import Said, answered, lines, streamed, whole
from tests.fake_server import NDJSON, Request, Response
from tests.langchain.scripted import USAGE, ending, piece

ANSWERS = Rows()
THOUGHT = "The user greets me."


def total(chunks: Any) -> Any:
    return reduce(add, list(chunks))


def thought(message: Any) -> str:
    return "".join(str(block.get("reasoning")) for block in message.content_blocks if block["type"] == "reasoning")


@ANSWERS.add("Answers", "what a model thinks is kept apart from its answer: invoked, streamed")
def reasoning(bench: Bench) -> str:
    with bench.at(Said(thought=THOUGHT)) as (chat, _):
        kept = [thought(chat.invoke("Hi")), thought(total(chat.stream("Hi")))]
    return parts(*(each == THOUGHT for each in kept))


@ANSWERS.add("Answers", "and goes back with the history")
def reasoning_back(bench: Bench) -> bool:
    with bench.at(Said(thought=THOUGHT)) as (chat, server):
        first = chat.invoke("Hi")
        chat.invoke([("human", "Hi"), first, ("human", "Go on")])
        return THOUGHT.encode() in server.asked(bench.path)[-1].body


@ANSWERS.add("Answers", "a stream tells how many tokens were used")
def usage_streamed(bench: Bench) -> bool:
    with bench.at(Said()) as (chat, _):
        return total(chat.stream("Hi")).usage_metadata["output_tokens"] == USAGE["completion_tokens"]


@ANSWERS.add("Answers", "the server's timings are kept")
def timings(bench: Bench) -> bool:
    with bench.at(Said()) as (chat, _):
        told = str(chat.invoke("Hi").response_metadata)
    return "50.25" in told or "50250000" in told


@ANSWERS.add("Answers", "the model is named as the server names it")
def model_name(bench: Bench) -> bool:
    with bench.at(Said(model="demo-7b-q4")) as (chat, _):
        return chat.invoke("Hi").response_metadata["model_name"] == "demo-7b-q4"


@ANSWERS.add("Answers", "text and two tool calls streamed as v1 blocks stay three blocks")
def blocks_v1(bench: Bench) -> bool:
    said = Said(("Let me ", "look"), calls=(("f", '{"a": 1}'), ("g", '{"b": 2}')), finish="tool_calls")
    with bench.at(said, output_version="v1") as (chat, _):
        message = total(chat.stream("Hi"))
    kinds = [block["type"] for block in message.content]
    calls = [(call["name"], call["args"]) for call in message.tool_calls]
    return kinds == ["text", "tool_call", "tool_call"] and calls == [("f", {"a": 1}), ("g", {"b": 2})]


@ANSWERS.add("Answers", "the same as content-block events (v3)")
def blocks_v3(bench: Bench) -> bool:
    said = Said(("Let me ", "look"), calls=(("f", '{"a": 1}'), ("g", '{"b": 2}')), finish="tool_calls")
    with bench.at(said) as (chat, _):
        message = chat.stream_events("Hi", version="v3").output
    return [(call["name"], call["args"]) for call in message.tool_calls] == [("f", {"a": 1}), ("g", {"b": 2})]


@ANSWERS.add("Answers", "these events are made by the class itself, not by a bridge over chunks")
def native_events(bench: Bench) -> bool:
    with bench.at(Said()) as (chat, _):
        return hasattr(chat, "_stream_chat_model_events") and hasattr(chat, "_astream_chat_model_events")


@ANSWERS.add("Answers", "the probabilities of tokens are kept (`logprobs`): invoked, streamed")
def logprobs(bench: Bench) -> str:
    token = {"token": "Hello", "logprob": -0.25, "bytes": list(b"Hello"), "top_logprobs": []}
    whole_answer = {**whole(Said())["choices"][0], "logprobs": {"content": [token]}}

    def play(request: Request) -> Response:
        if bench.kind == "ollama":
            told = b'"done": false, "logprobs": ' + json.dumps([token]).encode()
            return Response.stream(lines(Said()).replace(b'"done": false', told), content_type=NDJSON)
        if not request.json().get("stream"):
            return Response.json({**whole(Said()), "choices": [whole_answer]})
        return Response.stream(piece({"content": "Hello"}, logprobs={"content": [token]}) + ending())

    with bench.at(play, logprobs=True) as (chat, _):
        told = [chat.invoke("Hi").response_metadata, total(chat.stream("Hi")).response_metadata]
    return parts(*("-0.25" in str(each.get("logprobs")) for each in told))


@ANSWERS.add("Answers", "asynchronous calls are as good as the others, and made without a thread for each")
def native_async(bench: Bench) -> bool:
    with bench.at(Said(("Hel", "lo"))) as (chat, _):
        said = asyncio.run(_streamed(chat))
        own = [getattr(chat.__class__, name) is not vars(BaseChatModel)[name] for name in ("_agenerate", "_astream")]
    return said == "Hello" and all(own)


@ANSWERS.add("Answers", "the same token again and again is no fault")
def repeated(bench: Bench) -> bool:
    with bench.at(Said(("very ",) * 150)) as (chat, _):
        return total(chat.stream("Hi")).text == "very " * 150


# ------------------------------------------------------------------------------------------------------------ faults


def failing(bench: Bench, stream: bytes, wanted: type[BaseException]) -> str:
    """Tell what a broken stream becomes: the error wanted, another one, a success."""
    kind = NDJSON if bench.kind == "ollama" else "text/event-stream"
    with bench.at(Response.stream(stream, content_type=kind)) as (chat, _):
        try:
            total(chat.stream("Hi"))
        except wanted:
            return YES
        except Exception:
            return PARTLY
    return NO


def half(bench: Bench) -> bytes:
    """Return the beginning of a stream."""
    said = Said(("Hel", "lo"))
    if bench.kind == "ollama":
        return lines(said).split(b"\n")[0] + b"\n"
    return b"\n\n".join(streamed(said, None).split(b"\n\n")[:2]) + b"\n\n"


@ANSWERS.add("Faults", "a stream that just ends is an error, LangChain's own")
def truncated(bench: Bench) -> str:
    return failing(bench, half(bench), ModelError)


@ANSWERS.add("Faults", "an error in the middle of a stream is one of LangChain's")
def error_inside(bench: Bench) -> str:
    told = b'{"error": "out of memory"}\n'
    if bench.kind == "llamacpp":
        told = b'data: {"error": {"message": "out of memory", "code": 500, "type": "server_error"}}\n\n'
    return failing(bench, half(bench) + told, ModelError)


@ANSWERS.add("Faults", "also one in a line that is named `error:`", ("llamacpp",))
def error_line(bench: Bench) -> str:
    told = b'error: {"message": "out of memory", "code": 500, "type": "server_error"}\n\n'
    return failing(bench, half(bench) + told + b"data: [DONE]\n\n", ModelError)


@ANSWERS.add("Faults", "statuses 401, 404, 429 and 500 become LangChain's errors")
def statuses(bench: Bench) -> str:
    held: list[bool] = []
    for status in (401, 404, 429, 500):
        error: Any = "no" if bench.kind == "ollama" else {"message": "no", "code": status, "type": "some_error"}
        with bench.at(Response.json({"error": error}, status), max_retries=0) as (chat, _):
            try:
                chat.invoke("Hi")
            except ModelError:
                held.append(True)
            except Exception:
                held.append(False)
    return parts(*held)


@ANSWERS.add("Faults", "a prompt that is too long is LangChain's `ContextOverflowError`")
def overflow(bench: Bench) -> str:
    told: Any = "prompt too long; exceeded max context length by 12 tokens"
    if bench.kind == "llamacpp":
        message = "request (2000 tokens) exceeds the available context size (1024 tokens), try increasing it"
        told = {
            "code": 400,
            "message": message,
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 2000,
            "n_ctx": 1024,
        }
    with bench.at(Response.json({"error": told}, 400)) as (chat, _):
        try:
            chat.invoke("Hi")
        except ContextOverflowError:
            return YES
        except Exception:
            return PARTLY
    return NO


@ANSWERS.add("Faults", "a model that is still loading is waited for (three answers of 503)")
def loading(bench: Bench) -> bool:
    error: Any = "loading model"
    if bench.kind == "llamacpp":
        error = {"message": "Loading model", "type": "unavailable_error", "code": 503}
    answers = [Response.json({"error": error}, 503)] * 3

    def play(request: Any) -> Response:
        return answers.pop() if answers else answered(bench.kind, Said(), request)

    with bench.at(play) as (chat, _):
        return chat.invoke("Hi").text == "Hello"


@ANSWERS.add("Faults", "a timeout bounds the wait for a server that says nothing, and is LangChain's error")
def timeout(bench: Bench) -> str:
    def bounded(options: dict[str, Any]) -> str:
        silent = threading.Event()
        late = threading.Timer(3, silent.set)
        late.start()
        with bench.at(Response(wait=silent), max_retries=0, **options) as (chat, _):
            try:
                chat.invoke("Hi")
            except ModelTimeoutError:
                return NO if silent.is_set() else YES
            except Exception:
                return NO if silent.is_set() else PARTLY
            finally:
                late.cancel()
                silent.set()
        return NO

    return best(bounded, {"timeout": 0.3}, {"request_timeout": 0.3}, {"client_kwargs": {"timeout": 0.3}})


@ANSWERS.add("Faults", "works in one `asyncio.run` after another")
def second_loop(bench: Bench) -> bool:
    with bench.at(Said()) as (chat, _):
        said = [asyncio.run(_streamed(chat)) for _ in range(3)]
    return said == ["Hello"] * 3


async def _streamed(chat: Any) -> str:
    return "".join([chunk.text async for chunk in chat.astream("Hi")])
