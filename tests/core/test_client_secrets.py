"""A key reaches its server and nothing else: no text, no log, no other host, no proxy."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import threading
import traceback
from typing import Any
from urllib.parse import quote

import pytest
from vessel_core import AsyncClient, Client, Message
from vessel_core.errors import ProtocolError, VesselError

from tests.core.driving import Connect
from tests.fake_server import FakeServer, Request, Response, llamacpp_server, nobody, openai_server, transcript

HELLO: list[Message] = [{"role": "user", "content": "Hello"}]
KEY = "sk-canary-4711"
BYTES = KEY.encode()
SECRETS: dict[str, Any] = {"api_key": KEY, "headers": {"X-Api-Key": KEY, "Cookie": f"a={KEY}"}}


def chained(error: BaseException) -> list[BaseException]:
    """Return an error and everything it came from."""
    found: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        each = todo.pop()
        if each is not None and each not in found:
            found.append(each)
            todo += [each.__cause__, each.__context__]
    return found


def everything_said(error: BaseException) -> str:
    """Return all texts of an error, with the values in every frame."""
    texts = [f"{each!r} {each} {each.args} {vars(each)}" for each in chained(error)]
    return "\n".join([*texts, *traceback.TracebackException.from_exception(error, capture_locals=True).format()])


def test_the_key_is_sent_to_its_server(connect: Connect) -> None:
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        connect("llamacpp", base_url=server.base_url, **SECRETS).chat(HELLO)
        for request in server.requests:
            assert request.headers["authorization"] == f"Bearer {KEY}"
            assert request.headers["x-api-key"] == KEY


def test_a_user_name_in_the_url_is_sent_as_a_header(connect: Connect) -> None:
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        connect("llamacpp", base_url=f"http://ann:{KEY}@127.0.0.1:{server.port}", model="m").chat(HELLO)
        assert server.requests[0].headers["authorization"].startswith("Basic ")


LONG_KEY = "sk-" + "Ab3/x+Q9" * 15 + "=="
REPEATED = {
    "PHP": json.dumps(f"wrong key {LONG_KEY}").replace("/", "\\/"),
    ".NET": json.dumps(f"wrong key {LONG_KEY}").replace("+", "\\u002B"),
    "a URL": json.dumps(f"see /login?key={quote(LONG_KEY, safe='')}"),
    "cut": json.dumps("word " * 90 + LONG_KEY),
    "cut, without spaces": json.dumps("x" * 420 + LONG_KEY + "y" * 300),
}


@pytest.mark.parametrize("how", REPEATED)
def test_a_key_that_is_spelt_in_another_way_or_cut_shows_in_no_error(how: str, connect: Connect) -> None:
    said = Response(400, {"content-type": "application/json"}, f'{{"error": {{"message": {REPEATED[how]}}}}}'.encode())
    with FakeServer({("POST", "/v1/chat/completions"): said}) as server:
        client = connect("openai", base_url=server.base_url, model="m", api_key=LONG_KEY)
        with pytest.raises(VesselError) as caught:
            client.chat(HELLO)
    told = "\n".join(f"{each} {each.args} {vars(each)}" for each in chained(caught.value))
    assert LONG_KEY[:20] not in told
    assert quote(LONG_KEY[:20], safe="") not in told
    assert LONG_KEY[:20].replace("/", "\\/") not in told


#: What no answer can be, with what was sent in it.
PAGES = {
    "a page": Response.text(f"<html>You sent: Authorization: Bearer {KEY}</html>"),
    "JSON that is cut": Response(200, {"content-type": "application/json"}, f'{{"sent": "{KEY}", "data": ['.encode()),
    "JSON of another kind": Response.json({"sent": {"headers": {"Authorization": f"Bearer {KEY}"}}, "data": KEY}),
    "an encoding": Response(200, {"content-type": "application/json", "content-encoding": KEY}, b"{}"),
}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    ("name", "arguments"),
    [("chat", [HELLO]), ("complete", ["x"]), ("embed", [["x"]]), ("rerank", ["x", ["y"]])],
)
def test_a_key_in_what_is_no_answer_shows_in_no_frame(
    name: str, arguments: list[Any], page: str, connect: Connect
) -> None:
    with FakeServer(otherwise=PAGES[page]) as server:
        client = connect("openai", base_url=server.base_url, model="m", max_retries=0, **SECRETS)
        with pytest.raises(VesselError) as caught:
            getattr(client, name)(*arguments)
    frames = [frame for each in chained(caught.value) for frame, _ in traceback.walk_tb(each.__traceback__)]
    held = [
        f"{key}={value!r}"
        for frame in frames
        if "vessel_core" in frame.f_code.co_filename
        for key, value in frame.f_locals.items()
    ]
    assert not [text for text in held if KEY in text]


def test_a_key_that_comes_back_as_a_vector_shows_in_no_error(connect: Connect) -> None:
    repeated = Response.json({"data": [{"index": 0, "embedding": KEY}]})
    with FakeServer({("POST", "/v1/embeddings"): repeated}) as server:
        client = connect("openai", base_url=server.base_url, model="m", **SECRETS)
        with pytest.raises(ProtocolError) as caught:
            client.embed(["x"])
    assert all(KEY not in str(each) for each in chained(caught.value))
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_key_shows_in_no_text_of_a_client(connect: Connect) -> None:
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        client = connect("llamacpp", base_url=f"http://ann:{KEY}@127.0.0.1:{server.port}", **SECRETS)
        client.chat(HELLO)
        inner = getattr(client, "client", client)
        said = [repr(inner), str(inner), repr(client.target), str(vars(inner)), repr(client.target.address)]
        said += [repr(copy.deepcopy(inner)), repr(copy.deepcopy(client.target)), repr(client.info())]
        said += [repr(pickle.dumps(inner)), repr(pickle.dumps(client.target)), json.dumps(vars(inner), default=repr)]
    assert not [text for text in said if KEY in text or "ann" in text]


def test_a_pickle_holds_the_headers_that_are_no_secrets(connect: Connect) -> None:
    with llamacpp_server(transcript("llamacpp/text.sse")) as server:
        client = connect("llamacpp", base_url=server.base_url, headers={"X-Team": "blue", "X-Api-Key": KEY})
        inner = getattr(client, "client", client)
        copied = pickle.loads(pickle.dumps(inner.target))
        Client(target=copied).chat(HELLO)
        (request,) = server.asked("/v1/chat/completions")
    assert request.headers["x-team"] == "blue"
    assert "x-api-key" not in request.headers


#: What may go wrong with a request that carries a key.
FAULTS: dict[str, Response] = {
    "a refusal that repeats the key": Response.json({"error": {"message": f"Invalid API Key {KEY}"}}, 401),
    "a page that repeats the key": Response.text(f"<p>Bad request: Authorization: Bearer {KEY}</p>", 400),
    "a failure": Response.text("oops", 500),
    "no reply": Response.hang_up(),
    "a reset": Response.hang_up("rst"),
    "no HTTP": Response(raw=b"SSH-2.0-OpenSSH_9.2\r\n", cut="fin"),
    "a cut stream": Response.stream(b'data: {"choices": [{"delta": {"content": "Hel"}}]}\n\n', cut="fin"),
    "a stream that breaks": Response.stream(b'data: {"choices": [{"delta": {"content": "Hel"}}]}\n\n', cut="rst"),
    "a redirect": Response(307, {"location": "http://elsewhere.example/v1"}),
    "a page": Response.text("<html>Hello</html>", content_type="text/html"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_key_shows_in_no_error_and_no_log(connect: Connect, caplog: pytest.LogCaptureFixture, fault: str) -> None:
    caplog.set_level(logging.DEBUG)
    with FakeServer(otherwise=FAULTS[fault]) as server:
        client = connect("llamacpp", base_url=server.base_url, model="m", max_retries=0, **SECRETS)
        with pytest.raises(VesselError) as caught:
            client.chat(HELLO)
        assert server.requests
    assert KEY not in everything_said(caught.value)
    assert KEY not in repr(pickle.dumps(caught.value))
    assert KEY not in caplog.text
    assert "Hello" not in caplog.text  # nor what was asked


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_a_key_shows_in_no_call_that_was_stopped(how: str) -> None:
    heard = threading.Event()

    def silent(_: Request) -> Response:
        heard.set()
        return Response(wait=threading.Event())

    async def stopped(server: FakeServer) -> str:
        async with AsyncClient("llamacpp", base_url=server.base_url, model="m", **SECRETS) as client:
            asked = asyncio.create_task(client.chat(HELLO))
            assert await asyncio.to_thread(heard.wait, 10)
            try:
                if how == "cancel":
                    asked.cancel()
                    await asked
                else:
                    await asyncio.wait_for(asked, 0)
            except (asyncio.CancelledError, TimeoutError) as error:
                return everything_said(error)
        return "it was not stopped"

    with llamacpp_server(silent) as server:
        said = asyncio.run(stopped(server))
    assert ("CancelledError" if how == "cancel" else "TimeoutError") in said
    assert "handle_async_request" in said
    assert KEY not in said


def test_a_key_shows_in_no_error_of_a_request_that_was_not_sent(connect: Connect) -> None:
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {}),
        ({}, {"extra_body": {"x": object()}}),
        ({"verify": "/no/file"}, {}),
    ]
    for options, fields in cases:
        with nobody() as url:
            url = url.replace("http:", "https:") if options else url
            client = connect("llamacpp", base_url=url, model="m", max_retries=0, **options, **SECRETS)
            with pytest.raises(VesselError) as caught:
                client.chat(HELLO, **fields)
        assert KEY not in everything_said(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(connect: Connect, status: int) -> None:
    with openai_server() as other:
        away = Response(status, {"location": f"{other.base_url}/v1/chat/completions?k={KEY}"})
        with FakeServer(otherwise=away) as server:
            client = connect("openai", base_url=server.base_url, model="m", **SECRETS)
            for call in (lambda: client.chat(HELLO), lambda: client.embed(["a"]), client.models):
                with pytest.raises(ProtocolError, match="not followed") as caught:
                    call()
                assert other.base_url in str(caught.value)
            assert len(server.requests) == 3
        assert other.requests == []


def test_local_traffic_never_goes_to_a_proxy(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer() as proxy, llamacpp_server(transcript("llamacpp/text.sse")) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.base_url)
        for host in ("127.0.0.1", "localhost"):
            client = connect("auto", base_url=f"http://{host}:{server.port}", **SECRETS)
            assert client.chat(HELLO).text == "Hello"
            assert client.info().connected
        assert (proxy.connections, len(proxy.requests)) == (0, 0)


def test_a_host_elsewhere_is_reached_by_the_proxy_of_the_environment(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Response.stream(transcript("llamacpp/text.sse"))
    with FakeServer(otherwise=answer) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url)
        monkeypatch.setenv("http_proxy", proxy.base_url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        client = connect("openai", base_url="http://llm.example.com/v1", model="m")
        assert client.chat(HELLO).text == "Hello"
        assert proxy.requests[0].headers["host"] == "llm.example.com"


def test_a_key_that_a_server_repeats_in_a_header_rides_on_no_error(connect: Connect) -> None:
    with llamacpp_server(Response(400, {"x-echo": f"Bearer {KEY}"}, b'{"error": "no"}')) as server:
        client = connect("llamacpp", base_url=server.base_url, model="m", **SECRETS)
        with pytest.raises(VesselError) as caught:
            client.chat(HELLO)
    assert caught.value.response is not None
    assert caught.value.response.headers["x-echo"] == "Bearer …"


#: Where else a server may repeat a key. An httpcore that logs all it reads, and the values of frames, show it.
REPEATING: dict[str, Response] = {
    "a header that repeats the key": Response(raw=b"HTTP/1.1 200 OK\r\nX Bad Bearer " + BYTES + b"\r\n\r\n", cut="fin"),
    "a status line that repeats the key": Response(raw=b"HTTP/1.1 200OK Bearer " + BYTES + b"\r\n\r\n", cut="fin"),
    "a chunk's size that repeats the key": Response(
        raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + BYTES + b"\r\n\r\nabc", cut="fin"
    ),
    "a hint that repeats the key": Response.json({"error": "no", "signin_url": f"http://x/{KEY}"}, 401),
    "a request's name that repeats the key": Response(400, {"x-request-id": KEY}, b'{"error": "no"}'),
    "a document that is no JSON and repeats the key": Response.text("{no " + KEY, content_type="application/json"),
    "a model's name that repeats the key": Response.stream(
        f'data: {{"model": "{KEY}", "choices": [{{"delta": {{"content": "Hel"}}}}]}}\n\n'.encode(), cut="fin"
    ),
}


@pytest.mark.parametrize("fault", REPEATING)
def test_a_key_that_a_server_repeats_is_in_no_text_of_an_error(connect: Connect, fault: str) -> None:
    with FakeServer(otherwise=REPEATING[fault]) as server:
        with pytest.raises(VesselError) as caught:
            connect("llamacpp", base_url=server.base_url, model="m", max_retries=0, **SECRETS).chat(HELLO)
    said = [f"{each!r} {each} {each.args} {vars(each)}" for each in chained(caught.value)]
    assert KEY not in "\n".join([*said, *traceback.format_exception(caught.value), repr(pickle.dumps(caught.value))])


@pytest.mark.parametrize("key", ['sk-"quoted"-4711', "sk-\\back-'4711", "lettersonly"])
@pytest.mark.parametrize("form", [str, json.dumps, repr])
@pytest.mark.parametrize("given", ["api_key", "header", "url"])
def test_a_key_is_hidden_however_a_server_writes_it(connect: Connect, key: str, form: Any, given: str) -> None:
    said = form(key)
    with FakeServer(otherwise=Response.text(f"not {said}", 400)) as server:
        options: dict[str, Any] = {"base_url": server.base_url}
        if given == "url":
            options = {"base_url": f"http://ann:{quote(key)}@127.0.0.1:{server.port}"}
        else:
            options |= {"api_key": key} if given == "api_key" else {"headers": {"Authorization": f"Bearer {key}"}}
        with pytest.raises(VesselError) as caught:
            connect("llamacpp", model="m", **options).chat(HELLO)
    assert caught.value.response is not None
    assert caught.value.response.text == f"not {said}".replace(said.strip("'\"") if form is not str else key, "…")
    assert "…" in caught.value.message


@pytest.mark.parametrize("length", [486, 9_980])
def test_no_half_of_a_key_stays_where_a_text_is_cut(connect: Connect, length: int) -> None:
    with FakeServer(otherwise=Response.text(f"{'y ' * (length // 2)}{KEY}-and-more", 400)) as server:
        with pytest.raises(VesselError) as caught:
            connect("llamacpp", base_url=server.base_url, model="m", api_key=f"{KEY}-and-more").chat(HELLO)
    said = caught.value.response
    assert said is not None
    assert "sk-" not in f"{caught.value} {said.text}"


async def test_no_cookie_is_kept() -> None:
    headers = {"set-cookie": "a=b; Path=/", "content-type": "text/event-stream"}
    reply = Response(200, headers, transcript("llamacpp/text.sse"))
    with FakeServer(otherwise=lambda _: reply) as server:
        options: dict[str, Any] = {"base_url": server.base_url, "model": "m"}
        with Client("openai", **options) as client:
            assert [client.chat(HELLO).finish for _ in range(2)] == ["stop"] * 2
        async with AsyncClient("openai", **options) as client:
            assert [(await client.chat(HELLO)).finish for _ in range(2)] == ["stop"] * 2
        assert ["cookie" in each.headers for each in server.requests] == [False] * 4
