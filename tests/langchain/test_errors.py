"""Errors are Vessel's and LangChain's at once, with what the server said and what had come of the answer."""

from __future__ import annotations

import pickle
import threading
import traceback
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from langchain_core.messages import HumanMessage
from langchain_core.outputs import LLMResult
from langchain_vessel import ChatVessel, VesselEmbeddings, VesselRerank, errors
from langchain_vessel.errors import as_langchain
from pydantic import SecretStr
from vessel_core import Timeout, VesselError
from vessel_core import errors as core
from vessel_core.local import LocalServer

from tests.fake_server import FakeServer, Response, llamacpp_server
from tests.langchain.scripted import answer, event, piece

CHAT = ("POST", "/v1/chat/completions")


def failing(status: int, message: str, **headers: str) -> FakeServer:
    document = {"error": {"code": status, "message": message, "type": "an_error"}}
    return llamacpp_server(Response.json(document, status, **headers))


def impatient(server: FakeServer, **options: Any) -> ChatVessel:
    options = {"max_retries": 0, **options}
    return ChatVessel(base_url=server.base_url, **options)


def test_every_error_of_the_core_has_a_twin_that_langchain_knows() -> None:
    own = {core.VesselError, core.InvalidConfig, core.ServerStartError, core.ResponseError}
    for name in core.__all__:
        cls = getattr(core, name)
        if isinstance(cls, type) and issubclass(cls, VesselError) and cls not in own:
            made = as_langchain(cls("Oh"))
            assert isinstance(made, cls), name
            assert isinstance(made, ModelError), name
            assert type(made).__name__ in errors.__all__, name


@pytest.mark.parametrize(
    ("status", "message", "expected", "retryable"),
    [
        (400, "Bad field", ModelInvalidRequestError, False),
        (401, "Invalid API Key", ModelAuthenticationError, False),
        (403, "Not for you", ModelPermissionDeniedError, False),
        (404, "model 'x' not found", ModelNotFoundError, False),
        (429, "Slow down", ModelRateLimitError, True),
        (500, "Out of luck", ModelAPIError, True),
    ],
)
def test_a_status_becomes_langchains_error(
    status: int, message: str, expected: type[ModelError], retryable: bool
) -> None:
    with failing(status, message, **{"x-request-id": "r-1"}) as server:
        with pytest.raises(expected) as caught:
            impatient(server).invoke("x")
    error: Any = caught.value
    assert error.is_retryable is retryable
    assert error.response.status_code == status
    assert error.response.json()["error"]["message"] == message
    assert error.request_id == "r-1"
    assert isinstance(error, VesselError)


def test_a_prompt_that_does_not_fit_is_langchains_overflow(small_context_server: LocalServer) -> None:
    chat = ChatVessel(base_url=small_context_server.base_url)
    with pytest.raises(ContextOverflowError) as caught:
        chat.invoke("word " * 2000)
    assert isinstance(caught.value, ModelInvalidRequestError)
    assert not caught.value.is_retryable
    error: Any = caught.value
    assert error.context_length == 1024
    assert error.prompt_tokens > 1024


def test_a_wrong_key_is_langchains_authentication_error(keyed_server: LocalServer) -> None:
    with pytest.raises(ModelAuthenticationError) as caught:
        ChatVessel(base_url=keyed_server.base_url, api_key=SecretStr("wrong-key")).invoke("x")
    assert "wrong-key" not in str(caught.value)


def test_nobody_there_is_langchains_connection_error() -> None:
    with llamacpp_server() as server:
        url = server.base_url
    with pytest.raises(ModelConnectionError) as caught:
        ChatVessel(base_url=url, max_retries=0).invoke("x")
    assert isinstance(caught.value, ConnectionError)
    assert url in str(caught.value)


def test_no_server_found_names_where_it_was_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMACPP_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("OLLAMA_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("LMSTUDIO_URL", "http://127.0.0.1:9")
    with pytest.raises(ModelConnectionError, match=r"127\.0\.0\.1:9"):
        ChatVessel().invoke("x")


def test_after_an_input_of_a_batch_that_failed_no_other_is_asked() -> None:
    missing = Response.json({"error": {"message": "no such model", "code": 404, "type": "not_found_error"}}, 404)
    with llamacpp_server(missing, model="m") as server:
        with pytest.raises(ModelNotFoundError):
            ChatVessel(base_url=server.base_url, model="x").batch(["Hello"] * 10, {"max_concurrency": 2})
        assert len(server.asked("/v1/chat/completions")) <= 2


def test_silence_is_langchains_timeout() -> None:
    with llamacpp_server(Response.stream(threading.Event())) as server:
        with pytest.raises(ModelTimeoutError) as caught:
            impatient(server, timeout=Timeout(first_token=0.1)).invoke("x")
    assert isinstance(caught.value, TimeoutError)


CUT = piece({"content": "Half an "}) + piece({"content": "answer"})


def test_a_stream_that_was_cut_keeps_what_had_come() -> None:
    with llamacpp_server(Response.stream(CUT)) as server:
        seen: list[str] = []
        with pytest.raises(ModelConnectionError) as caught:
            seen.extend(chunk.text for chunk in impatient(server).stream("x"))
    error: Any = caught.value
    assert error.partial.text == "Half an answer"
    assert error.is_retryable


def test_invoke_and_async_raise_the_same_for_a_cut_stream() -> None:
    with llamacpp_server(Response.stream(CUT)) as server, pytest.raises(ModelConnectionError) as caught:
        impatient(server).invoke("x")
    error: Any = caught.value
    assert error.partial.text == "Half an answer"


async def test_async_calls_raise_langchains_errors_too() -> None:
    with failing(400, "Bad field") as server:
        chat = impatient(server)
        with pytest.raises(ModelInvalidRequestError):
            await chat.ainvoke("x")
        with pytest.raises(ModelInvalidRequestError):
            [chunk async for chunk in chat.astream("x")]
        with pytest.raises(ModelInvalidRequestError):
            await VesselEmbeddings(client=None, base_url=server.base_url, model="m").aembed_documents([""])


def test_an_error_inside_a_stream_is_an_error(broken_stream_server: LocalServer) -> None:
    with pytest.raises(ModelError):
        list(ChatVessel(base_url=broken_stream_server.base_url).stream("Hello"))
    failure = event({"error": {"code": 500, "message": "boom", "type": "server_error"}})
    with llamacpp_server(CUT + failure) as server, pytest.raises(ModelAPIError, match="boom") as caught:
        list(impatient(server).stream("x"))
    error: Any = caught.value
    assert error.partial.text == "Half an answer"


@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
def test_events_raise_langchains_errors() -> None:
    with llamacpp_server(Response.stream(CUT)) as server:
        stream = impatient(server).stream_events("x", version="v3")
        with pytest.raises(ModelConnectionError):
            list(stream.text)


def test_a_trace_holds_what_the_server_said() -> None:
    class Trace(BaseCallbackHandler):
        def __init__(self) -> None:
            self.results: list[LLMResult] = []

        def on_llm_error(self, error: BaseException, **about: Any) -> None:
            self.results.append(about["response"])

    trace = Trace()
    with failing(400, "Bad field", **{"x-request-id": "r-1"}) as server, pytest.raises(ModelInvalidRequestError):
        impatient(server).invoke("x", {"callbacks": [trace]})
    [result] = trace.results
    generation: Any = result.generations[0][0]
    assert generation.message.response_metadata["status_code"] == 400
    assert generation.message.response_metadata["request_id"] == "r-1"
    assert "Bad field" in str(generation.message.response_metadata["body"])


def test_with_retry_and_fallbacks_see_what_is_worth_another_try() -> None:
    busy = Response.json({"error": {"code": 500, "message": "no", "type": "server_error"}}, 500)
    with llamacpp_server(routes={CHAT: [busy, Response.stream(answer("Second"))]}) as server:
        retrying = impatient(server).with_retry(
            retry_if_exception_type=(ModelAPIError,), wait_exponential_jitter=False, stop_after_attempt=2
        )
        assert retrying.invoke("x").text == "Second"
    with failing(400, "Bad field") as broken, llamacpp_server(answer("Other")) as whole:
        chat = impatient(broken).with_fallbacks([impatient(whole)], exceptions_to_handle=(ModelInvalidRequestError,))
        assert chat.invoke("x").text == "Other"


def test_errors_pickle() -> None:
    with failing(400, "Bad field") as server, pytest.raises(ModelInvalidRequestError) as caught:
        impatient(server).invoke("x")
    loaded: Any = pickle.loads(pickle.dumps(caught.value))
    assert loaded.response.status_code == 400
    assert str(loaded) == str(caught.value)
    assert type(loaded) is type(caught.value)


def test_an_empty_conversation_is_refused_before_anything_is_sent() -> None:
    with llamacpp_server(answer("Hi")) as server:
        with pytest.raises(ModelInvalidRequestError, match="empty"):
            impatient(server).invoke([])
        assert server.asked("/v1/chat/completions") == []


async def test_a_server_that_cannot_rank_says_so(chat_server: LocalServer) -> None:
    made = VesselRerank(base_url=chat_server.base_url)
    with pytest.raises(ModelError):
        made.rerank(["a"], "b")
    with pytest.raises(ModelError):
        await made.arerank(["a"], "b")


def test_a_server_that_is_not_there_is_told_in_fifteen_lines_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    with llamacpp_server() as server:
        url = server.base_url
    for name in ("LLAMACPP_URL", "LMSTUDIO_URL", "OLLAMA_URL"):
        monkeypatch.setenv(name, url)
    for chat in (ChatVessel(), ChatVessel(base_url=url), ChatVessel(backend="ollama", base_url=url, model="m")):
        with pytest.raises(ModelConnectionError) as caught:
            chat.invoke("Hi")
        assert url in str(caught.value)
        assert len(told_by_us(caught.value)) <= 15
        assert isinstance(caught.value.__context__, VesselError), "the way down is kept for a debugger"


def told_by_us(error: BaseException) -> list[str]:
    """Return what a traceback prints, without LangChain's frames and the caller's."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    ours: list[str] = []
    frame = ""
    for line in lines:
        frame = line if line.startswith("  File ") else frame if line.startswith("    ") else ""
        if not any(other in frame for other in ("langchain_core", "test_errors.py")):
            ours.append(line)
    return ours


def test_what_the_message_does_not_say_is_the_cause() -> None:
    cut = Response(
        headers={"content-type": "text/event-stream"}, body=piece({"content": "Hi"}), cut="rst", cut_after=20
    )
    with llamacpp_server(cut) as server, pytest.raises(ModelError) as caught:
        impatient(server).invoke([HumanMessage("x")])
    assert caught.value.__cause__ is not None
