"""Calls through a proxy, which go over httpx's own connections: what holds of ours holds of them."""

from __future__ import annotations

import asyncio
import signal
import traceback
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from vessel_core import AsyncClient, Client, Message, Timeout
from vessel_core.errors import (
    AuthFailed,
    FirstTokenTimeout,
    ProtocolError,
    ServerUnreachable,
    StreamInterrupted,
    StreamStalled,
    VesselError,
)
from vessel_core.transport.calls import Watch
from vessel_core.transport.proxied import AsyncProxiedTransport, ProxiedTransport

from tests.core.hosting import until
from tests.core.test_client_secrets import KEY, SECRETS, everything_said
from tests.faults.catalogue import HEL, begins, endless, interim_for_ever, presses_ctrl_c, raw, says, slow_first_token
from tests.faults.fault_server import FaultServer, Script, Talk

HELLO: list[Message] = [{"role": "user", "content": "Hello"}]


@asynccontextmanager
async def proxied(
    monkeypatch: pytest.MonkeyPatch, *scripts: Script, **options: Any
) -> AsyncGenerator[tuple[FaultServer, AsyncClient]]:
    """A proxy that answers for the server, and a client whose environment names it."""
    with FaultServer(*scripts) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        given: dict[str, Any] = {"base_url": "http://llm.example.com/v1", "model": "m", "max_retries": 0, **SECRETS}
        async with AsyncClient("llamacpp", **given, **options) as client:
            yield proxy, client


async def test_a_first_token_may_take_longer_than_the_pause_between_two(monkeypatch: pytest.MonkeyPatch) -> None:
    timeout = Timeout(first_token=60, between_tokens=0.2)
    async with proxied(monkeypatch, slow_first_token, endless, timeout=timeout) as (_, client):
        assert (await client.chat(HELLO)).text == "Hello"
        with pytest.raises(StreamStalled) as caught:
            await client.chat(HELLO)
    assert caught.value.partial is not None
    assert caught.value.partial.text == "Hel"


@pytest.mark.parametrize("how", ["aclose", "cancel"])
async def test_the_server_hears_of_a_stop(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxied(monkeypatch, endless) as (proxy, client):
        stream = client.stream(HELLO)
        await anext(stream)
        if how == "aclose":
            await stream.aclose()
        else:
            reading = asyncio.create_task(anext(stream))
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await reading
            assert KEY not in everything_said(caught.value)
        assert proxy.deserted()


FAULTS: dict[str, tuple[Script, type[VesselError]]] = {
    "silence": (Talk.hold, FirstTokenTimeout),
    "a pause": (endless, StreamStalled),
    "interim replies for ever": (interim_for_ever, FirstTokenTimeout),
    "no HTTP": (raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), ProtocolError),
    "a cut stream": (begins(HEL, then=Talk.fin), StreamInterrupted),
    "a stream that breaks": (begins(HEL, then=Talk.rst), StreamInterrupted),
    "no reply": (raw(), ServerUnreachable),
    "a refusal that repeats the key": (says({"error": {"message": f"bad key {KEY}"}}, 401), AuthFailed),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_an_error_of_ours_that_shows_no_key(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script, due = FAULTS[fault]
    timeout = Timeout(first_token=0.3, between_tokens=0.2)
    async with proxied(monkeypatch, script, timeout=timeout) as (proxy, client):
        with pytest.raises(due) as caught:
            await client.chat(HELLO)
        assert KEY in proxy.heads[-1]
    assert KEY not in everything_said(caught.value)


async def test_a_call_that_is_cancelled_before_its_head_shows_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxied(monkeypatch, Talk.hold) as (proxy, client):
        asked = asyncio.create_task(client.chat(HELLO))
        await asyncio.to_thread(until, lambda: proxy.posts == 1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await asked
    said = everything_said(caught.value)
    assert "CancelledError" in said
    assert KEY not in said


class Ended(BaseException):
    """What a library may end a thread with."""


async def test_an_end_inside_of_httpx_shows_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ends(_: Watch, event: str, __: object) -> None:
        if event == "http11.receive_response_headers.started":
            raise Ended

    monkeypatch.setattr(Watch, "atrace", ends)
    async with proxied(monkeypatch, Talk.hold) as (proxy, client):
        with pytest.raises(Ended) as caught:
            await client.chat(HELLO)
        assert proxy.deserted()
    said = everything_said(caught.value)
    assert "handle_async_request" in said
    assert KEY not in said


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Ended])
def test_ctrl_c_before_the_head_shows_no_key(stop: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(*_: object) -> None:
        raise stop

    usual = signal.signal(signal.SIGINT, pressed)
    try:
        with FaultServer(presses_ctrl_c) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            with Client("llamacpp", base_url="http://llm.example.com/v1", model="m", **SECRETS) as client:
                with pytest.raises(stop) as caught:
                    client.chat(HELLO)
                assert proxy.deserted()
    finally:
        signal.signal(signal.SIGINT, usual)
    said = everything_said(caught.value)
    assert "handle_request" in said
    assert KEY not in said


def breaks(request: httpx.Request) -> httpx.Response:
    """Be stopped while something else that went wrong is dealt with."""
    try:
        raise httpx.ReadError(request.headers["authorization"])
    except httpx.ReadError:
        raise Ended  # noqa: B904 - nobody says from what


async def test_an_end_in_the_middle_of_an_error_shows_no_key_of_that_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks_sync(_: object, request: httpx.Request) -> httpx.Response:
        return breaks(request)

    async def breaks_async(_: object, request: httpx.Request) -> httpx.Response:
        return breaks(request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", breaks_sync)
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", breaks_async)
    request = httpx.Request(
        "GET", "http://llm.example.com", headers={"authorization": KEY}, extensions={"timeout": {"read": 9}}
    )
    with pytest.raises(Ended) as caught:
        ProxiedTransport().handle_request(request)
    with pytest.raises(Ended) as caught_async:
        await AsyncProxiedTransport().handle_async_request(request)
    for one in (caught, caught_async):
        said = traceback.format_exception(one.value)
        assert any("Ended" in line for line in said)
        assert not any(KEY in line for line in said)
