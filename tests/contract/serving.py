"""Rows on the server: what is known of it, its models, embeddings, ranking."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import threading
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import HumanMessage

from tests.contract.measuring import Bench, Rows, best, parts
from tests.contract.stand import COUNTED, SERVED_V1, Said
from tests.fake_server import NDJSON, Request, Response, openai_embeddings, vector_of

SERVING = Rows()


@SERVING.add("The server", "no key has to be made up")
def no_key(bench: Bench) -> bool:
    with bench.at(Said(), api_key=None) as (chat, _):
        return chat.invoke("Hi").text == "Hello"


@SERVING.add("The server", "headers of one's own are sent")
def headers(bench: Bench) -> str:
    wanted = {"X-Team": "blue"}

    def sends(options: dict[str, Any]) -> bool:
        with bench.at(Said(), None, **options) as (chat, server):
            chat.invoke("Hi")
            return server.asked(bench.path)[-1].headers.get("x-team") == "blue"

    ollamas = {"client_kwargs": {"headers": wanted}}
    return best(sends, {"headers": wanted}, {"default_headers": wanted}, {"extra_headers": wanted}, ollamas)


@SERVING.add("The server", "no model has to be named: the one that is there is used")
def no_model(bench: Bench) -> bool:
    with bench.at(Said(), model=None) as (chat, server):
        chat.invoke("Hi")
        return bench.body(server)["model"] == "demo"


@SERVING.add("The server", "the size of its context is known (`profile`)")
def context(bench: Bench) -> bool:
    with bench.at(Said()) as (chat, _):
        return chat.profile["max_input_tokens"] in (1024, 4096)


@SERVING.add("The server", "it can be asked whether it is ready, and for its models")
def asked(bench: Bench) -> bool:
    with bench.at(Said()) as (chat, _):
        return chat.server.health() and "demo" in [model.id for model in chat.server.models()]


@SERVING.add("The server", "models are loaded and downloaded, and say how far they are", ("ollama",))
def pulled(bench: Bench) -> bool:
    lines = [{"status": "pulling", "total": 10, "completed": 5}, {"status": "success"}]
    body = "\n".join(json.dumps(line) for line in lines)
    with bench.at(Said(), {("POST", "/api/pull"): Response.stream(body.encode(), content_type=NDJSON)}) as (chat, _):
        return next((each.completed, each.total) for each in chat.server.pull("demo")) == (5, 10)


@SERVING.add("The server", "tokens are counted by its own tokenizer", SERVED_V1)
def counting(bench: Bench) -> str:
    with bench.at(Said()) as (chat, _):
        try:
            texts = chat.get_num_tokens("How many?") == COUNTED
        except Exception:
            texts = False
        return parts(texts, chat.get_num_tokens_from_messages([HumanMessage("How many?")]) == COUNTED)


@SERVING.add("Embeddings", "texts are sent as texts, without setting anything")
def texts_as_texts(bench: Bench) -> bool:
    with bench.embedding(adapted=False) as (made, server):
        return made.embed_documents(["a", "bc"]) == [vector_of("a"), vector_of("bc")] and server.requests != []


@SERVING.add("Embeddings", "2500 texts go in several requests")
def batches(bench: Bench) -> bool:
    with bench.embedding() as (made, server):
        made.embed_documents([f"text {at}" for at in range(2500)])
        return len([request for request in server.requests if "embed" in request.path]) > 1


@SERVING.add("Embeddings", "vectors that come in another order are put right", SERVED_V1)
def shuffled(bench: Bench) -> bool:
    def play(request: Request) -> Response:
        given = request.json()["input"]
        made = [{"index": at, "embedding": [float(at), 1.0], "object": "embedding"} for at in range(len(given))]
        return Response.json({"object": "list", "model": "demo", "data": made[::-1], "usage": {"prompt_tokens": 1}})

    with bench.embedding({("POST", "/v1/embeddings"): play}) as (made, _):
        return [vector[0] for vector in made.embed_documents(["a", "b", "c"])] == [0.0, 1.0, 2.0]


@SERVING.add("Embeddings", "vectors that come as base64 are read", SERVED_V1)
def base64_vectors(bench: Bench) -> bool:
    def play(request: Request) -> Response:
        packed = [base64.b64encode(struct.pack("<2f", at, 1.0)).decode() for at in range(len(request.json()["input"]))]
        made = [{"index": at, "embedding": text, "object": "embedding"} for at, text in enumerate(packed)]
        return Response.json({"object": "list", "model": "demo", "data": made, "usage": {"prompt_tokens": 1}})

    with bench.embedding({("POST", "/v1/embeddings"): play}) as (made, _):
        return made.embed_documents(["a", "b"]) == [[0.0, 1.0], [1.0, 1.0]]


@SERVING.add("Embeddings", "several requests are under way at once, when asynchronous too", SERVED_V1)
def at_once(bench: Bench) -> str:
    held: list[bool] = []
    texts = [f"text {at}" for at in range(2500)]
    for asynchronous in (False, True):
        company = Company()
        with bench.embedding({("POST", "/v1/embeddings"): company}) as (made, _):
            vectors = asyncio.run(made.aembed_documents(texts)) if asynchronous else made.embed_documents(texts)
        held.append(len(vectors) == len(texts) and company.met.is_set())
    return parts(*held)


class Company:
    """Answers embeddings: the first at once, each other as soon as one more is under way, or was; or when none comes."""

    def __init__(self) -> None:
        self.met = threading.Event()
        self._now = self._seen = 0
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Response:
        with self._lock:
            self._seen += 1
            self._now += 1
            first = self._seen == 1
            if self._now > 1:
                self.met.set()
        if not first:
            self.met.wait(2)
        with self._lock:
            self._now -= 1
        return openai_embeddings(request)


@SERVING.add("Beyond", "documents are ranked by a model that ranks", SERVED_V1)
def ranked(bench: Bench) -> bool:
    def play(request: Request) -> Response:
        given = request.json()["documents"]
        return Response.json({"results": [{"index": at, "relevance_score": float(at)} for at in range(len(given))]})

    with bench.other("rerank", {("POST", "/v1/rerank"): play}) as (made, _):
        documents = [Document("a"), Document("b")]
        return [each.page_content for each in made.compress_documents(documents, "?")] == ["b", "a"]


@SERVING.add("Beyond", "text for a gap is written by `/infill`", SERVED_V1)
def infill(bench: Bench) -> bool:
    told = Response.stream(b'data: {"index": 0, "content": "x", "stop": true, "stop_type": "eos"}\n\n')
    with bench.other("llm", {("POST", "/infill"): told}) as (made, server):
        made.invoke("def add(", suffix="return a + b")
        return server.asked("/infill")[-1].json()["input_suffix"] == "return a + b"
