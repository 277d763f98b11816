"""What only some servers have: llama.cpp's slots, metrics, adapters and tokens on the real one, the rest scripted."""

from __future__ import annotations

import pickle
from typing import Any, cast

import pytest
from vessel_core.backends import BACKENDS, OLLAMA, find_backend, lmstudio_features
from vessel_core.backends.base import find_model, get_json, items, same_model, try_json
from vessel_core.errors import (
    AuthFailed,
    BadRequest,
    InvalidConfig,
    InvalidMedia,
    InvalidRequest,
    ProtocolError,
    ServerError,
    StreamInterrupted,
    Unsupported,
)
from vessel_core.local import LocalServer
from vessel_core.types import ModelInfo
from vessel_core.wire import Reply
from vessel_core.wire.reading import reasoning_of

from tests.core.driving import Connect, Tap
from tests.core.wire.play import HELLO, event
from tests.fake_server import (
    NDJSON,
    Response,
    Routes,
    llamacpp_server,
    lmstudio_server,
    ollama_server,
    openai_server,
    transcript,
)


def test_slots_metrics_adapters_and_tokens_of_the_real_server(connect: Connect, tapped: Tap) -> None:
    client = connect(base_url=tapped.base_url)
    client.chat([HELLO], max_tokens=3)
    assert {slot["id"] for slot in client.slots()} == {0, 1, 2, 3}
    assert client.metrics()["llamacpp:tokens_predicted_total"] >= 3
    assert client.lora_adapters() == []
    tokens = client.tokenize("Hello there")
    assert client.detokenize(tokens).strip() == "Hello there"
    assert tapped.asked("/tokenize")[0].json() == {"content": "Hello there", "add_special": False, "model": "demo-chat"}
    assert client.tokenize("", model="demo-chat") == []


def test_adapters_are_listed_and_scaled(connect: Connect, lora_server: LocalServer) -> None:
    client = connect(base_url=lora_server.base_url)
    (adapter,) = client.lora_adapters()
    assert (adapter["id"], adapter["path"].rpartition("/")[2], adapter["scale"]) == (0, "shouting.gguf", 0.0)
    assert "!" not in client.chat([HELLO], max_tokens=4).text
    client.scale_lora({0: 1.0})
    try:
        assert client.lora_adapters()[0]["scale"] == 1.0
        assert client.chat([HELLO], max_tokens=4).text == "!!!!"
    finally:
        client.scale_lora({0: 0.0})
    assert "!" not in client.chat([HELLO], max_tokens=4).text
    with pytest.raises(InvalidRequest, match="No LoRA scale"):
        client.scale_lora({})
    with pytest.raises(InvalidRequest, match=r"no LoRA adapter 99; its ids are \[0\]"):
        client.scale_lora({99: 1.0})


def test_one_request_scales_an_adapter_for_itself(connect: Connect, lora_server: LocalServer) -> None:
    client = connect(base_url=lora_server.base_url)
    assert client.chat([HELLO], max_tokens=4, lora={0: 1.0}).text == "!!!!"
    assert "!" not in client.chat([HELLO], max_tokens=4).text


def test_what_a_slot_has_read_is_kept_in_a_file_and_put_back(connect: Connect, lora_server: LocalServer) -> None:
    client = connect(base_url=lora_server.base_url)
    read = client.chat([HELLO], max_tokens=2, id_slot=1).usage
    saved = client.save_slot(1, "hello.bin")
    assert read is not None
    assert (saved["id_slot"], saved["filename"], saved["n_saved"]) == (1, "hello.bin", read.total_tokens - 1)
    assert client.erase_slot(1)["n_erased"] == saved["n_saved"]
    assert client.erase_slot(1)["n_erased"] == 0
    assert client.restore_slot(1, "hello.bin")["n_restored"] == saved["n_saved"]
    assert client.erase_slot(1)["n_erased"] == saved["n_saved"]
    with pytest.raises(BadRequest, match="Invalid filename"):
        client.save_slot(1, "../hello.bin")
    for slot in (-1, 1.5, "../1"):
        with pytest.raises(InvalidRequest, match="is not the number of a slot"):
            client.erase_slot(cast("Any", slot))
    with pytest.raises(BadRequest, match="Unable to restore slot"):
        client.restore_slot(1, "nobody.bin")


def test_the_slots_of_a_router_are_those_of_a_model(connect: Connect) -> None:
    said = Response.json({"id_slot": 0, "n_erased": 3})
    with llamacpp_server(routes={("POST", "/slots/0"): said}) as server:
        client = connect(base_url=server.base_url)
        assert client.erase_slot(0, model="b")["n_erased"] == 3
        client.save_slot(0, "a.bin", model="b")
        client.restore_slot(0, "a.bin")
        asked = [(request.query, request.json()) for request in server.asked("/slots/0")]
    assert asked == [
        ("action=erase", {"model": "b"}),
        ("action=save", {"model": "b", "filename": "a.bin"}),
        ("action=restore", {"model": "plain.gguf", "filename": "a.bin"}),
    ]


def test_what_a_server_was_started_without_is_unsupported(connect: Connect) -> None:
    off = Response.json(
        {"error": {"code": 501, "message": "Start it with `--metrics`", "type": "not_supported_error"}}, 501
    )
    adapters = Response.json([{"id": 0, "scale": 1.0}])
    routes: Routes = {
        ("GET", "/metrics"): off,
        ("GET", "/lora-adapters"): adapters,
        ("POST", "/lora-adapters"): off,
        ("POST", "/slots/0"): off,
    }
    with llamacpp_server(routes=routes) as server:
        client = connect(base_url=server.base_url)
        for ask in (client.metrics, lambda: client.scale_lora({0: 1.0}), lambda: client.erase_slot(0)):
            with pytest.raises(Unsupported):
                ask()


@pytest.mark.parametrize("said", [["x"], [[]], [None], [-1], "12", {"a": 1}, 5])
def test_what_is_no_token_id_and_no_metric_is_told(connect: Connect, said: Any) -> None:
    routes: Routes = {
        ("POST", "/tokenize"): Response.json({"tokens": said}),
        ("GET", "/metrics"): Response.json({"metrics": said}),
    }
    with llamacpp_server(routes=routes) as server:
        client = connect(base_url=server.base_url)
        with pytest.raises(ProtocolError, match="no token id"):
            client.tokenize("Hello")
        with pytest.raises(ProtocolError, match="no metrics"):
            client.metrics()


def test_an_older_lm_studio_says_how_it_loads_models(connect: Connect) -> None:
    with lmstudio_server() as server:
        client = connect("lmstudio", base_url=server.base_url)
        for ask in (lambda: list(client.load("m")), lambda: client.unload("m"), lambda: list(client.pull("m"))):
            with pytest.raises(Unsupported, match=r"since 0\.4\.0[\s\S]*`lms load`"):
                ask()


def test_a_model_of_ollamas_cloud_says_where_to_sign_in(connect: Connect) -> None:
    wanted = Response.json({"error": "unauthorized", "signin_url": "https://ollama.example/connect?key=x"}, 401)
    with ollama_server(wanted) as server:
        with pytest.raises(AuthFailed, match=r"`ollama signin`, or https://ollama\.example/connect"):
            connect("ollama", base_url=server.base_url, model="big-cloud").chat([HELLO])


def test_quirk_12_half_a_line_at_the_end_of_a_pull_is_a_cut(connect: Connect) -> None:
    half = Response.stream(b'{"status":"pulling manifest"}\n{"sta', content_type=NDJSON)
    whole = Response.stream(b'{"status":"success"}\n{"sta', content_type=NDJSON)
    with ollama_server(routes={("POST", "/api/pull"): [half, whole]}) as server:
        client = connect("ollama", base_url=server.base_url)
        with pytest.raises(StreamInterrupted, match="pulling manifest"):
            list(client.pull("m"))
        assert [progress.status for progress in client.pull("m")] == ["success"]


@pytest.mark.parametrize(("error", "said"), [({"error": "disk full"}, "disk full"), ({}, "no reason was given")])
def test_a_download_that_fails_says_why(connect: Connect, error: dict[str, str], said: str) -> None:
    job = Response.json({"job_id": "1", "status": "failed", **error})
    with lmstudio_server(routes={("POST", "/api/v1/models/download"): job}) as server:
        with pytest.raises(ServerError, match=said):
            list(connect("lmstudio", base_url=server.base_url).pull("m"))


@pytest.mark.parametrize("state", ["verifying", "", None, 7])
def test_a_download_in_a_state_that_is_not_known_is_not_asked_about_for_ever(
    connect: Connect, state: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lmstudio_features, "POLL", 0.0)
    job: dict[str, Any] = {"job_id": "1", "status": "paused"}
    states = [{**job, "status": "downloading"}, {**job, "status": state}]
    routes: Routes = {
        ("POST", "/api/v1/models/download"): Response.json(job),
        ("GET", "/api/v1/models/download/status/1"): [Response.json(each) for each in states],
    }
    with lmstudio_server(routes=routes) as server:
        with pytest.raises(ProtocolError, match=f"{state if state == 'verifying' else ''}' of the download of 'm'"):
            list(connect("lmstudio", base_url=server.base_url).pull("m"))
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("options", "body"),
    [({}, {}), ({"num_ctx": 8192}, {"options": {"num_ctx": 8192}}), ({"keep_alive": -1}, {"keep_alive": -1})],
)
def test_ollama_loads_a_model_with_its_options(connect: Connect, options: dict[str, Any], body: dict[str, Any]) -> None:
    loaded = Response.json({"model": "m", "done": True, "done_reason": "load"})
    with ollama_server(routes={("POST", "/api/chat"): loaded}) as server:
        steps = [step.status for step in connect("ollama", base_url=server.base_url).load("m", **options)]
        assert server.asked("/api/chat")[0].json() == {"model": "m", "messages": [], "stream": False, **body}
    assert steps == ["loading", "loaded"]


@pytest.mark.parametrize(
    ("details", "capabilities", "kind"),
    [
        ({"family": "qwen3"}, ["completion"], "chat"),
        ({"family": "nomic-bert"}, ["embedding"], "embedding"),
        ({"family": "nomic-bert"}, [], "embedding"),
        ({"family": "qwen3"}, [], None),
        ({}, ["completion", "embedding"], "chat"),
    ],
)
def test_ollamas_models_are_of_a_kind(
    connect: Connect, details: dict[str, Any], capabilities: list[str], kind: str | None
) -> None:
    tags = Response.json({"models": [{"name": "m", "details": details, "capabilities": capabilities}]})
    with ollama_server(routes={("GET", "/api/tags"): tags}) as server:
        assert connect("ollama", base_url=server.base_url).models()[0].kind == kind


def test_ollamas_list_needs_no_list_of_what_runs(connect: Connect) -> None:
    with ollama_server(routes={("GET", "/api/ps"): Response.text("404 page not found", 404)}) as server:
        assert [model.state for model in connect("ollama", base_url=server.base_url).models()] == ["unloaded"]


def test_an_older_lm_studio_is_asked_the_older_way(connect: Connect) -> None:
    missing = Response.json({"error": "not found"}, 404)
    with lmstudio_server(routes={("GET", "/api/v1/models"): missing, ("GET", "/api/v0/models"): missing}) as server:
        assert [model.id for model in connect("lmstudio", base_url=server.base_url).models()] == [
            "google/gemma-4-26b-a4b"
        ]


def test_ranking_by_v1_is_there_for_any_server(connect: Connect) -> None:
    ranking = Response.json({"results": [{"index": 1, "relevance_score": 2.0}, {"index": 0, "relevance_score": 1.0}]})
    with openai_server(routes={("POST", "/v1/rerank"): ranking}) as server:
        ranked = connect("openai", base_url=server.base_url, model="m").rerank("q", ["a", "b"])
    assert [one.index for one in ranked] == [1, 0]


def test_what_a_server_can_not_do_is_refused_by_name(connect: Connect) -> None:
    with ollama_server() as server:
        client = connect("ollama", base_url=server.base_url)
        with pytest.raises(Unsupported, match="Ollama can't rank documents"):
            client.rerank("q", ["a"])
        assert server.requests == []


def test_ollama_takes_no_sound(connect: Connect) -> None:
    sound: Any = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    with ollama_server() as server:
        with pytest.raises(InvalidMedia, match="no audio"):
            connect("ollama", base_url=server.base_url, model="m").chat([{"role": "user", "content": [sound]}])


def test_the_real_server_refuses_sound_for_a_model_without_ears(connect: Connect, chat_server: LocalServer) -> None:
    sound: Any = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    with pytest.raises(Unsupported, match="audio"):
        connect(base_url=chat_server.base_url).chat([{"role": "user", "content": [sound]}])


# ------------------------------------------------------------------------------------------------------------- rows


def test_a_row_of_the_table_stays_itself_in_a_pickle() -> None:
    assert all(pickle.loads(pickle.dumps(backend)) is backend for backend in BACKENDS)


def test_a_name_that_no_server_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidConfig, match="no backend 'nonsense'"):
        find_backend("nonsense")


def test_a_model_is_found_by_name_as_the_server_means_it() -> None:
    models = [ModelInfo("a", state="unloaded"), ModelInfo("B:latest", state="loaded")]
    assert find_model(models, "b") is models[1]
    assert find_model(models, None) is models[1]
    assert find_model(models, "c") == ModelInfo("c")
    assert find_model([], None) == ModelInfo("")
    assert same_model("Qwen3", "qwen3:LATEST")


def test_a_document_that_is_a_list_is_put_into_one() -> None:
    flow = get_json("/slots")
    next(flow)
    with pytest.raises(StopIteration) as stopped:
        flow.send(Reply(200, body=b'[{"id": 0}]'))
    assert items(stopped.value.value, "data") == [{"id": 0}]
    trying = try_json("/props")
    next(trying)
    with pytest.raises(StopIteration) as stopped:
        trying.throw(Unsupported("no"))
    assert stopped.value.value == {}
    assert OLLAMA.feature("pull", "fetch") is OLLAMA.features["pull"]


def test_a_picture_or_a_sound_is_not_sent_to_a_model_known_to_take_none(connect: Connect) -> None:
    picture: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    sound: Any = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        client = connect(base_url=server.base_url)
        assert (client.capabilities().vision, client.capabilities().audio) == (False, False)
        for part, what in ((picture, "pictures"), (sound, "audio")):
            with pytest.raises(Unsupported, match=f"takes no {what}") as caught:
                client.chat([{"role": "user", "content": [part]}])
            assert "--mmproj" in str(caught.value)
        assert server.asked("/v1/chat/completions") == []


def test_a_model_of_ollama_gets_no_advice_that_is_llama_cpps(connect: Connect) -> None:
    picture: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    sound: Any = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    with ollama_server() as server:
        client = connect("ollama", base_url=server.base_url)
        client.capabilities()
        for part, advice in (
            (picture, r"takes no pictures[^\n]*\nUse one that does\.$"),
            (sound, "server that hands audio on"),
        ):
            with pytest.raises(Unsupported, match=advice) as caught:
                client.chat([{"role": "user", "content": [part]}])
            assert "--mmproj" not in str(caught.value)
        with pytest.raises(InvalidMedia, match=r"takes no audio[\s\S]*server that hands audio on"):
            connect("ollama", base_url=server.base_url, model="other").chat([{"role": "user", "content": [sound]}])
        assert server.asked("/api/chat") == []


@pytest.mark.parametrize("backend", ["vllm", "sglang", "mlx", "textgen"])
def test_a_repeat_penalty_has_the_name_the_server_reads(connect: Connect, backend: str) -> None:
    with openai_server(transcript("llamacpp/text.sse")) as server:
        connect(backend, base_url=server.base_url, model="demo").chat([HELLO], repeat_penalty=1.2)
        body = server.asked("/v1/chat/completions")[0].json()
    assert (body["repetition_penalty"], "repeat_penalty" in body) == (1.2, False)


def test_an_older_llama_server_counts_a_chat_by_its_prompt_or_it_is_estimated(connect: Connect) -> None:
    missing = Response.json({"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}, 404)
    routes: Routes = {("POST", "/v1/chat/completions/input_tokens"): missing}
    with llamacpp_server(routes=routes) as server:
        client = connect(base_url=server.base_url)
        assert not client.count_chat_tokens([HELLO]).exact
        server.routes["POST", "/apply-template"] = Response.json({"prompt": "<user>Hello"})
        server.routes["POST", "/tokenize"] = Response.json({"tokens": [1, 2, 3]})
        counted = client.count_chat_tokens([HELLO])
        assert (counted, counted.exact) == (3, True)
        assert server.asked("/tokenize")[0].json()["content"] == "<user>Hello"


def test_quirk_43_zeros_are_no_usage(connect: Connect) -> None:
    with lmstudio_server(embedding_models=["e"]) as server:
        assert connect("lmstudio", base_url=server.base_url).embed(["a"]).usage is None


def test_quirk_74_a_summary_of_the_reasoning_is_reasoning() -> None:
    assert reasoning_of({"reasoning_details": [{"type": "reasoning.summary", "summary": "Okay"}]}) == "Okay"


def test_log_probabilities_of_a_completion_are_read_from_parallel_lists_too(connect: Connect) -> None:
    lists = {"tokens": ["a"], "token_logprobs": [-0.1], "top_logprobs": [{"a": -0.1, "b": -2.0}], "text_offset": [0]}
    chunk = event({"choices": [{"index": 0, "text": "a", "logprobs": lists, "finish_reason": "stop"}]})
    routes: Routes = {("POST", "/v1/completions"): Response.stream(chunk)}
    with openai_server(routes=routes) as server:
        reply = connect("vllm", base_url=server.base_url, model="m").complete("x", logprobs=True)
    tops = [{"token": "a", "logprob": -0.1}, {"token": "b", "logprob": -2.0}]
    assert reply.logprobs == [{"token": "a", "logprob": -0.1, "top_logprobs": tops}]


def test_quirk_27_an_exception_that_comes_as_404_is_sent_once(connect: Connect) -> None:
    failed = Response.json({"error": "'NoneType' object is not subscriptable"}, 404)
    with openai_server(failed) as server:
        with pytest.raises(Unsupported, match="NoneType"):
            connect("mlx", base_url=server.base_url, model="m", max_retries=3).chat([HELLO])
        assert len(server.asked("/v1/chat/completions")) == 1


@pytest.mark.parametrize(("build", "version"), [("b1234-abcdef0", "b1234-abcdef0"), ("b0-unknown", None), (7, None)])
def test_a_build_that_was_given_no_name_has_no_version(connect: Connect, build: object, version: str | None) -> None:
    with llamacpp_server(routes={("GET", "/props"): Response.json({"build_info": build})}) as server:
        assert connect(base_url=server.base_url).info().version == version
