"""What both clients do with servers that can't be run here: exact replies of LM Studio, Ollama, others."""

from __future__ import annotations

import base64
import json
import struct
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from vessel_core import Message, Tool, image_part
from vessel_core.errors import (
    InputTooLarge,
    InvalidMedia,
    ModelLoading,
    ModelNotFound,
    ProtocolError,
    ServerError,
    StreamInterrupted,
    Unsupported,
)

from tests.core.driving import Connect, Late
from tests.fake_server import (
    NDJSON,
    FakeServer,
    Request,
    Response,
    Routes,
    llamacpp_server,
    lmstudio_server,
    nobody,
    ollama_server,
    openai_server,
    transcript,
)

HELLO: list[Message] = [{"role": "user", "content": "Hello"}]
WEATHER: Tool = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def lines(*documents: Mapping[str, Any]) -> bytes:
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


# --------------------------------------------------------------------------------------------------------------- Ollama


def test_ollama_chats_by_its_own_api(connect: Connect) -> None:
    with ollama_server(transcript("ollama/text.ndjson")) as server:
        reply = connect("ollama", base_url=server.base_url).chat(HELLO, num_ctx=8192, temperature=0, max_tokens=9)
        (sent,) = server.asked("/api/chat")
    assert (reply.reasoning, reply.text, reply.finish) == ("Okay", "Hello \u2028😀\x85", "stop")
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (169, 15)
    assert reply.timings is not None
    assert reply.timings.load_ms == pytest.approx(41.295167)
    assert reply.timings.tokens_per_second == pytest.approx(129.35, abs=0.1)
    assert sent.json() == {
        "model": "qwen3:8b",
        "messages": HELLO,
        "stream": True,
        "options": {"temperature": 0, "num_predict": 9, "num_ctx": 8192},
    }


def test_ollama_keeps_the_options_that_would_load_its_model_anew(connect: Connect) -> None:
    with ollama_server(transcript("ollama/text.ndjson")) as server:
        client = connect("ollama", base_url=server.base_url, model="qwen3")
        client.chat(HELLO, num_ctx=8192)
        client.chat(HELLO)
        assert [sent.json()["options"] for sent in server.asked("/api/chat")] == [{"num_ctx": 8192}] * 2


def test_ollama_keeps_what_it_was_loaded_with_under_any_name_of_the_model(connect: Connect) -> None:
    def chat(request: Request) -> Response:
        if request.json()["messages"]:
            return Response.stream(transcript("ollama/text.ndjson"), content_type=NDJSON)
        return Response.json({"model": "llama3", "done": True, "done_reason": "load"})

    with ollama_server(routes={("POST", "/api/chat"): chat}) as server:
        client = connect("ollama", base_url=server.base_url)
        list(client.load("llama3:latest", num_ctx=8192))
        client.chat(HELLO, model="llama3")
        client.chat(HELLO, model="LLAMA3", extra_body={"options": {"num_ctx": 4096}})
        client.chat(HELLO, model="llama3")
        list(client.load("llama3"))
        sizes = [sent.json()["options"]["num_ctx"] for sent in server.asked("/api/chat")]
    assert sizes == [8192, 8192, 4096, 4096, 4096]


def test_ollama_is_told_of_which_call_a_result_is_where_an_id_comes_again(connect: Connect) -> None:
    history: list[Any] = [*HELLO]
    for name in ("get_weather", "get_time"):
        call: Any = {"id": "call_0", "type": "function", "function": {"name": name, "arguments": "{}"}}
        history += [
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_0", "content": ""},
        ]
    with ollama_server(transcript("ollama/text.ndjson")) as server:
        connect("ollama", base_url=server.base_url).chat(history)
        sent = server.asked("/api/chat")[0].json()["messages"]
    assert [message["tool_name"] for message in sent if message["role"] == "tool"] == ["get_weather", "get_time"]


def test_ollama_gets_a_picture_as_bare_base64(connect: Connect) -> None:
    question: list[Message] = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image_part(DOT)]}]
    with ollama_server(transcript("ollama/text.ndjson")) as server:
        connect("ollama", base_url=server.base_url, model="llava").chat(question)
        (message,) = server.asked("/api/chat")[0].json()["messages"]
    assert message == {"role": "user", "content": "What is it?", "images": [base64.b64encode(DOT).decode()]}


@pytest.mark.parametrize(("backend", "server"), [("ollama", ollama_server), ("lmstudio", lmstudio_server)])
def test_a_picture_by_url_is_refused_where_the_server_fetches_none(connect: Connect, backend: str, server: Any) -> None:
    question: list[Message] = [{"role": "user", "content": [image_part("http://127.0.0.1:9/secret.png")]}]
    with server() as running, pytest.raises(InvalidMedia, match="does not fetch images"):
        connect(backend, base_url=running.base_url, model="m").chat(question)
    assert running.requests == []


def test_ollama_forces_a_tool_by_the_form_of_the_answer(connect: Connect) -> None:
    answer = lines(
        {"message": {"role": "assistant", "content": '{"city": "Oslo"}'}, "done": False},
        {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"},
    )
    with ollama_server(answer) as server:
        client = connect("ollama", base_url=server.base_url, model="m")
        reply = client.chat(HELLO, tools=[WEATHER], tool_choice="get_weather")
        sent = server.asked("/api/chat")[0].json()
    assert sent["format"] == WEATHER["function"].get("parameters")
    assert "tool_choice" not in sent
    (call,) = reply.tool_calls
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("get_weather", {"city": "Oslo"})
    assert (reply.text, reply.finish) == ("", "tool_calls")


def test_ollama_sends_calls_of_the_history_as_objects(connect: Connect) -> None:
    called: list[Message] = [
        *HELLO,
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "Sunny"},
    ]
    with ollama_server(transcript("ollama/text.ndjson")) as server:
        connect("ollama", base_url=server.base_url, model="m").chat(called, tools=[WEATHER])
        messages = server.asked("/api/chat")[0].json()["messages"]
    assert messages[1]["tool_calls"][0]["function"]["arguments"] == {"city": "Oslo"}
    assert messages[2] == {"role": "tool", "content": "Sunny", "tool_name": "get_weather", "tool_call_id": "a"}


def test_ollama_embeds(connect: Connect) -> None:
    with ollama_server(models=["nomic-embed-text:latest"], capabilities=["embedding"]) as server:
        found = connect("ollama", base_url=server.base_url).embed(["a", "bb", "ccc"])
        (sent,) = server.asked("/api/embed")
    assert [vector[0] for vector in found.vectors] == [1.0, 2.0, 3.0]
    assert found.usage is not None
    assert found.usage.prompt_tokens == 6
    assert sent.json() == {"model": "nomic-embed-text:latest", "input": ["a", "bb", "ccc"], "truncate": False}


@pytest.mark.parametrize(
    "said",
    [
        {"error": "input (99 tokens) is too large to process"},
        {"error": "the input length exceeds the context length"},
        {"error": {"message": "This model's maximum context length is 512 tokens. However, you requested 800 tokens"}},
    ],
)
def test_an_input_that_is_too_long_is_told_from_the_others(connect: Connect, said: dict[str, Any]) -> None:
    def embed(request: Request) -> Response:
        if any(len(text) > 10 for text in request.json()["input"]):
            return Response.json(said, 400)
        return Response.json({"embeddings": [[float(len(text)), 1.0] for text in request.json()["input"]]})

    with ollama_server(routes={("POST", "/api/embed"): embed}) as server:
        client = connect("ollama", base_url=server.base_url, model="m")
        with pytest.raises(InputTooLarge) as caught:
            client.embed(["a", "bb", "c" * 20, "dddd"])
    assert (caught.value.index, caught.value.vectors) == (2, [[1.0, 1.0], [2.0, 1.0], None, [4.0, 1.0]])


def test_ollama_completes_and_fills_gaps(connect: Connect) -> None:
    answer = lines(
        {"model": "m", "response": "is deep", "done": False},
        {"model": "m", "response": "", "done": True, "done_reason": "stop", "eval_count": 2, "prompt_eval_count": 3},
    )
    routes = {("POST", "/api/generate"): Response.stream(answer, content_type=NDJSON)}
    with ollama_server(routes=routes) as server:
        client = connect("ollama", base_url=server.base_url, model="m")
        reply = client.complete("The sea ", max_tokens=4, stop="\n")
        client.complete("def f(", suffix="return 1")
        first, second = (request.json() for request in server.asked("/api/generate"))
    assert (reply.text, reply.finish) == ("is deep", "stop")
    assert reply.usage is not None
    assert reply.usage.total_tokens == 5
    options = {"num_predict": 4, "stop": ["\n"]}
    assert first == {"model": "m", "prompt": "The sea ", "stream": True, "raw": True, "options": options}
    assert second == {"model": "m", "prompt": "def f(", "stream": True, "suffix": "return 1"}


def test_ollama_describes_its_models(connect: Connect) -> None:
    with ollama_server(models=["qwen3:8b", "other"], context_length=16384) as server:
        client = connect("ollama", base_url=server.base_url)
        model = client.model_info("qwen3:8b")
        info = client.info()
        assert client.health() is True
    assert (info.version, [one.id for one in info.models]) == ("0.32.5", ["qwen3:8b", "other"])
    assert (model.kind, model.state, model.context_length, model.max_context_length) == ("chat", "loaded", 16384, 40960)
    assert (model.parameters, model.quantization, model.family) == ("8.2B", "Q4_K_M", "qwen3")
    capabilities = model.capabilities
    assert (capabilities.tools, capabilities.reasoning, capabilities.vision, capabilities.grammar) == (
        True,
        True,
        False,
        False,
    )


PULLING = (
    {"status": "pulling manifest"},
    {"status": "pulling 500a1f067a9f", "digest": "sha256:500a", "total": 100, "completed": 40},
    {"status": "pulling 500a1f067a9f", "digest": "sha256:500a", "total": 100, "completed": 100},
)


def test_ollama_pulls_a_model_and_says_how_far_it_is(connect: Connect) -> None:
    answer = Response.stream(lines(*PULLING, {"status": "success"}), content_type=NDJSON)
    with ollama_server(routes={("POST", "/api/pull"): answer}) as server:
        progress = list(connect("ollama", base_url=server.base_url).pull("qwen3:8b", insecure=False, username=None))
        (sent,) = server.asked("/api/pull")
    assert sent.json() == {"model": "qwen3:8b", "stream": True, "insecure": False}
    assert [(one.completed, one.total, one.unit) for one in progress] == [
        (None, None, ""),
        (40, 100, "bytes"),
        (100, 100, "bytes"),
        (None, None, ""),
    ]
    assert progress[-1].status == "success"


def test_a_pull_that_is_cut_or_fails_is_an_error(connect: Connect) -> None:
    answers = [
        Response.stream(lines(*PULLING), content_type=NDJSON),
        Response.stream(lines(*PULLING, {"error": "no space left on device"}), content_type=NDJSON),
        Response.json({"error": "pull model manifest: file does not exist"}, 500),
    ]
    with ollama_server(routes={("POST", "/api/pull"): list(answers)}) as server:
        client = connect("ollama", base_url=server.base_url)
        with pytest.raises(StreamInterrupted, match="before it had finished"):
            list(client.pull("m"))
        with pytest.raises(ServerError, match="no space left"):
            list(client.pull("m"))
        with pytest.raises(ModelNotFound, match="manifest: file does not exist"):
            list(client.pull("m"))
        assert not server.asked("/api/tags")  # what is here says nothing of what could be fetched


def test_ollama_makes_copies_deletes_loads_and_unloads_models(connect: Connect) -> None:
    done = Response.json({"model": "m", "message": {"role": "assistant", "content": ""}, "done": True})
    created = Response.stream(lines({"status": "success"}), content_type=NDJSON)
    routes = {
        ("POST", "/api/chat"): done,
        ("POST", "/api/create"): created,
        ("POST", "/api/copy"): Response(),
        ("DELETE", "/api/delete"): Response(),
    }
    with ollama_server(routes=routes) as server:
        client = connect("ollama", base_url=server.base_url)
        assert [one.status for one in client.load("m", num_ctx=4096, keep_alive="1h")] == ["loading", "loaded"]
        client.unload("m")
        list(client.create("mine", from_="m", system="Be brief.", template=None))
        client.copy("m", "n")
        client.delete("n")
        sent = [(request.method, request.path, request.json()) for request in server.requests]
    still: dict[str, Any] = {"model": "m", "messages": [], "stream": False}
    assert sent == [
        ("POST", "/api/chat", {**still, "keep_alive": "1h", "options": {"num_ctx": 4096}}),
        ("POST", "/api/chat", {**still, "keep_alive": 0}),
        ("POST", "/api/create", {"model": "mine", "stream": True, "from": "m", "system": "Be brief."}),
        ("POST", "/api/copy", {"source": "m", "destination": "n"}),
        ("DELETE", "/api/delete", {"model": "n"}),
    ]


def test_what_there_is_instead_of_a_missing_model_is_asked_for_no_longer_than_the_call_may_take(
    connect: Connect,
) -> None:
    missing = Response.json({"error": "model 'x' not found"}, 404)
    routes: Routes = {("POST", "/api/chat"): missing, ("POST", "/api/embed"): missing}
    with FakeServer(routes, otherwise=Response(wait=threading.Event())) as server:
        client = connect("ollama", base_url=server.base_url, model="x", timeout=600)
        for ask in (
            lambda: client.chat(HELLO, timeout=0.05),
            lambda: client.embed(["x"], timeout=0.05),
            lambda: list(client.load("x", timeout=0.05)),
        ):
            with pytest.raises(ModelNotFound, match="'x' not found"):
                ask()
        assert len(server.asked("/api/tags")) == 3


def test_a_missing_model_is_answered_with_the_nearest(connect: Connect) -> None:
    missing = Response.json({"error": "model 'qwen3:7b' not found"}, 404)
    models = ["llama3.2:3b", "qwen3:8b", "qwen3:14b", "mistral"]
    routes = {("POST", "/api/chat"): missing, ("DELETE", "/api/delete"): missing}
    with ollama_server(models=models, routes=routes) as server:
        client = connect("ollama", base_url=server.base_url)
        with pytest.raises(ModelNotFound) as caught:
            client.chat(HELLO, model="qwen3:7b")
        with pytest.raises(ModelNotFound, match="'mistrall'") as deleting:
            client.delete("mistrall")
    error = caught.value
    assert error.nearest[0] == "qwen3:8b"
    assert set(error.nearest) <= set(models)
    assert len(error.nearest) == 3
    assert "There is no model 'qwen3:7b' on this server: did you mean 'qwen3:8b'?" in str(error)
    assert all(repr(name) in str(error) for name in models)
    assert server.base_url in str(error)
    assert deleting.value.nearest[0] == "mistral"


def test_an_error_stays_what_it_is_if_the_names_can_not_be_listed(connect: Connect) -> None:
    missing = Response.json({"error": "model 'x' not found"}, 404)
    routes = {("POST", "/api/chat"): missing, ("GET", "/api/tags"): Response.hang_up()}
    with ollama_server(routes=routes) as server, pytest.raises(ModelNotFound, match="'x' not found"):
        connect("ollama", base_url=server.base_url, model="x").chat(HELLO)


def test_a_prompt_that_ollama_cut_is_noticed(connect: Connect) -> None:
    long: list[Message] = [{"role": "user", "content": "word " * 3000}]
    with ollama_server(transcript("ollama/text.ndjson")) as server:
        assert connect("ollama", base_url=server.base_url).chat(long).truncated is True
        assert connect("ollama", base_url=server.base_url).chat(HELLO).truncated is False


# ------------------------------------------------------------------------------------------------------------ LM Studio


def test_lmstudio_chats(connect: Connect) -> None:
    with lmstudio_server(transcript("lmstudio/text.sse")) as server:
        reply = connect("lmstudio", base_url=server.base_url + "/v1").chat(HELLO, ttl=60, reasoning="low")
        (sent,) = server.asked("/v1/chat/completions")
    assert (reply.reasoning, reply.text) == ("Hmm", "Hello")
    assert sent.json()["model"] == "google/gemma-4-26b-a4b"
    assert (sent.json()["ttl"], sent.json()["reasoning_effort"]) == (60, "low")


def test_lmstudio_lists_what_its_newest_api_tells(connect: Connect) -> None:
    with lmstudio_server(embedding_models=["nomic"], vision=True) as server:
        client = connect("lmstudio", base_url=server.base_url)
        chat, embedding = client.models()
        assert client.capabilities().vision is True
        assert client.health() is True
    assert (chat.kind, chat.state, chat.context_length, chat.max_context_length) == ("chat", "loaded", 4096, 262144)
    assert (chat.parameters, chat.quantization, chat.capabilities.tools) == ("26B-A4B", "Q4_K_M", True)
    assert (embedding.kind, embedding.state, embedding.capabilities.embeddings) == ("embedding", "unloaded", True)


V0 = {
    "id": "qwen2-vl-7b",
    "object": "model",
    "type": "vlm",
    "arch": "qwen2_vl",
    "quantization": "4bit",
    "state": "loaded",
    "max_context_length": 32768,
    "loaded_context_length": 4096,
    "capabilities": ["tool_use"],
}


def test_lmstudio_lists_what_its_older_api_tells(connect: Connect) -> None:
    unknown = Response.json({"error": "Unexpected endpoint or method. (GET /api/v1/models)"})
    routes = {("GET", "/api/v1/models"): unknown, ("GET", "/api/v0/models"): Response.json({"data": [V0]})}
    with lmstudio_server(routes=routes) as server:
        (model,) = connect("lmstudio", base_url=server.base_url).models()
    assert (model.id, model.kind, model.state, model.context_length) == ("qwen2-vl-7b", "chat", "loaded", 4096)
    assert (model.family, model.capabilities.vision, model.capabilities.tools) == ("qwen2_vl", True, True)


def test_lmstudio_lists_names_where_it_tells_no_more(connect: Connect) -> None:
    unknown = Response.json({"error": "Unexpected endpoint or method. (GET)"})
    routes = {("GET", "/api/v1/models"): unknown, ("GET", "/api/v0/models"): unknown}
    with lmstudio_server(models=["a", "b"], routes=routes) as server:
        models = connect("lmstudio", base_url=server.base_url).models()
    assert [(model.id, model.state) for model in models] == [("a", None), ("b", None)]


def test_lmstudio_loads_and_unloads(connect: Connect) -> None:
    loaded = Response.json({"type": "llm", "instance_id": "m", "load_time_seconds": 9.1, "status": "loaded"})
    routes = {
        ("POST", "/api/v1/models/load"): loaded,
        ("POST", "/api/v1/models/unload"): Response.json({"instance_id": "m"}),
    }
    with lmstudio_server(models=["m"], routes=routes) as server:
        client = connect("lmstudio", base_url=server.base_url)
        assert [one.status for one in client.load("m", num_ctx=8192, ttl=None)] == ["loading", "loaded in 9.1 s"]
        client.unload("m")
        assert server.asked("/api/v1/models/load")[0].json() == {"model": "m", "context_length": 8192}
        assert server.asked("/api/v1/models/unload")[0].json() == {"instance_id": "m"}


def test_an_older_lmstudio_that_says_200_to_an_unknown_route_did_not_unload(connect: Connect) -> None:
    with lmstudio_server(models=["m"]) as server, pytest.raises(Unsupported, match="Unexpected endpoint"):
        connect("lmstudio", base_url=server.base_url).unload("m")


def test_lmstudio_downloads_and_says_how_far_it_is(connect: Connect) -> None:
    job = {"job_id": "job 1/../x", "status": "downloading", "total_size_bytes": 100}
    status = "/api/v1/models/download/status/job%201%2F..%2Fx"
    routes: dict[tuple[str, str], Any] = {
        ("POST", "/api/v1/models/download"): Response.json(job),
        ("GET", status): [
            Response.json({**job, "downloaded_bytes": 60}),
            Response.json({**job, "downloaded_bytes": 100, "status": "completed"}),
        ],
    }
    with lmstudio_server(routes=routes) as server:
        progress = list(connect("lmstudio", base_url=server.base_url).pull("m", quantization=None))
        assert server.asked("/api/v1/models/download")[0].json() == {"model": "m"}
    assert [(one.status, one.completed, one.total) for one in progress] == [
        ("downloading", None, 100),
        ("downloading", 60, 100),
        ("completed", 100, 100),
    ]


# -------------------------------------------------------------------------------------------------- any OpenAI-like one


def test_any_server_is_spoken_to_by_v1(connect: Connect) -> None:
    with openai_server(transcript("vllm/reasoning_tool.sse"), models=["m"]) as server:
        client = connect("openai", base_url=server.base_url + "/v1", api_key="sk-key")
        reply = client.chat(HELLO, tools=[WEATHER], reasoning=False)
        (sent,) = server.asked("/v1/chat/completions")
    assert reply.tool_calls
    assert reply.reasoning
    assert sent.headers["authorization"] == "Bearer sk-key"
    assert sent.json()["reasoning_effort"] == "none"


def test_vectors_are_put_into_the_order_of_the_texts(connect: Connect) -> None:
    def backwards(request: Request) -> Response:
        texts = request.json()["input"]
        data = [{"index": at, "embedding": [float(len(text)), 0.5]} for at, text in enumerate(texts)]
        return Response.json({"data": data[::-1]})

    with openai_server(routes={("POST", "/v1/embeddings"): backwards}) as server:
        client = connect("openai", base_url=server.base_url, model="m")
        vectors = client.embed(["a", "bb", "ccc", "dddd", "eeeee"], batch_size=2).vectors
    assert [vector[0] for vector in vectors] == [1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    "data",
    [
        [{"index": 0, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [None]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": None}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": base64.b64encode(struct.pack("<f", float("nan"))).decode()}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": "not base64!"}],
    ],
    ids=["count", "dimension", "null", "no vector", "NaN", "no base64"],
)  # fmt: skip
def test_vectors_that_can_not_be_right_are_refused(connect: Connect, data: list[Any]) -> None:
    answer = Response.json({"data": data})
    with openai_server(routes={("POST", "/v1/embeddings"): answer}) as server, pytest.raises(ProtocolError):
        connect("openai", base_url=server.base_url, model="m").embed(["a", "b"])


def test_counts_are_estimates_where_the_server_does_not_count(connect: Connect) -> None:
    with openai_server() as server:
        client = connect("openai", base_url=server.base_url, model="m")
        text, chat = client.count_tokens("Hello world"), client.count_chat_tokens(HELLO)
        assert server.requests == []
    assert (text, text.exact, repr(text)) == (4, False, "~4")
    assert (chat, chat.exact) == (6, False)


def test_a_reply_in_one_document_is_taken(connect: Connect) -> None:
    message = {"role": "assistant", "content": "Hi"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    whole = Response.json({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage, "model": "m"})
    with openai_server(whole) as server:
        reply = connect("openai", base_url=server.base_url, model="m").chat(HELLO)
    assert (reply.text, reply.finish, reply.model) == ("Hi", "stop", "m")
    assert reply.usage is not None


@pytest.mark.parametrize("label", ["application/json", "text/event-stream", "text/plain"])
def test_quirk_20_a_reply_is_read_by_its_bytes_and_not_by_its_label(connect: Connect, label: str) -> None:
    choice = {"message": {"role": "assistant", "content": "word " * 2000}, "finish_reason": "stop"}
    bodies = [json.dumps({"choices": [choice], "model": "m"}, indent=1).encode(), transcript("llamacpp/text.sse")]
    for body in bodies:
        with openai_server(Response(headers={"content-type": label}, body=body)) as server:
            reply = connect("openai", base_url=server.base_url, model="m").chat(HELLO)
        assert (bool(reply.text), reply.finish) == (True, "stop")
    failed = Response(headers={"content-type": label}, body=b'{"error": "Unexpected endpoint or method."}')
    with openai_server(failed) as server, pytest.raises(Unsupported, match="Unexpected endpoint"):
        connect("openai", base_url=server.base_url, model="m").chat(HELLO)


# ------------------------------------------------------------------------------------------------ how a server is


def test_a_server_that_is_not_there_is_not_healthy(connect: Connect) -> None:
    with nobody() as url:
        client = connect("ollama", base_url=url)
        assert client.health() is False
        info = client.info()
    assert (info.connected, info.available, info.version, info.models) == (False, False, None, ())
    assert info.error is not None
    assert "refused" in info.error


LOADING = Response.json({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, 503)


def test_a_server_that_loads_is_there_but_not_healthy_and_nobody_waits(connect: Connect) -> None:
    with FakeServer(otherwise=LOADING, headers={"server": "llama.cpp"}) as server:
        client = connect("llamacpp", base_url=server.base_url)
        assert client.health() is False
        info = client.info()
        assert [request.path for request in server.requests] == ["/health", "/props", "/v1/models"]
    assert info.connected
    assert info.error is not None
    assert "loading" in info.error


def test_another_server_at_the_address_is_not_healthy(connect: Connect) -> None:
    with lmstudio_server() as server:
        assert connect("llamacpp", base_url=server.base_url).health() is False


def test_a_loading_server_is_followed_until_it_is_ready(connect: Connect) -> None:
    routes: dict[tuple[str, str], Any] = {("GET", "/health"): [LOADING, LOADING, Response.json({"status": "ok"})]}
    with llamacpp_server(routes=routes) as server:
        progress = list(connect("llamacpp", base_url=server.base_url).wait_until_ready())
    assert [one.status for one in progress] == ["the model is loading"] * 2 + ["ready"]
    assert progress[0].total == 300


def test_a_server_that_is_not_there_yet_is_waited_for(connect: Connect) -> None:
    with llamacpp_server() as another:
        server = Late(another.routes)
    waiting = connect("auto", base_url=server.base_url).wait_until_ready()
    assert "refused" in next(waiting).status
    with server:
        assert list(waiting)[-1].status == "ready"


def test_the_wait_for_a_server_ends(connect: Connect) -> None:
    with FakeServer(otherwise=LOADING) as server:
        client = connect("llamacpp", base_url=server.base_url)
        with pytest.raises(ModelLoading):
            list(client.wait_until_ready(0.2))
        assert 2 <= len(server.requests) <= 4


def test_lm_studio_unloads_each_instance_of_one_model_and_no_other(connect: Connect) -> None:
    def loaded(key: str, *names: str) -> dict[str, Any]:
        return {"type": "llm", "key": key, "loaded_instances": [{"id": name, "config": {}} for name in names]}

    models = {"models": [loaded("qwen3", "qwen3", "qwen3:2"), loaded("gemma", "gemma")]}
    routes: Routes = {
        ("GET", "/api/v1/models"): Response.json(models),
        ("POST", "/api/v1/models/unload"): Response.json({"instance_id": "x"}),
    }
    with lmstudio_server(routes=routes) as server:
        connect("lmstudio", base_url=server.base_url).unload("qwen3")
        sent = [request.json() for request in server.asked("/api/v1/models/unload")]
    assert sent == [{"instance_id": "qwen3"}, {"instance_id": "qwen3:2"}]
