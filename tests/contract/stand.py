"""Where the candidates stand: the servers they talk to, and how each is made as its own documentation has it."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_vessel import ChatVessel, VesselEmbeddings, VesselLLM, VesselRerank

from tests.contract.engine import install
from tests.fake_server import NDJSON, Answer, FakeServer, Request, Response, Routes, llamacpp_server, ollama_server
from tests.langchain.scripted import TIMINGS, USAGE, ending, ollama_lines, piece

Kind = Literal["llamacpp", "ollama"]
BOTH: tuple[Kind, ...] = ("llamacpp", "ollama")
SERVED_V1: tuple[Kind, ...] = ("llamacpp",)
COUNTED = 7
"""How many tokens the scripted tokenizer makes of any text."""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, whatever the server's way to write it: each call is `(name, arguments)`."""

    texts: tuple[str, ...] = ("Hello",)
    thought: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    finish: str = "stop"
    model: str = "demo"


def streamed(said: Said, usage: Mapping[str, Any] | None) -> bytes:
    """Return an answer as a llama.cpp server streams it."""
    stream = piece({"role": "assistant", "content": None}, model=said.model)
    stream += piece({"reasoning_content": said.thought}, model=said.model) if said.thought else b""
    stream += b"".join(piece({"content": text}, model=said.model) for text in said.texts)
    for at, (name, arguments) in enumerate(said.calls):
        half = len(arguments) // 2
        head = {"index": at, "id": f"c{at}", "type": "function"}
        stream += piece({"tool_calls": [{**head, "function": {"name": name, "arguments": arguments[:half]}}]})
        stream += piece({"tool_calls": [{"index": at, "function": {"arguments": arguments[half:]}}]})
    return stream + ending(said.finish, usage=usage, model=said.model)


def whole(said: Said) -> dict[str, Any]:
    """Return an answer as a llama.cpp server gives it in one document."""
    message: dict[str, Any] = {"role": "assistant", "content": "".join(said.texts)}
    if said.thought:
        message["reasoning_content"] = said.thought
    if said.calls:
        message["tool_calls"] = [
            {"id": f"c{at}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for at, (name, arguments) in enumerate(said.calls)
        ]
    choice = {"index": 0, "message": message, "finish_reason": said.finish}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1755770400, "model": said.model}
    return {**head, "choices": [choice], "usage": USAGE, "timings": TIMINGS}


def lines(said: Said) -> bytes:
    """Return an answer as Ollama streams it."""
    messages: list[dict[str, Any]] = [{"content": "", "thinking": said.thought}] if said.thought else []
    messages += [{"content": text} for text in said.texts]
    calls = [{"function": {"name": name, "arguments": json.loads(arguments)}} for name, arguments in said.calls]
    messages += [{"content": "", "tool_calls": [call]} for call in calls]
    done = said.finish if said.finish == "length" else "stop"
    return ollama_lines(*messages, done=done).replace(b"qwen3:8b", said.model.encode())


def inside(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the fields of an object in a body, none if it is not there."""
    return dict(body.get(name) or {})


def answered(kind: Kind, said: Said, request: Request) -> Response:
    """Answer a request as the server would: streamed or whole, with usage where it was asked for."""
    body = request.json()
    if kind == "ollama":
        thinks = body.get("think") is not False  # what is not said to stay off is on
        return Response.stream(lines(said if thinks else Said(said.texts)), content_type=NDJSON)
    if not body.get("stream"):
        return Response.json(whole(said))
    wanted = inside(body, "stream_options").get("include_usage")
    return Response.stream(streamed(said, USAGE if wanted else None))


def serving(kind: Kind, answer: Said | Answer, routes: Routes | None = None) -> FakeServer:
    """Return a server of this kind that gives this answer."""

    def play(request: Request) -> Response:
        if isinstance(answer, Said):
            return answered(kind, answer, request)
        return answer if isinstance(answer, Response) else answer(request)

    if kind == "ollama":
        capabilities = ("completion", "tools", "thinking", "vision")
        return ollama_server(play, models=("demo", "other"), capabilities=capabilities, routes=routes)
    counting: Routes = {
        ("POST", "/tokenize"): Response.json({"tokens": list(range(COUNTED))}),
        ("POST", "/v1/chat/completions/input_tokens"): Response.json({"input_tokens": COUNTED}),
    }
    return llamacpp_server(play, model="demo", vision=True, routes={**counting, **(routes or {})})


# ------------------------------------------------------------------------------------------------------ candidates

Make = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pair of classes; `chat` is made with the URL and what a probe sets.

    `embeddings` are made as they come, or `adapted` to local servers as their users learn to. `others` are its further
    classes: what ranks (`rerank`) and what completes text (`llm`). Groups and titles of rows that mean nothing to it are in
    `without`.
    """

    title: str
    kinds: tuple[Kind, ...]
    chat: Make
    embeddings: Make
    others: Mapping[str, Make] = field(default_factory=dict[str, Make])
    without: frozenset[str] = frozenset()


def _vessel(url: str, **options: Any) -> Any:
    fields: dict[str, Any] = {"base_url": url, "model": "demo", **options}
    return ChatVessel(**fields)


def _vessel_embeddings(url: str, *, adapted: bool) -> Any:
    del adapted  # nothing has to be
    return VesselEmbeddings(base_url=url, model="demo")


def _vessel_rerank(url: str) -> Any:
    return VesselRerank(base_url=url, model="demo")


def _vessel_llm(url: str) -> Any:
    return VesselLLM(base_url=url, model="demo")


VESSEL = Candidate("ChatVessel", BOTH, _vessel, _vessel_embeddings, {"rerank": _vessel_rerank, "llm": _vessel_llm})


def _of(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _openai(url: str, **options: Any) -> Any:
    return _of("langchain_openai", "ChatOpenAI")(
        **{"base_url": f"{url}/v1", "model": "demo", "api_key": "x", **options}
    )


def _openai_embeddings(url: str, *, adapted: bool) -> Any:
    more = {"check_embedding_ctx_length": False} if adapted else {}
    return _of("langchain_openai", "OpenAIEmbeddings")(base_url=f"{url}/v1", model="demo", api_key="x", **more)


def _ollama(url: str, **options: Any) -> Any:
    return _of("langchain_ollama", "ChatOllama")(**{"base_url": url, "model": "demo", **options})


def _ollama_embeddings(url: str, *, adapted: bool) -> Any:
    del adapted  # nothing has to be
    return _of("langchain_ollama", "OllamaEmbeddings")(base_url=url, model="demo")


def _openai_llm(url: str) -> Any:
    return _of("langchain_openai", "OpenAI")(base_url=f"{url}/v1", model="demo", api_key="x")


def _litellm(url: str, **options: Any) -> Any:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it downloads a list of prices
    made = {"model": "demo", "api_key": "x", **options}
    return _of("langchain_litellm", "ChatLiteLLM")(api_base=f"{url}/v1", **{**made, "model": f"openai/{made['model']}"})


def _litellm_embeddings(url: str, *, adapted: bool) -> Any:
    del adapted  # nothing has to be
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    return _of("langchain_litellm", "LiteLLMEmbeddings")(api_base=f"{url}/v1", model="openai/demo", api_key="x")


def _in_process(url: str, **options: Any) -> Any:
    install()
    made = {"model": "demo", "verbose": False, **options}
    return _of("langchain_community.chat_models.llamacpp", "ChatLlamaCpp")(
        model_path=f"{url}#{made.pop('model')}", **made
    )


def _none(url: str, **_: Any) -> Any:
    raise NotImplementedError(url)


NO_SERVER = frozenset(
    {
        "a stream that just ends is an error, LangChain's own",
        "an error in the middle of a stream is one of LangChain's",
        "also one in a line that is named `error:`",
        "statuses 401, 404, 429 and 500 become LangChain's errors",
        "a model that is still loading is waited for (three answers of 503)",
        "a timeout bounds the wait for a server that says nothing, and is LangChain's error",
        "`id_slot` and `cache_prompt` are options like any other",
        "the model is named as the server names it",
        "no key has to be made up",
        "headers of one's own are sent",
        "no model has to be named: the one that is there is used",
        "it can be asked whether it is ready, and for its models",
        "Embeddings",
        "Beyond",
    }
)
"""What has no meaning for a model in one's own process; its embeddings are another matter."""

PEERS: Sequence[Candidate] = (
    Candidate("ChatOpenAI(base_url)", SERVED_V1, _openai, _openai_embeddings, {"llm": _openai_llm}),
    Candidate("ChatOllama", ("ollama",), _ollama, _ollama_embeddings),
    Candidate("ChatLiteLLM", SERVED_V1, _litellm, _litellm_embeddings),
    Candidate("ChatLlamaCpp", SERVED_V1, _in_process, _none, without=NO_SERVER),
)
PACKAGES = {
    "ChatOpenAI(base_url)": "langchain-openai",
    "ChatOllama": "langchain-ollama",
    "ChatLiteLLM": "langchain-litellm",
    "ChatLlamaCpp": "langchain-community",
}
