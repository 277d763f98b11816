"""Each option on each server: the exact field it becomes, or a refusal that names the server. Never silence."""

from __future__ import annotations

from typing import Any

import pytest
from vessel_core.backends import BACKENDS, LLAMACPP, LMSTUDIO, OLLAMA, Backend, find_backend
from vessel_core.errors import InvalidRequest, Unsupported
from vessel_core.options import OPTION_NAMES, ChatOptions
from vessel_core.request import checked_options, refuse_unsupported

from tests.core.driving import Connect, Tap
from tests.core.wire.play import HELLO, WEATHER, ask, body_of
from tests.fake_server import Response, llamacpp_server, lmstudio_server, ollama_server, openai_server, transcript

VALUES: dict[str, Any] = {
    "max_tokens": 50,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 40,
    "min_p": 0.05,
    "typical_p": 0.9,
    "seed": 7,
    "stop": ["x"],
    "presence_penalty": 0.1,
    "frequency_penalty": 0.2,
    "repeat_penalty": 1.1,
    "repeat_last_n": 64,
    "logit_bias": {"15": -100.0},
    "logprobs": True,
    "top_logprobs": 3,
    "n": 2,
    "reasoning": False,
    "strict": True,
    "top_n_sigma": 1.0,
    "xtc_probability": 0.5,
    "xtc_threshold": 0.1,
    "dynatemp_range": 0.5,
    "dynatemp_exponent": 1.0,
    "dry_multiplier": 0.8,
    "dry_base": 1.75,
    "dry_allowed_length": 2,
    "dry_penalty_last_n": 64,
    "dry_sequence_breakers": ["\n"],
    "mirostat": 2,
    "mirostat_tau": 5.0,
    "mirostat_eta": 0.1,
    "adaptive_target": 0.5,
    "adaptive_decay": 0.9,
    "samplers": ["top_k", "temperature"],
    "min_keep": 1,
    "ignore_eos": True,
    "grammar": 'root ::= "a"',
    "cache_prompt": False,
    "cache_reuse": 256,
    "id_slot": 0,
    "lora": {0: 0.5, 1: 0.0},
    "num_keep": 4,
    "num_discard": 8,
    "max_predict_ms": 5000,
    "chat_template_kwargs": {"a": 1},
    "reasoning_format": "none",
    "reasoning_budget_tokens": 64,
    "reasoning_budget_message": "Enough.",
    "continue_final_message": True,
    "add_generation_prompt": False,
    "return_progress": True,
    "timings_per_token": True,
    "num_ctx": 8192,
    "keep_alive": "5m",
    "num_batch": 256,
    "num_gpu": 20,
    "main_gpu": 0,
    "use_mmap": True,
    "num_thread": 4,
    "draft_num_predict": 5,
    "truncate": False,
    "shift": False,
    "ttl": 300,
    "draft_model": "small",
}
BASIC = {"max_tokens", "temperature", "top_p", "seed", "stop", "presence_penalty", "frequency_penalty"}
OF_OPENAI = {*BASIC, "logit_bias", "logprobs", "top_logprobs", "n", "reasoning", "strict"}
OF_LM_STUDIO = {*BASIC, "top_k", "repeat_penalty", "logit_bias", "ttl", "draft_model", "reasoning", "strict"}
MAYBE_LM_STUDIO = {"min_p", "logprobs", "top_logprobs", "n"}
OF_OLLAMA_ALONE = {"num_ctx", "keep_alive", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread"} | {
    *("draft_num_predict", "truncate", "shift")
}
OF_OLLAMA = {
    *(BASIC | OF_OLLAMA_ALONE),
    *("top_k", "min_p", "typical_p", "repeat_penalty", "repeat_last_n", "num_keep", "logprobs", "top_logprobs"),
    *("reasoning", "strict"),
}
OF_LLAMACPP = OPTION_NAMES - OF_OLLAMA_ALONE - {"ttl", "draft_model"}
OF_VLLM = (
    OF_OPENAI
    | {"top_k", "min_p", "repeat_penalty", "chat_template_kwargs"}
    | {*("continue_final_message", "add_generation_prompt")}
)

GOING_ON = {"continue_final_message": True, "add_generation_prompt": False}
OWN_NAMES: dict[str, dict[str, dict[str, Any]]] = {
    "llamacpp": {
        "continue_final_message": GOING_ON,
        "num_keep": {"n_keep": 4},
        "num_discard": {"n_discard": 8},
        "cache_reuse": {"n_cache_reuse": 256},
        "max_predict_ms": {"t_max_predict_ms": 5000},
        "lora": {"lora": [{"id": 0, "scale": 0.5}, {"id": 1, "scale": 0.0}]},
        "reasoning": {"chat_template_kwargs": {"enable_thinking": False}},
        "strict": {},
    },
    "lmstudio": {"reasoning": {"reasoning_effort": "none"}, "strict": {}},
    "ollama": {
        "max_tokens": {"options": {"num_predict": 50}},
        "keep_alive": {"keep_alive": "5m"},
        "truncate": {"truncate": False},
        "shift": {"shift": False},
        "logprobs": {"logprobs": True},
        "top_logprobs": {"top_logprobs": 3},
        "reasoning": {"think": False},
        "strict": {"truncate": False},
    },
    "vllm": {
        "continue_final_message": GOING_ON,
        "repeat_penalty": {"repetition_penalty": 1.1},
        "reasoning": {"chat_template_kwargs": {"enable_thinking": False}},
        "strict": {},
    },
}
TAKEN = {"llamacpp": OF_LLAMACPP, "lmstudio": OF_LM_STUDIO | MAYBE_LM_STUDIO, "ollama": OF_OLLAMA, "vllm": OF_VLLM}


def added(backend: Backend, name: str) -> dict[str, Any]:
    """Return what an option adds to the body of a chat on a server; raise what refuses it."""
    options: Any = {name: VALUES[name]}
    refuse_unsupported(options, backend.title, backend.quirks)
    plain = body_of(backend.dialect.encode_chat(ask(), backend.quirks))
    body = body_of(backend.dialect.encode_chat(ask(options=options), backend.quirks))
    assert plain.items() <= body.items()
    return {field: value for field, value in body.items() if field not in plain}


def test_every_option_has_a_value_here_that_it_takes() -> None:
    assert set(VALUES) == OPTION_NAMES
    assert checked_options(VALUES) == VALUES


@pytest.mark.parametrize("name", sorted(OPTION_NAMES))
@pytest.mark.parametrize("server", sorted(TAKEN))
def test_an_option_becomes_the_servers_own_field_or_is_refused_by_its_name(server: str, name: str) -> None:
    backend = find_backend(server)
    if name not in TAKEN[server]:
        with pytest.raises(Unsupported, match=f"{backend.title} has no option '{name}'") as refused:
            added(backend, name)
        assert ("{'options': {" in str(refused.value)) is (server == "ollama")
        return
    same = {"options": {name: VALUES[name]}} if server == "ollama" else {name: VALUES[name]}
    assert added(backend, name) == OWN_NAMES[server].get(name, same)


@pytest.mark.parametrize("backend", [one for one in BACKENDS if one.name not in TAKEN], ids=lambda one: one.name)
def test_any_other_server_is_sent_what_is_not_known_to_be_anothers(backend: Backend) -> None:
    written_otherwise = {"lora", "reasoning", "strict", "continue_final_message"}
    for name in sorted(OPTION_NAMES - OF_OLLAMA_ALONE - written_otherwise - backend.quirks.refused):
        assert list(added(backend, name).values()) == [VALUES[name]], name
    assert backend.quirks.refused >= OF_OLLAMA_ALONE
    assert not backend.quirks.refused & OF_OPENAI


def test_all_options_of_a_server_go_into_one_body(connect: Connect, tapped: Tap) -> None:
    """The real server takes every one of them at once."""
    options = {name: VALUES[name] for name in OF_LLAMACPP - {"grammar", "lora", "n", "continue_final_message"}}
    options |= {"max_tokens": 5, "reasoning_format": "auto", "add_generation_prompt": True, "ignore_eos": False}
    reply = connect(base_url=tapped.base_url).chat([HELLO], **options)
    assert reply.finish in ("length", "stop")
    sent = tapped.sent()
    assert (sent["dry_base"], sent["n_keep"], sent["samplers"]) == (1.75, 4, ["top_k", "temperature"])
    assert sent["chat_template_kwargs"] == {"a": 1, "enable_thinking": False}


def test_a_grammar_binds_the_answer_of_the_real_server(connect: Connect, tapped: Tap) -> None:
    client = connect(base_url=tapped.base_url)
    assert client.chat([HELLO], grammar='root ::= "yes" | "no"', seed=1).text in ("yes", "no")
    others: list[Any] = [{"tools": [WEATHER]}, {"response_format": {"type": "json_object"}}]
    for other in others:
        with pytest.raises(InvalidRequest, match="exclude each other"):
            client.chat([HELLO], grammar='root ::= "yes"', **other)


def test_logprobs_of_the_real_server_come_for_top_logprobs_alone(connect: Connect, tapped: Tap) -> None:
    reply = connect(base_url=tapped.base_url).chat([HELLO], top_logprobs=2, max_tokens=3)
    assert reply.logprobs is not None
    assert len(reply.logprobs[0]["top_logprobs"]) == 2


def test_one_choice_is_what_a_server_without_the_option_gives(connect: Connect) -> None:
    with ollama_server(transcript("ollama/text.ndjson")) as server:
        connect("ollama", base_url=server.base_url).chat([HELLO], n=1)
        assert "options" not in server.asked("/api/chat")[0].json()


def test_the_refusal_says_how_to_send_it_all_the_same(connect: Connect) -> None:
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        client = connect(base_url=server.base_url)
        with pytest.raises(Unsupported, match=r"extra_body=\{'num_ctx': …\}"):
            client.chat([HELLO], num_ctx=4096)
        client.chat([HELLO], extra_body={"num_ctx": 4096})
        assert [request.json()["num_ctx"] for request in server.asked("/v1/chat/completions")] == [4096]


def test_ollamas_runner_options_stay_the_same_from_call_to_call(connect: Connect) -> None:
    """Another value, or none after one, would load the model anew."""
    with ollama_server(transcript("ollama/text.ndjson")) as server:
        server.routes["POST", "/api/generate"] = Response.json({"response": "b", "done": True})
        client = connect("ollama", base_url=server.base_url, model="qwen3:8b")
        client.chat([HELLO], num_ctx=8192, num_gpu=20, shift=False)
        client.chat([HELLO], temperature=0.0)
        client.embed(["a"])
        client.complete("a")
        asked = (server.asked("/api/chat")[1], server.asked("/api/embed")[0], server.asked("/api/generate")[0])
        later = [request.json() for request in asked]
    assert later[0]["options"] == {"temperature": 0.0, "num_ctx": 8192, "num_gpu": 20}
    assert later[1]["options"] == later[2]["options"] == {"num_ctx": 8192, "num_gpu": 20}
    assert [body["shift"] for body in later] == [False, False, False]


def test_shift_in_an_extra_body_stays_the_same_from_call_to_call_too(connect: Connect) -> None:
    with ollama_server(transcript("ollama/text.ndjson")) as server:
        client = connect("ollama", base_url=server.base_url, model="qwen3:8b")
        client.chat([HELLO], extra_body={"shift": False, "num_gpu": 20})
        client.chat([HELLO])
        first, later = (request.json() for request in server.asked("/api/chat"))
    assert (first["shift"], first["num_gpu"], later["shift"]) == (False, 20, False)
    assert "options" not in later  # beside them Ollama reads no `num_gpu`


def test_variables_of_the_template_in_an_extra_body_stand_beside_ours(connect: Connect) -> None:
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        client = connect(base_url=server.base_url, model="m")
        client.chat([HELLO], reasoning=False, extra_body={"chat_template_kwargs": {"a": 1}})
        client.chat([HELLO], reasoning=False, extra_body={"chat_template_kwargs": {"enable_thinking": True}})
        sent = [request.json()["chat_template_kwargs"] for request in server.asked("/v1/chat/completions")]
    assert sent == [{"enable_thinking": False, "a": 1}, {"enable_thinking": True}]


def test_an_option_that_a_server_has_not_got_is_refused_for_a_completion_too(connect: Connect) -> None:
    with lmstudio_server() as server:
        with pytest.raises(Unsupported, match="LM Studio has no option 'num_ctx'"):
            connect("lmstudio", base_url=server.base_url, model="x").complete("a", num_ctx=8192)
        assert server.asked("/v1/completions") == []


def test_an_unlisted_option_goes_under_ollamas_options_if_the_refusal_is_switched_off() -> None:
    options: ChatOptions = {"mirostat": 2}
    quirks = type(OLLAMA.quirks)(takes=OLLAMA.quirks.takes, refused=frozenset())
    assert body_of(OLLAMA.dialect.encode_chat(ask(options=options), quirks))["options"] == {"mirostat": 2}


@pytest.mark.parametrize(
    ("backend", "options", "body"),
    [
        (OLLAMA, {"truncate": True, "keep_alive": 0}, {"truncate": True, "keep_alive": 0}),
        (OLLAMA, {"num_ctx": 2048}, {"truncate": False, "options": {"num_ctx": 2048}}),
        (LMSTUDIO, {"ttl": 60}, {"ttl": 60}),
        (LLAMACPP, {"extra_body": {"pooling": "mean"}}, {"pooling": "mean"}),
        (OLLAMA, {"extra_body": {"options": {"x": 1}}, "num_ctx": 5}, {"options": {"num_ctx": 5, "x": 1}}),
    ],
)
def test_an_embedding_request_takes_options_too(backend: Backend, options: Any, body: dict[str, Any]) -> None:
    sent = body_of(backend.dialect.encode_embed(["a"], "m", None, options, backend.quirks))
    assert body.items() <= sent.items()


def test_an_embedding_option_the_server_has_not_got_is_refused(connect: Connect) -> None:
    with openai_server() as server:
        with pytest.raises(Unsupported, match="no option 'truncate'"):
            connect("openai", base_url=server.base_url, model="m").embed(["a"], truncate=True)
        assert server.asked("/v1/embeddings") == []


@pytest.mark.parametrize(("server", "ban"), [("llamacpp", False), ("lmstudio", -100), ("vllm", -100), ("openai", -100)])
def test_a_token_is_banned_in_the_servers_own_words_and_named_by_number_or_text(server: str, ban: Any) -> None:
    options = checked_options({"logit_bias": {5: False, "7": 0, 9: 1.5}})
    backend = find_backend(server)
    body = body_of(backend.dialect.encode_chat(ask(HELLO, options=options), backend.quirks))
    assert body["logit_bias"] == {"5": ban, "7": 0.0, "9": 1.5}
    assert [type(bias) for bias in body["logit_bias"].values()] == [type(ban), float, float]


def test_the_real_server_never_writes_a_token_that_is_banned(connect: Connect, tapped: Tap) -> None:
    client = connect(base_url=tapped.base_url)
    usual = client.chat([HELLO], max_tokens=1, temperature=0, logprobs=True)
    assert usual.logprobs is not None
    token = usual.logprobs[0]["id"]
    banned = client.chat([HELLO], max_tokens=1, temperature=0, logprobs=True, logit_bias={token: False})
    assert tapped.asked("/v1/chat/completions")[-1].json()["logit_bias"] == {str(token): False}
    assert banned.logprobs is not None
    assert banned.logprobs[0]["id"] != token
