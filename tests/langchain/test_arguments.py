"""What the constructors take and refuse, what is sent of it, and what a model shows of itself."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import threading
import weakref
from typing import Any

import httpx
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.exceptions import ModelInvalidRequestError, ModelTimeoutError
from langchain_core.load import dumpd, dumps, load
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import ConfigurableField
from langchain_vessel import ChatVessel, VesselEmbeddings, VesselLLM, VesselRerank
from langchain_vessel.settings import ChatSettings
from pydantic import SecretStr, ValidationError
from vessel_core import Client, Timeout
from vessel_core.errors import InvalidConfig
from vessel_core.local import LocalServer
from vessel_core.request import OPTION_NAMES

from tests.fake_server import FakeServer, Response, llamacpp_server, ollama_server
from tests.langchain.scripted import answer, ollama_answer, ollama_lines
from tests.servers import KEY


def sent(server: FakeServer, path: str = "/v1/chat/completions") -> dict[str, Any]:
    return server.asked(path)[-1].json()


def test_every_option_of_the_core_is_a_field() -> None:
    assert ChatSettings.model_fields.keys() >= OPTION_NAMES


def test_construction_asks_nobody_anything() -> None:
    with llamacpp_server() as server:
        chat = ChatVessel(base_url=server.base_url)
        repr(chat)
        str(chat)
        VesselEmbeddings(base_url=server.base_url)
        VesselRerank(base_url=server.base_url)
        assert server.connections == 0


@pytest.mark.parametrize("cls", [ChatVessel, VesselEmbeddings, VesselRerank])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bse_url": "http://x"}, "has no argument 'bse_url': did you mean 'base_url'"),
        ({"modle": "m"}, "did you mean 'model'"),
        ({"backend": "lamacpp2"}, "There is no backend 'lamacpp2'"),
        ({"base_url": "ftp://localhost:8080"}, "http:// or https://"),
        ({"timeout": -1}, "not above 0"),
        ({"max_retries": -1}, "max_retries=-1"),
        ({"api_key": lambda: "k"}, "api_key is a function"),
        ({"client_kwargs": {"proxy": "http://x"}}, "'proxy'"),
    ],
)
def test_what_cannot_be_right_is_refused_at_construction(cls: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        cls(**arguments)


def test_a_misspelt_option_names_the_right_one() -> None:
    with pytest.raises(InvalidConfig, match="did you mean 'temperature'"):
        ChatVessel(temperatur=0.5)  # pyright: ignore[reportCallIssue]
    with pytest.raises(ValidationError, match="temperature"):
        ChatVessel(temperature="hot")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("cls", "arguments", "hint"),
    [
        (ChatVessel, {"http_client": object()}, "`verify` and `timeout`"),
        (ChatVessel, {"default_query": {"a": "b"}}, "No local server reads a query"),
        (VesselEmbeddings, {"show_progress_bar": True}, "vessel_core.bulk"),
        (ChatVessel, {"organization": "o"}, "no local server knows it"),
        (ChatVessel, {"custom_llm_provider": "openai"}, "`backend=`"),
        (VesselEmbeddings, {"temperature": 0.5}, "no effect on vectors"),
    ],
)
def test_what_others_have_and_cannot_be_taken_over_says_what_to_do(cls: Any, arguments: Any, hint: str) -> None:
    with pytest.raises(InvalidConfig, match=hint):
        cls(**arguments)


def test_a_misspelt_option_of_a_call_is_refused_before_anything_is_sent() -> None:
    with llamacpp_server(answer("Hi")) as server:
        with pytest.raises(ModelInvalidRequestError, match="did you mean 'temperature'"):
            ChatVessel(base_url=server.base_url).invoke("x", temperatur=0.5)
        assert server.asked("/v1/chat/completions") == []


@pytest.mark.parametrize("name", ["extra_headers", "headers"])
@pytest.mark.parametrize("cls", [ChatVessel, VesselLLM])
async def test_headers_of_a_call_are_refused_by_their_name_with_what_to_do(cls: Any, name: str) -> None:
    llm = cls(base_url="http://127.0.0.1:1")
    for ask in (llm.invoke, llm.stream):
        with pytest.raises(ModelInvalidRequestError, match=f"^{name} can't be given with a call.*\n.*`headers=`"):
            list(ask("x", **{name: {"X-Team": "a"}}))
    with pytest.raises(ModelInvalidRequestError, match=f"^{name} can't"):
        await llm.ainvoke("x", **{name: {"X-Team": "a"}})


def test_options_reach_the_server_and_a_calls_own_go_before_them() -> None:
    options: dict[str, Any] = {
        "temperature": 0.5,
        "max_tokens": 7,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.05,
        "seed": 1,
        "stop": ["END"],
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "repeat_penalty": 1.1,
        "logit_bias": {"15": -100.0, "16": False},
        "cache_prompt": True,
    }
    with llamacpp_server(answer("Hi")) as server:
        chat = ChatVessel(base_url=server.base_url, model="m", extra_body={"novel": 0.8}, **options)
        chat.invoke("x")
        assert {name: sent(server)[name] for name in options} == options
        assert sent(server)["logit_bias"]["16"] is False
        assert sent(server)["novel"] == 0.8
        assert sent(server)["model"] == "m"
        chat.invoke("x", temperature=0, stop=["NOW"], model="other", extra_body={"newer": ["top_k"]})
        body = sent(server)
    assert (body["temperature"], body["stop"], body["model"]) == (0, ["NOW"], "other")
    assert (body["novel"], body["newer"]) == (0.8, ["top_k"])


def test_bound_options_and_configured_ones_reach_the_server() -> None:
    with llamacpp_server(answer("Hi")) as server:
        chat = ChatVessel(base_url=server.base_url, temperature=0.1)
        chat.bind(stop=["END"], max_tokens=3).invoke("x")
        assert (sent(server)["stop"], sent(server)["max_tokens"]) == (["END"], 3)
        configurable = chat.configurable_fields(
            temperature=ConfigurableField(id="t"), model=ConfigurableField(id="m"), api_key=ConfigurableField(id="k")
        )
        configurable.with_config(configurable={"t": 0.9, "m": "big", "k": SecretStr("key-1")}).invoke("x")
        assert (sent(server)["temperature"], sent(server)["model"]) == (0.9, "big")
        assert server.requests[-1].headers["authorization"] == "Bearer key-1"
        configurable.invoke("x")
        assert sent(server)["temperature"] == 0.1


def test_calls_that_are_configured_alike_share_their_connections_and_no_others() -> None:
    with llamacpp_server(answer("Hi")) as server:
        chat = ChatVessel(base_url=server.base_url, backend="llamacpp")
        configurable = chat.configurable_fields(
            temperature=ConfigurableField(id="t"), api_key=ConfigurableField(id="k")
        )

        def connections(**config: Any) -> int:
            configurable.with_config(configurable=config).invoke("x")
            return server.connections

        assert [connections(t=0.5), connections(t=0.5), connections(t=0.9), connections(t=0.5)] == [1, 1, 2, 2]
        assert connections(t=0.5, k=SecretStr("key-1")) == 3
        assert "authorization" in server.requests[-1].headers
        assert connections(t=0.5) == 3
        assert "authorization" not in server.requests[-1].headers
        assert dumpd(configurable)["id"][-1] == "RunnableConfigurableFields"
        again = pickle.loads(pickle.dumps(configurable)).with_config(configurable={"t": 0.5})
        assert again.invoke("x").text == "Hi"
        with pytest.raises(ValueError, match="temperatur not found"):
            chat.configurable_fields(temperatur=ConfigurableField(id="t"))


SECRETS: list[dict[str, Any]] = [{"api_key": "key-1"}, {"headers": {"X-Api-Key": "key-1"}}]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_key_that_was_given_for_one_server_is_not_sent_to_another_by_configuring(secret: dict[str, Any]) -> None:
    with llamacpp_server(answer("Hi")) as mine, llamacpp_server(answer("Hi")) as other:
        chat = ChatVessel(base_url=mine.base_url, backend="llamacpp", **secret)
        configurable: Any = chat.configurable_fields(
            base_url=ConfigurableField(id="u"), api_key=ConfigurableField(id="k"), headers=ConfigurableField(id="h")
        )
        for url in (other.base_url, [mine.base_url, other.base_url]):
            with pytest.raises(InvalidConfig, match="another server") as caught:
                configurable.invoke("x", {"configurable": {"u": url}})
            assert "key-1" not in str(caught.value)
        assert other.requests == []
        configurable.invoke("x", {"configurable": {"u": f"{mine.base_url}/v1"}})
        assert "key-1" in str(mine.requests[-1].headers)
        configurable.invoke("x", {"configurable": {"u": other.base_url, "k": "key-2", "h": {}}})
        assert (other.requests[-1].headers["authorization"], "key-1" in str(other.requests)) == ("Bearer key-2", False)
        team: dict[str, Any] = {"headers": {"X-Team": "blue"}}
        chat = ChatVessel(base_url=mine.base_url, backend="llamacpp", **team)
        free = chat.configurable_fields(base_url=ConfigurableField(id="u"))
        free.invoke("x", {"configurable": {"u": other.base_url}})
        assert other.requests[-1].headers["x-team"] == "blue"


def test_few_objects_are_kept_of_a_configurable_model() -> None:
    chat = ChatVessel(base_url="http://localhost:9")
    configurable: Any = chat.configurable_fields(seed=ConfigurableField(id="s"))
    made = [weakref.ref(configurable.prepare({"configurable": {"s": seed}})[0]) for seed in range(40)]
    gc.collect()
    assert [reference() is not None for reference in made] == [False] * 24 + [True] * 16


def test_what_a_configured_call_was_loaded_with_is_not_asked_for_by_another() -> None:
    with ollama_server(ollama_lines({"content": "Hi"})) as server:
        chat = ChatVessel(base_url=server.base_url, model="qwen3:8b")
        configurable = chat.configurable_fields(num_ctx=ConfigurableField(id="n"))
        for config in ({"n": 512}, {}, {"n": 1024}, {"n": 512}):
            configurable.invoke("x", {"configurable": config})
        asked = [request.json().get("options", {}).get("num_ctx") for request in server.asked("/api/chat")]
    assert asked == [512, None, 1024, 512]


PEERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"model_name": "m"}, {"model": "m"}),
    ({"max_completion_tokens": 9}, {"max_tokens": 9}),
    ({"num_predict": 9}, {"max_tokens": 9}),
    ({"stop_sequences": ["X"]}, {"stop": ["X"]}),
    ({"model_kwargs": {"top_p": 0.3, "dry_base": 1.5, "novel": 1}}, {"top_p": 0.3, "dry_base": 1.5, "novel": 1}),
    ({"format": "json"}, {"response_format": {"type": "json_object"}}),
    ({"stream_usage": True, "use_responses_api": False}, {}),
    ({"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
    ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
]


@pytest.mark.parametrize(("arguments", "body"), PEERS)
def test_what_others_call_it_is_understood(arguments: dict[str, Any], body: dict[str, Any]) -> None:
    with llamacpp_server(answer("{}")) as server:
        ChatVessel(base_url=server.base_url, **arguments).invoke("x")
        assert sent(server).items() >= body.items()


@pytest.mark.parametrize("cls", [ChatVessel, VesselEmbeddings])
def test_values_in_the_forms_of_others_are_understood(cls: Any) -> None:
    for given in ((3, 10), httpx.Timeout(10, connect=3)):
        timeout = cls(timeout=given).timeout
        assert (timeout.connect, timeout.first_token, timeout.between_tokens, timeout.request) == (3, 10, 10, 10)
    made = cls(base_url="127.0.0.1:11434", max_retries=None, model="m")
    assert (made.base_url, made.max_retries, made.model_name) == ("http://127.0.0.1:11434", 2, "m")


def test_a_call_takes_values_in_the_forms_of_others() -> None:
    with llamacpp_server(answer("Hi")) as server:
        ChatVessel(base_url=server.base_url).invoke("x", timeout=(3, 10), reasoning={"effort": "high"})
        assert sent(server)["reasoning_effort"] == "high"


def test_what_others_call_the_place_is_understood() -> None:
    with llamacpp_server(answer("Hi"), model="m") as server:
        for name in ("base_url", "api_base", "openai_api_base"):
            arguments: dict[str, Any] = {name: f"{server.base_url}/v1", "openai_api_key": "key-1", "request_timeout": 5}
            chat = ChatVessel(**arguments, default_headers={"X-Team": "blue"})  # pyright: ignore[reportCallIssue]
            assert chat.timeout == 5
            chat.invoke("x")
            headers = server.asked("/v1/chat/completions")[-1].headers
            assert (headers["authorization"], headers["x-team"]) == ("Bearer key-1", "blue")


def test_options_of_chat_ollama_reach_ollama() -> None:
    options: dict[str, Any] = {"num_predict": 5, "num_ctx": 2048, "tfs_z": 1.0, "num_gpu": 1, "keep_alive": "5m"}
    with ollama_server(ollama_answer(["Hi"])) as server:
        options["client_kwargs"] = {"headers": {"X-Team": "blue"}}
        chat = ChatVessel(base_url=server.base_url, model="qwen3:8b", **options)
        chat.invoke("x")
        body = sent(server, "/api/chat")
        assert server.asked("/api/chat")[-1].headers["x-team"] == "blue"
    assert body["options"] == {"num_predict": 5, "num_ctx": 2048, "tfs_z": 1.0, "num_gpu": 1}
    assert body["keep_alive"] == "5m"


def test_a_field_that_is_changed_counts_from_then_on() -> None:
    with llamacpp_server(answer("One")) as one, llamacpp_server(answer("Two")) as two:
        chat = ChatVessel(base_url=one.base_url)
        assert chat.invoke("x").text == "One"
        chat.base_url = two.base_url
        assert chat.invoke("x").text == "Two"
        assert chat.model_copy(update={"base_url": one.base_url}).invoke("x").text == "One"


def test_a_client_of_ones_own_is_used() -> None:
    with llamacpp_server(answer("Hi")) as server:
        client = Client("llamacpp", base_url=server.base_url, timeout=Timeout(connect=1))
        assert ChatVessel(client=client).invoke("x").text == "Hi"
        assert VesselEmbeddings(client=client, model="m").embed_query("x")


# ---------------------------------------------------------------------------------------------------------- its own words


def test_keys_show_in_no_repr_and_no_manifest() -> None:
    secrets: dict[str, Any] = {"api_key": "sk-secret", "headers": {"X-Token": "also-secret"}}
    chat = ChatVessel(base_url="http://user:pass-word@gpu-box:8080", **secrets)
    for text in (repr(chat), str(chat), dumps(chat), str(chat.asdict()), str(chat.model_dump()), f"{chat}"):
        assert "sk-secret" not in text
        assert "also-secret" not in text
    assert "pass-word" not in repr(chat)
    assert json.loads(dumps(chat))["kwargs"].keys().isdisjoint({"api_key", "headers"})


@pytest.mark.parametrize("kind", [ChatVessel, VesselLLM, VesselEmbeddings, VesselRerank])
@pytest.mark.parametrize(
    "wrong",
    [
        {"headers": [("Authorization", "Bearer sk-secret")]},
        {"headers": "Authorization: sk-secret"},
        {"headers": {"X-Token": ["sk-secret"]}},
        {"api_key": ["sk-secret"]},
    ],
    ids=str,
)
def test_keys_show_in_no_error_of_a_wrong_type(kind: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        kind(base_url="http://127.0.0.1:9", **wrong)
    assert next(iter(wrong)) in str(caught.value)
    assert "sk-secret" not in str(caught.value)


def test_a_repr_says_what_is_set_and_nothing_else() -> None:
    chat = ChatVessel(backend="ollama", model="qwen3:8b", temperature=0.5)
    assert repr(chat) == "ChatVessel(backend='ollama', model='qwen3:8b', temperature=0.5)"
    assert repr(VesselEmbeddings(base_url="http://gpu-box:8080/v1")) == (
        "VesselEmbeddings(backend='auto', base_url='http://gpu-box:8080')"
    )


def test_a_pickle_works_and_holds_no_key(keyed_server: LocalServer) -> None:
    chat = ChatVessel(base_url=keyed_server.base_url, api_key=SecretStr(KEY), max_tokens=20)
    assert chat.invoke("Hello").text
    data = pickle.dumps(chat)
    assert KEY.encode() not in data
    loaded: ChatVessel = pickle.loads(data)
    assert loaded.api_key is None
    loaded.api_key = SecretStr(KEY)
    assert loaded.invoke("Hello").text
    asked_for = ChatVessel(base_url=keyed_server.base_url, api_key=SecretStr(KEY), pickle_secrets=True)
    assert pickle.loads(pickle.dumps(asked_for)).invoke("Hello").text


def test_what_is_set_later_counts_from_the_next_call_on() -> None:
    with llamacpp_server(answer("Hi")) as server, llamacpp_server(answer("Ho")) as other:
        chat = ChatVessel(base_url=server.base_url, api_key=SecretStr("old"))
        chat.invoke("x")
        chat.api_key = SecretStr("new")
        chat.invoke("x")
        assert server.requests[-1].headers["authorization"] == "Bearer new"
        chat.headers, chat.temperature = {"X-Team": SecretStr("blue")}, 0.5
        chat.invoke("x")
        told = server.requests[-1].headers
        assert (told["x-team"], sent(server)["temperature"]) == ("blue", 0.5)
        chat.base_url = other.base_url
        assert chat.invoke("x").text == "Ho"


async def test_what_a_profile_is_made_of_is_asked_for_no_longer_than_the_call_may_take() -> None:
    with FakeServer(otherwise=Response(wait=threading.Event())) as server:
        chat: Any = ChatVessel(backend="llamacpp", base_url=server.base_url, model="m", timeout=600)
        chat._connections.profile_wanted = True  # as after a look at the profile where nothing may block
        with pytest.raises(TimeoutError):
            await chat.ainvoke("x", timeout=0.05)
        assert len(server.requests) > 1


def test_a_timeout_that_is_set_later_bounds_the_next_call() -> None:
    with llamacpp_server(Response(wait=threading.Event())) as server:
        chat = ChatVessel(base_url=server.base_url, model="m", max_retries=0, timeout=20)
        assert chat.server.health()
        chat.timeout = 0.2
        with pytest.raises(ModelTimeoutError) as caught:
            chat.invoke("x")
    assert getattr(caught.value, "elapsed", 20) < 20


def test_copies_work_and_keep_the_key(keyed_server: LocalServer) -> None:
    chat = ChatVessel(base_url=keyed_server.base_url, api_key=SecretStr(KEY), max_tokens=20)
    assert chat.invoke("Hello").text
    for copied in (copy.copy(chat), copy.deepcopy(chat), chat.model_copy(deep=True), chat.model_copy()):
        assert copied == chat
        assert copied.invoke("Hello").text


def test_a_model_with_limiter_counter_and_cache_pickles_and_copies() -> None:
    with llamacpp_server(answer("Hi")) as server:
        counter = UsageMetadataCallbackHandler()
        limiter = InMemoryRateLimiter(requests_per_second=50, check_every_n_seconds=0.01, max_bucket_size=3)
        chat = ChatVessel(
            base_url=server.base_url, rate_limiter=limiter, callbacks=[counter], cache=InMemoryCache(), tags=["t"]
        )
        assert chat.invoke("x").text == "Hi"
        loaded: Any = pickle.loads(pickle.dumps(chat))
        assert loaded.rate_limiter.max_bucket_size == 3
        assert (loaded.invoke("x").text, loaded.invoke("y").text) == ("Hi", "Hi")  # the first from its cache
        counted = [each.usage_metadata["demo"]["output_tokens"] for each in (counter, loaded.callbacks[0])]
        assert counted == [5, 15]
        assert len(server.asked("/v1/chat/completions")) == 2
        for copied in (copy.deepcopy(chat), chat.model_copy(deep=True)):
            assert (copied.rate_limiter, copied.callbacks) == (limiter, [counter])
            assert copied.tags == ["t"]


def test_embeddings_and_reranker_pickle_without_key() -> None:
    for made in (VesselEmbeddings(api_key=SecretStr("sk-secret")), VesselRerank(api_key=SecretStr("sk-secret"))):
        data = pickle.dumps(made)
        assert b"sk-secret" not in data
        assert pickle.loads(data).api_key is None


@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
def test_a_manifest_loads_again() -> None:
    chat = ChatVessel(
        base_url="http://gpu-box:8080", model="m", temperature=0.5, timeout=Timeout(connect=1), api_key=SecretStr("sk")
    )
    manifest: Any = json.loads(dumps(chat))
    loaded = load(manifest, allowed_objects=[ChatVessel], valid_namespaces=["langchain_vessel"])
    assert loaded.api_key is None
    assert loaded.asdict() == chat.asdict()
    assert loaded.timeout == chat.timeout


# ------------------------------------------------------------------------------------------------------------- tracing


def test_a_trace_shows_what_a_call_asks_for_by_whatever_name() -> None:
    params: Any = ChatVessel(max_tokens=9, model="m")._get_ls_params  # pyright: ignore[reportPrivateUsage]
    assert params()["ls_max_tokens"] == 9
    shown = params(num_predict=4, model_name="other", stop_sequences=["X"])
    assert (shown["ls_max_tokens"], shown["ls_model_name"], shown["ls_stop"]) == (4, "other", ["X"])


def test_traces_name_provider_and_model_as_replies_do() -> None:
    with llamacpp_server(answer("Hi"), model="m") as server:
        chat = ChatVessel(base_url=server.base_url, temperature=0.5, max_tokens=9, stop="END")
        assert traced(chat)["ls_model_name"] == "auto"
        reply = chat.invoke("x")
        params = traced(chat)
    assert params == {
        "ls_provider": reply.response_metadata["model_provider"],
        "ls_model_name": "m",
        "ls_model_type": "chat",
        "ls_temperature": 0.5,
        "ls_max_tokens": 9,
        "ls_stop": ["END"],
    }
    assert traced(chat, model="other", temperature=1)["ls_model_name"] == "other"


def traced(chat: ChatVessel, **options: Any) -> dict[str, Any]:
    """Return what LangSmith is told of a call."""
    return dict(chat._get_ls_params(**options))  # pyright: ignore[reportPrivateUsage] - LangChain calls it


def test_a_rate_limiter_is_asked_before_each_call() -> None:
    class Counting(InMemoryRateLimiter):
        asked = 0

        def acquire(self, *, blocking: bool = True) -> bool:
            self.asked += 1
            return True

    limiter = Counting()
    with llamacpp_server(answer("Hi")) as server:
        chat = ChatVessel(base_url=server.base_url, rate_limiter=limiter)
        chat.invoke("x")
        list(chat.stream("x"))
    assert limiter.asked == 2


def test_prompts_and_parsers_compose_with_it(chat_server: LocalServer) -> None:
    prompt = ChatPromptTemplate.from_messages([("system", "You are {kind}."), ("user", "{question}")])
    chain = prompt | ChatVessel(base_url=chat_server.base_url, max_tokens=30)
    assert chain.invoke({"kind": "brief", "question": "Who are you?"}).text
