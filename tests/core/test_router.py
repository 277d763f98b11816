"""A llama.cpp router, played from what a real one sends; `tests/llama_server` asks the real one the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from vessel_core import Client, Message, Timeout
from vessel_core.errors import BadRequest, InvalidRequest, ModelLoading, ModelNotFound, Unsupported

from tests.core.driving import Connect
from tests.fake_server import LLAMACPP_CAPS, Answer, FakeServer, Request, Response, Routes, llamacpp_server

HELLO: list[Message] = [{"role": "user", "content": "Hello"}]
META = {"vocab_type": 2, "n_ctx": 2048, "n_ctx_train": 32768, "n_embd": 176, "n_params": 591896, "size": 1184864}
ENCODER = META | {"vocab_type": 3, "n_params": 7241732096}
DONE = Response.json({"success": True})
NAMELESS = "model name is missing from the request"


def refusal(said: str, status: int = 400, kind: str = "invalid_request_error") -> Response:
    return Response.json({"error": {"code": status, "message": said, "type": kind}}, status)


#: What the router says for every 404 of its own, whatever the reason.
GONE = refusal("File Not Found", 404, "not_found_error")


def item(name: str, state: str = "unloaded", *flags: str, takes: tuple[str, ...] = ("text",), **more: Any) -> Any:
    arguments = ["/usr/bin/llama-server", "--host", "127.0.0.1", "--port", "0", *flags, "--alias", name]
    return {
        "id": name,
        "aliases": [],
        "tags": [],
        "object": "model",
        "owned_by": "llamacpp",
        "created": 1795835593,
        "status": {"value": state, "args": arguments},
        "source": "models_dir",
        "can_remove": False,
        "architecture": {"input_modalities": list(takes), "output_modalities": ["text"]},
        **more,
    }


def listing(*items: Any) -> Response:
    return Response.json({"data": list(items), "object": "list"})


def props(request: Request) -> Response:
    """Answer as the router for itself, as a model's own server with `?model=`."""
    if "model=" not in request.query:
        return Response.json(
            {"role": "router", "max_instances": 4, "models_autoload": True, "build_info": "b1-7e4c0a9"}
        )
    shown = {"modalities": {"vision": True, "audio": False}, "chat_template": "x", "chat_template_caps": LLAMACPP_CAPS}
    return Response.json(shown)


def router(*items: Any, routes: Routes | None = None) -> FakeServer:
    answers: Routes = {("GET", "/v1/models"): listing(*items), ("GET", "/props"): props, **(routes or {})}
    return llamacpp_server(routes=answers)


CHAT, EYES = item("chat", "loaded", meta=META), item("eyes", takes=("text", "image"))
EMBED, RANK = item("embed", "unloaded", "--embeddings"), item("rank", "loaded", "--reranking", meta=ENCODER)


def test_models_are_listed_with_what_a_router_knows_of_them(connect: Connect) -> None:
    with router(CHAT, EYES, EMBED, RANK) as server:
        chat, eyes, embed, rank = connect(base_url=server.base_url).models()
    assert (chat.state, chat.context_length, chat.parameters) == ("loaded", 2048, "591.9K")
    assert (eyes.state, eyes.capabilities.vision, eyes.capabilities.audio) == ("unloaded", True, None)
    assert (embed.kind, rank.kind, rank.parameters, rank.capabilities.chat) == ("embedding", "rerank", "7.2B", False)


def test_a_loaded_model_is_asked_what_it_can_do_and_no_other_is_loaded_for_it(connect: Connect) -> None:
    with router(CHAT, EYES) as server:
        client = connect(base_url=server.base_url)
        assert client.capabilities("eyes").tools is None
        assert client.capabilities("chat").tools is True
        assert client.model_info("gone").state is None
        assert [request.query for request in server.asked("/props")] == ["model=chat&autoload=false"]


def test_a_router_with_one_model_is_a_router_still(connect: Connect) -> None:
    with router(EYES) as server:
        client = connect(base_url=server.base_url)
        assert client.model_info("nope").id == "nope"
        assert client.model_info("eyes").capabilities.vision is True


def test_what_is_known_of_a_model_grows_when_it_is_loaded(connect: Connect) -> None:
    lists: list[Answer] = [listing(item("chat")), listing(CHAT)]
    with router(routes={("GET", "/v1/models"): lists}) as server:
        client = connect(base_url=server.base_url, model="chat")
        assert client.model_info().context_length is None
        assert client.model_info().context_length == 2048


def test_each_kind_of_work_goes_to_a_model_of_its_kind(connect: Connect) -> None:
    encoder = item("encoder", "loaded", meta=ENCODER)
    routes: Routes = {("POST", "/v1/rerank"): Response.json({"results": [{"index": 0, "relevance_score": 1.0}]})}
    with router(encoder, EMBED, RANK, CHAT, routes=routes) as server:
        client = connect(base_url=server.base_url)
        assert client.model_info().id == "chat"
        client.embed(["a"])
        client.rerank("q", ["a"])
        assert [server.asked(path)[0].json()["model"] for path in ("/v1/embeddings", "/v1/rerank")] == ["embed", "rank"]


def test_every_question_names_a_model(connect: Connect) -> None:
    def answer(request: Request) -> Response:
        named = request.query == "model=a%2Fb%3AQ4" if request.method == "GET" else request.json()["model"] == "a/b:Q4"
        return Response.json({"tokens": [1], "content": "x", "prompt": "x", "input_tokens": 3}) if named else GONE

    asked = ["/tokenize", "/detokenize", "/apply-template", "/v1/chat/completions/input_tokens"]
    lists = Response.json([])
    routes: Routes = {
        **{("POST", path): answer for path in asked},
        **{
            ("GET", path): (lambda r: lists if r.query == "model=a%2Fb%3AQ4" else GONE)
            for path in ("/slots", "/lora-adapters")
        },
        ("GET", "/metrics"): lambda r: Response.text("a 1\n") if r.query == "model=a%2Fb%3AQ4" else GONE,
    }
    with router(item("a/b:Q4", "loaded", meta=META), routes=routes) as server:
        client = connect(base_url=server.base_url)
        assert (client.tokenize("x"), client.detokenize([1]), client.apply_template(HELLO)) == ([1], "x", "x")
        assert (client.count_tokens("x"), client.count_chat_tokens(HELLO)) == (1, 3)
        assert (client.slots(), client.metrics(), client.lora_adapters()) == ([], {"a": 1.0}, [])
        assert client.slots(model="a/b:Q4") == []


def test_a_router_can_not_scale_adapters(connect: Connect) -> None:
    routes: Routes = {
        ("GET", "/lora-adapters"): Response.json([{"id": 0, "scale": 1.0}]),
        ("POST", "/lora-adapters"): refusal(NAMELESS),
    }
    with router(CHAT, routes=routes) as server, pytest.raises(Unsupported, match="lora="):
        connect(base_url=server.base_url).scale_lora({0: 0.5})


def test_models_are_loaded_and_unloaded(connect: Connect) -> None:
    lists: list[Answer] = [
        listing(EYES, CHAT),
        listing(item("eyes", "loading"), CHAT),
        listing(item("eyes", "loaded"), CHAT),
    ]
    routes: Routes = {
        ("GET", "/v1/models"): lists,
        ("POST", "/models/load"): DONE,
        ("POST", "/models/unload"): DONE,
    }
    with router(routes=routes) as server:
        client = connect(base_url=server.base_url)
        assert [(model.id, model.state) for model in client.models()] == [("eyes", "unloaded"), ("chat", "loaded")]
        assert [one.status for one in client.load("eyes")] == ["loading", "loaded"]
        client.unload("eyes")
        assert server.asked("/models/load")[0].json() == server.asked("/models/unload")[0].json() == {"model": "eyes"}


def test_a_model_that_fails_to_load_is_an_error(connect: Connect) -> None:
    failed = item("bad") | {"status": {"value": "unloaded", "failed": True, "exit_code": 1}}
    with router(failed, CHAT, routes={("POST", "/models/load"): DONE}) as server:
        with pytest.raises(ModelLoading, match=r"exit code 1[\s\S]*log"):
            list(connect(base_url=server.base_url).load("bad"))


def test_a_model_is_waited_for_as_long_as_the_client_says(connect: Connect) -> None:
    with router(item("slow", "loading"), CHAT, routes={("POST", "/models/load"): DONE}) as server:
        client = connect(base_url=server.base_url, timeout=Timeout(load=0.3))
        with pytest.raises(ModelLoading, match=r"within 0\.3 s"):
            list(client.load("slow"))


def load(client: Client, model: str) -> list[str]:
    return [step.status for step in client.load(model)]


def unload(client: Client, model: str) -> list[str]:
    client.unload(model)
    return ["loaded"]


Move = Callable[[Client, str], list[str]]


@pytest.mark.parametrize(
    ("move", "answer"),
    [(load, GONE), (load, refusal("model 'nope' not found")), (unload, refusal("model is not found")), (unload, GONE)],
)
def test_a_model_that_a_router_has_not_is_told_from_a_server_that_is_none(
    connect: Connect, move: Move, answer: Response
) -> None:
    routes: Routes = {("POST", "/models/load"): answer, ("POST", "/models/unload"): answer}
    with router(CHAT, EYES, routes=routes) as server:
        with pytest.raises(ModelNotFound, match=r"no model .nope. on this server[\s\S]*chat.*eyes"):
            move(connect(base_url=server.base_url), "nope")
    if answer is GONE:
        with llamacpp_server() as server, pytest.raises(Unsupported, match=r"one model[\s\S]*--models-dir"):
            move(connect(base_url=server.base_url), "nope")


@pytest.mark.parametrize("move", [load, unload])
def test_a_refusal_is_heard_and_what_is_done_already_is_fine(connect: Connect, move: Move) -> None:
    def answer(request: Request) -> Response:
        state = "already running" if move is load else "not running"
        return refusal(f"model is {state}" if request.json()["model"] == "chat" else "out of memory")

    with router(CHAT, routes={("POST", "/models/load"): answer, ("POST", "/models/unload"): answer}) as server:
        client = connect(base_url=server.base_url)
        assert move(client, "chat") == ["loaded"]
        with pytest.raises(BadRequest, match="out of memory"):
            move(client, "other")


def test_a_model_that_is_there_but_not_loaded_is_said_to_be_so(connect: Connect) -> None:
    routes: Routes = {("POST", "/v1/chat/completions"): refusal("model is not loaded")}
    with router(CHAT, EYES, routes=routes) as server:
        with pytest.raises(ModelNotFound, match=r"is not loaded[\s\S]*`load\('eyes'\)`") as caught:
            connect(base_url=server.base_url).chat(HELLO, model="eyes")
        assert caught.value.nearest == ()


def test_a_router_loads_no_model_with_options_of_the_call(connect: Connect) -> None:
    with router(EYES, CHAT, routes={("POST", "/models/load"): DONE}) as server:
        for options in ({"num_ctx": 4096}, {"foo": 1}):
            with pytest.raises(InvalidRequest, match=f"with an option '{next(iter(options))}'"):
                list(connect(base_url=server.base_url).load("eyes", **options))
        assert server.asked("/models/load") == []
        list(connect(base_url=server.base_url).load("chat", extra_body={"foo": 1}))
        assert server.asked("/models/load")[0].json() == {"model": "chat", "foo": 1}


def test_a_router_is_ready_once_the_named_model_is_loaded(connect: Connect) -> None:
    lists: list[Answer] = [listing(item("eyes", state), CHAT) for state in ("unloaded", "loading", "loaded")]
    with router(routes={("GET", "/v1/models"): lists, ("POST", "/models/load"): DONE}) as server:
        client = connect("llamacpp", base_url=server.base_url, model="eyes")
        assert [step.status for step in client.wait_until_ready(5)] == ["loading", "loaded", "ready"]
        assert len(server.asked("/models/load")) == 1


def test_a_model_that_a_router_loads_already_is_only_waited_for(connect: Connect) -> None:
    lists: list[Answer] = [listing(item("eyes", state), CHAT) for state in ("loading", "loading", "loaded")]
    with router(routes={("GET", "/v1/models"): lists}) as server:
        client = connect("llamacpp", base_url=server.base_url, model="eyes")
        assert [step.status for step in client.wait_until_ready(5)] == ["the model is loading"] * 2 + ["ready"]
        assert server.asked("/models/load") == []
    with router(item("eyes", "loading"), CHAT) as server, pytest.raises(ModelLoading, match="'eyes' is still loading"):
        list(connect("llamacpp", base_url=server.base_url, model="eyes").wait_until_ready(0.2))


def test_a_model_that_sleeps_is_ready(connect: Connect) -> None:
    with router(item("eyes", "sleeping"), CHAT) as server:
        client = connect("llamacpp", base_url=server.base_url, model="eyes")
        assert [step.status for step in client.wait_until_ready(5)] == ["ready"]
