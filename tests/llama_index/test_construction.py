"""What the three classes take, refuse, keep and leave out; nothing of it needs a server."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager
from llama_index.embeddings.vessel import VesselEmbedding
from llama_index.llms.vessel import Vessel
from llama_index.postprocessor.vessel import VesselRerank
from pydantic import SecretStr, ValidationError
from vessel_core import Timeout
from vessel_core.errors import InvalidConfig, InvalidRequest

from tests.fake_server import ollama_server, openai_server
from tests.llama_index.conformance import OLLAMA
from tests.llama_index.conformance.answers import answer
from tests.llama_index.scripted import scripted, sent

CLASSES: list[Callable[..., Any]] = [Vessel, VesselEmbedding, VesselRerank]
HELLO = [ChatMessage("Hello")]


@pytest.mark.parametrize("made", CLASSES)
def test_construction_does_no_io(made: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []

    def connect(*address: Any) -> None:
        opened.append(address)
        raise OSError("no socket may be opened")

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr(socket.socket, "connect", connect)
    for options in ({}, {"backend": "ollama", "base_url": "http://127.0.0.1:9", "api_key": "k"}):
        assert repr(made(**options))
    assert opened == []


@pytest.mark.parametrize("made", CLASSES)
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"base_ulr": "http://localhost:1"}, "did you mean 'base_url'"),
        ({"backend": "olama"}, "There is no backend 'olama'"),
        ({"base_url": "localhost:8080"}, "no scheme"),
        ({"base_url": "http://localhost:1", "api_base": "http://localhost:2"}, "'base_url' of .* is given twice"),
        ({"timeout": 9, "client_kwargs": {"timeout": 3}}, "'timeout' of .* is given twice, with different values"),
        ({"headers": {"X-A": "1"}, "default_headers": {"X-A": "2"}}, "given twice, with different values"),
        ({"timeout": -1.0}, "not above 0"),
        ({"base_url": ["http://a:b@one", "http://two"]}, "make an object for each"),
    ],
)
def test_what_cant_be_right_is_refused_with_what_to_do(
    made: Callable[..., Any], arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidConfig, match=said):
        made(**arguments)


@pytest.mark.parametrize("made", CLASSES)
def test_what_is_said_twice_alike_is_said_once(made: Callable[..., Any]) -> None:
    """LM Studio's class has both names of the time."""
    assert made(timeout=9.0, request_timeout=9.0).timeout == 9.0
    assert made(base_url="http://localhost:1", api_base="http://localhost:1").base_url == "http://localhost:1"


@pytest.mark.parametrize("made", CLASSES)
def test_none_is_as_if_it_were_left_out(made: Callable[..., Any]) -> None:
    names = ("api_base", "default_headers", "extra_body", "additional_kwargs", "max_retries", "verify", "together")
    known = [name for name in names if made is not VesselRerank or name not in ("extra_body", "additional_kwargs")]
    assert made(**dict.fromkeys(known)).to_dict() == made().to_dict()


@pytest.mark.parametrize("made", CLASSES)
def test_the_names_of_other_classes_can_be_read(made: Callable[..., Any]) -> None:
    llm = made(api_base="http://localhost:1/v1", request_timeout=4.0)
    assert (llm.api_base, llm.request_timeout) == ("http://localhost:1/v1", 4.0)
    llm.api_base, llm.request_timeout = "http://localhost:2", 5.0
    assert (llm.base_url, llm.timeout) == ("http://localhost:2", 5.0)


def test_the_names_of_ollamas_classes_can_be_read_and_set() -> None:
    llm, embedding = cast("Any", Vessel)(thinking=True), cast("Any", VesselEmbedding)(ollama_additional_kwargs={})
    assert (llm.thinking, embedding.ollama_additional_kwargs) == (True, {})
    llm.thinking, embedding.ollama_additional_kwargs = "low", {"num_ctx": 512}
    assert (llm.reasoning, embedding.additional_kwargs) == ("low", {"num_ctx": 512})


def test_the_model_may_be_set_by_the_name_of_other_classes() -> None:
    llm = Vessel(model="a")
    llm.model_name = "b"
    assert (llm.model, llm.model_name) == ("b", "b")


def test_a_wrong_type_is_pydantics_error_which_does_not_repeat_it() -> None:
    for wrong in ({"temperature": "sk-1"}, {"api_key": ["sk-1"]}, {"context_window": 0}, {"context_window": -2}):
        with pytest.raises(ValidationError, match=next(iter(wrong))) as caught:
            Vessel(**cast("Any", wrong))
        assert "sk-1" not in str(caught.value)


def test_an_argument_without_meaning_is_taken_by_the_class_whose_peers_have_it() -> None:
    cast("Any", Vessel)(prompt_key="prompt", reuse_client=True)
    VesselEmbedding(reuse_client=True)
    with pytest.raises(InvalidConfig, match="no argument 'prompt_key'"):
        VesselEmbedding(prompt_key="prompt")


def test_a_model_with_a_folder_of_pictures_can_be_stored_as_json(tmp_path: Path) -> None:
    llm = Vessel(image_root=tmp_path, logit_bias={5: -1.0, 7: False})
    stored = Vessel.from_json(llm.to_json())
    assert (stored.image_root, stored.logit_bias) == (tmp_path, {"5": -1.0, "7": False})
    assert stored.logit_bias is not None
    assert stored.logit_bias["7"] is False


@pytest.mark.parametrize("made", CLASSES)
def test_headers_under_several_names_are_put_together(made: Callable[..., Any]) -> None:
    of_client = {"headers": {"X-C": "c"}}
    headers = made(headers={"X-A": "a"}, default_headers={"X-B": "b"}, client_kwargs=of_client).headers
    assert [headers[f"X-{name}"].get_secret_value() for name in "ABC"] == ["a", "b", "c"]


def test_extra_bodies_stand_beside_each_other() -> None:
    more: dict[str, Any] = {"extra_body": {"b": 2, "options": {"two": 2}}}
    with scripted(answer("Hi."), extra_body={"a": 1, "options": {"one": 1}}, additional_kwargs=more) as (llm, server):
        llm.chat(HELLO, extra_body={"c": 3, "options": {"three": 3}})
        assert sent(server).items() >= {"a": 1, "b": 2, "c": 3, "options": {"one": 1, "two": 2, "three": 3}}.items()
    with openai_server() as server:
        made = VesselEmbedding("m", base_url=server.base_url, extra_body={"a": 1}, additional_kwargs=more)
        made.get_query_embedding("x")
        assert server.requests[-1].json().items() >= {"a": 1, "b": 2}.items()


def test_an_unknown_option_names_the_nearest_one() -> None:
    with pytest.raises(InvalidConfig, match="did you mean 'max_tokens'"):
        Vessel(max_tokenz=5)  # pyright: ignore[reportCallIssue]
    with pytest.raises(InvalidRequest, match="did you mean 'temperature'"):
        Vessel(additional_kwargs={"temprature": 1})


def test_arguments_go_by_name_but_for_the_model() -> None:
    made: Any = Vessel
    assert made("qwen3:8b", temperature=0.5).model == "qwen3:8b"
    assert cast("Any", VesselEmbedding)("nomic").model_name == "nomic"
    wrong: list[Callable[[], Any]] = [lambda: made("a", "b"), lambda: made(7), lambda: made("a", model="b")]
    for call in [*wrong, lambda: made("a", model_name="b")]:
        with pytest.raises(InvalidConfig, match=r"by name|twice"):
            call()


def test_headers_and_several_answers_of_one_call_say_what_to_do() -> None:
    with scripted(answer("Hi."), extra_headers={"x-team": "a"}) as (llm, server):
        llm.chat(HELLO)
        assert server.requests[-1].headers["x-team"] == "a"
        for options, hint in (({"extra_headers": {"x-team": "b"}}, "headers="), ({"n": 2}, "several times")):
            with pytest.raises(InvalidRequest) as caught:
                llm.chat(HELLO, **options)
            assert hint in str(caught.value.hint)


def test_the_arguments_of_ollamas_class_are_understood() -> None:
    arguments: dict[str, Any] = {
        "model": "qwen3:8b",
        "base_url": "http://localhost:11434",
        "temperature": 0.5,
        "context_window": 8000,
        "request_timeout": 120.0,
        "additional_kwargs": {"num_predict": 64, "top_k": 5},
        "is_function_calling_model": False,
        "keep_alive": "5m",
        "thinking": True,
        "json_mode": True,
    }
    llm = Vessel(backend="ollama", **arguments)
    assert (llm.model, llm.timeout, llm.metadata.context_window) == ("qwen3:8b", 120.0, 8000)
    assert llm.metadata.is_function_calling_model is False
    fields = llm.chat_fields({})
    assert (fields.get("max_tokens"), fields.get("top_k"), fields.get("reasoning")) == (64, 5, True)
    assert fields.get("response_format") == {"type": "json_object"}
    assert "num_ctx" not in {name for name, value in fields.items() if value is not None}


def test_the_arguments_of_openailike_are_understood() -> None:
    arguments: dict[str, Any] = {
        "model": "demo",
        "api_key": "fake",
        "max_tokens": 10,
        "is_chat_model": True,
        "is_function_calling_model": True,
        "context_window": 32000,
        "timeout": 30.0,
        "max_retries": 1,
        "reuse_client": False,
        "should_use_structured_outputs": True,
        "default_headers": {"X-Team": "boats"},
        "additional_kwargs": {"extra_body": {"mirostat": 1}, "top_p": 0.5},
    }
    with openai_server(answer("Hello")) as server:
        llm = Vessel(backend="openai", api_base=f"{server.base_url}/v1", **arguments)  # pyright: ignore[reportCallIssue]
        llm.chat(HELLO, max_completion_tokens=7, extra_body={"tfs_z": 1})
        llm.close()
        body = sent(server)
        assert (body["max_tokens"], body["top_p"], body["mirostat"], body["tfs_z"]) == (7, 0.5, 1, 1)
        assert server.requests[0].headers["x-team"] == "boats"
        assert server.requests[0].headers["authorization"] == "Bearer fake"
    assert llm.metadata.context_window == 32000


def test_the_arguments_of_lm_studios_class_and_of_embeddings_are_understood() -> None:
    arguments: dict[str, Any] = {"model_name": "gemma", "num_output": 20, "request_timeout": 9.0}
    llm = Vessel(backend="lmstudio", base_url="http://localhost:1234/v1", **arguments)
    assert (llm.model, llm.max_tokens, llm.timeout) == ("gemma", 20, 9.0)
    arguments = {"api_base": "http://localhost:1/v1", "api_key": "fake", "dimensions": 8, "embed_batch_size": 5}
    for name in ("model", "model_name"):
        assert VesselEmbedding(**{name: "nomic"}, **arguments).model_name == "nomic"


def test_what_ollamas_embeddings_take_is_sent() -> None:
    with ollama_server(models=["nomic"]) as server:
        embedding = VesselEmbedding(
            model_name="nomic",
            base_url=server.base_url,
            backend="ollama",
            keep_alive="10m",
            truncate=True,
            ollama_additional_kwargs={"mirostat": 0, "num_ctx": 512},
            client_kwargs={"headers": {"X-Team": "boats"}, "timeout": 9.0},
        )
        embedding.get_text_embedding("Hello")
        asyncio.run(asked(embedding))
        for request in server.asked("/api/embed"):
            body = request.json()
            assert (body["keep_alive"], body["options"]) == (
                "10m",
                {"num_ctx": 512},
            )  # sampling has no part in a vector
            assert body["truncate"] is True
            assert request.headers["x-team"] == "boats"
        assert len(server.asked("/api/embed")) == 2
        assert embedding.timeout == 9.0
        embedding.close()


async def asked(embedding: VesselEmbedding) -> None:
    await embedding.aget_query_embedding("Hello")
    await embedding.aclose()


def test_what_has_no_counterpart_says_what_to_do() -> None:
    with pytest.raises(InvalidRequest, match="num_ctx"):
        VesselEmbedding(model_name="nomic", additional_kwargs={"num_ctxx": 1})
    for kind in (Vessel, VesselEmbedding):
        with pytest.raises(InvalidConfig, match="http_transport="):
            kind(model="nomic", http_client=object())  # pyright: ignore[reportCallIssue]


def test_what_other_classes_send_beside_the_options_is_taken() -> None:
    with scripted(answer("{}"), additional_kwargs={"stream_options": {"include_usage": True}}) as (llm, server):
        llm.chat(HELLO, user="ann", n=1, format="json")
        assert (sent(server)["user"], sent(server)["response_format"]) == ("ann", {"type": "json_object"})
        assert not {"n", "format"} & set(sent(server))
        llm.chat(HELLO, format={"type": "object"}, validate=False)
        assert sent(server)["response_format"]["json_schema"]["schema"]["type"] == "object"
        with pytest.raises(InvalidRequest, match="'n'"):
            llm.chat(HELLO, n=2)
    assert Vessel(model_name="qwen3").model_name == "qwen3"  # pyright: ignore[reportCallIssue]


def test_an_option_that_is_left_out_is_not_sent() -> None:
    with scripted(answer("Hello")) as (llm, server):
        llm.chat(HELLO)
        assert set(sent(server)) == {"messages", "stream", "stream_options", "model"}
        llm.temperature, llm.stop = 0.0, ["."]
        llm.chat(HELLO)
        assert (sent(server)["temperature"], sent(server)["stop"]) == (0.0, ["."])


def test_the_servers_key_is_never_another_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-somebody")
    with scripted(answer("Hello")) as (llm, server):
        llm.chat(HELLO)
        assert all("authorization" not in request.headers for request in server.requests)


def test_a_host_that_is_added_to_the_list_counts_from_the_next_call_on() -> None:
    hosts = ["http://a:1", "http://b:1"]
    llm = Vessel(backend="llamacpp", base_url=hosts)
    assert llm.client is llm.client
    assert isinstance(llm.base_url, list)
    llm.base_url.append("http://c:1")
    assert [status.base_url for status in llm.client.hosts()] == [*hosts, "http://c:1"]


def test_a_field_that_is_set_later_counts_from_the_next_call_on() -> None:
    with openai_server(answer("one")) as first, openai_server(answer("two")) as second:
        llm = Vessel(backend="openai", base_url=first.base_url, model="demo")
        assert llm.complete("?").text == "one"
        llm.close()
        llm.api_base, llm.api_key, llm.model = second.base_url, SecretStr("k"), "other"
        assert llm.complete("?").text == "two"
        llm.close()
        assert second.requests[0].headers["authorization"] == "Bearer k"
        assert sent(second)["model"] == "other"


# ------------------------------------------------------------------------------------------------------------- storing

SECRET: dict[str, Any] = {
    "api_key": "hidden-1",
    "headers": {"X-Api-Key": "hidden-2", "X-Team": "boats"},
    "base_url": "http://user:hidden-3@localhost:8080/v1",
}


@pytest.mark.parametrize("made", CLASSES)
def test_what_is_stored_holds_no_secret_and_makes_the_same_object(made: Callable[..., Any]) -> None:
    one: Any = made(backend="llamacpp", timeout=Timeout(connect=1.0), max_retries=4, **SECRET)
    kind: Any = one.__class__
    assert one.client.target.api_key.get_secret_value() == "hidden-1"  # it counts before a login in the URL
    texts = [
        repr(one),
        str(one),
        json.dumps(one.to_dict()),
        one.to_json(),
        repr(pickle.dumps(one)),
        repr(copy.copy(one)),
        json.dumps(one.to_payload() if hasattr(one, "to_payload") else {}),
    ]
    assert not any("hidden" in text or "dXNlcjp" in text for text in texts)
    for again in (
        kind.from_dict(one.to_dict()),
        kind.from_json(one.to_json()),
        pickle.loads(pickle.dumps(one)),
    ):
        assert type(again) is kind
        assert again.to_dict() == one.to_dict()
        assert (again.base_url, again.api_key) == ("http://localhost:8080", None)
        assert again.timeout == Timeout(connect=1.0)
        assert list(again.headers) == ["X-Team"]


def test_what_is_set_later_is_hidden_as_well() -> None:
    llm = Vessel(backend="llamacpp")
    llm.base_url, llm.api_key, llm.headers = "http://user:hidden-1@localhost:1", "hidden-2", {"X-Token": "hidden-3"}
    assert "X-Token" in llm.client.target.headers
    assert not any("hidden" in text for text in (repr(llm), llm.to_json(), repr(pickle.dumps(llm))))


def test_every_option_survives_being_stored() -> None:
    llm = Vessel(
        model="demo",
        temperature=0.1,
        stop=["."],
        reasoning="low",
        num_ctx=100,
        extra_body={"a": 1},
        additional_kwargs={"top_k": 3},
        context_window=77,
        system_prompt="Be brief.",
    )
    for again in (Vessel.from_dict(llm.to_dict()), pickle.loads(pickle.dumps(llm)), copy.deepcopy(llm)):
        assert again.to_dict() == llm.to_dict()
        assert again.chat_fields({}) == llm.chat_fields({})
        assert again.metadata == llm.metadata


def shout(prompt: str) -> str:
    return prompt.upper()


def test_a_pickle_keeps_what_can_be_pickled_and_leaves_out_the_rest() -> None:
    llm = Vessel(completion_to_prompt=shout, callback_manager=CallbackManager([]), rate_limiter=lambda: None)
    again = pickle.loads(pickle.dumps(llm))
    assert again.completion_to_prompt is shout
    assert again.rate_limiter is None


async def test_a_prompt_is_put_as_completion_to_prompt_says_unless_it_is_formatted() -> None:
    with scripted(answer("Hello"), completion_to_prompt=shout) as (llm, server):
        llm.complete("a")
        await llm.acomplete("b")
        llm.complete("c", formatted=True)
        asked = [sent(server, number)["messages"][0]["content"] for number in range(3)]
    assert asked == ["A", "B", "c"]


def test_a_key_may_be_named_instead_of_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOAT_KEY", "hidden-1")
    with openai_server(answer("Hello")) as server:
        llm = Vessel(backend="openai", base_url=server.base_url, model="demo", api_key_env="BOAT_KEY")
        again = pickle.loads(pickle.dumps(llm))
        assert "hidden" not in repr(pickle.dumps(llm))
        again.chat(HELLO)
        again.close()
        assert server.requests[0].headers["authorization"] == "Bearer hidden-1"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, Vessel.model_copy])
def test_what_a_copy_is_loaded_with_is_not_asked_for_by_its_original(copied: Callable[[Vessel], Vessel]) -> None:
    with ollama_server(OLLAMA.text("Hi"), models=["demo"]) as server:
        llm = Vessel(backend="ollama", base_url=server.base_url, model="demo")
        llm.chat(HELLO)
        small = copied(llm)
        small.num_ctx = 512
        for each in (small, llm):
            each.chat(HELLO)
            each.close()
        asked = [request.json().get("options", {}).get("num_ctx") for request in server.asked("/api/chat")]
    assert asked == [None, 512, None]


def test_the_names_by_which_llama_index_stores_them() -> None:
    assert [made.class_name() for made in (Vessel, VesselEmbedding, VesselRerank)] == [
        "Vessel",
        "VesselEmbedding",
        "VesselRerank",
    ]


def test_a_repr_says_what_is_talked_to_and_nothing_of_cores_own() -> None:
    llm = Vessel(base_url="http://127.0.0.1:9", model="qwen3", temperature=0.2, api_key="hidden")
    assert repr(llm) == "Vessel(backend='auto', base_url='http://127.0.0.1:9', model='qwen3', temperature=0.2)"
    assert str(llm) == repr(llm)
    assert repr(VesselEmbedding(model="nomic")) == "VesselEmbedding(backend='auto', model_name='nomic')"
