"""S1: a key is sent to its server and shown nowhere: twelve places where keys turn up, in the core and both faces.

The key is given in every way there is at once: as `api_key`, in three headers, and as the password in the URL.
"""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import httpx
import pytest
from langchain_core.load import dumps
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from langchain_vessel import ChatVessel
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.llms.vessel import Vessel
from llama_index_instrumentation import get_dispatcher
from pydantic import PrivateAttr
from typer.testing import CliRunner
from vessel_core import Client
from vessel_core.cli.app import app
from vessel_core.errors import VesselError
from vessel_core.hiding import TELLING
from vessel_core.transport import sync_shell
from vessel_core.transport.through_httpx import ThroughHTTPX

from tests.core.test_client_secrets import FAULTS as CORE_FAULTS
from tests.core.test_client_secrets import KEY as CORE_KEY
from tests.core.test_client_secrets import chained, everything_said
from tests.fake_server import FakeServer, Response, llamacpp_server, transcript
from tests.security.faces import FACES, Face, opened

KEY = CORE_KEY
FORMS = (KEY, KEY.upper(), base64.b64encode(KEY.encode()).decode(), base64.b64encode(f"ann:{KEY}".encode()).decode())
TEXT = transcript("llamacpp/text.sse")


def secrets(port: int) -> dict[str, Any]:
    """Return the arguments that hold the key."""
    names = [f"X-{word.strip('-').title()}" for word in TELLING]
    headers = {**dict.fromkeys(names, KEY), "Cookie": f"session={KEY}", "X-Auth-Token": KEY}
    return {"base_url": f"http://ann:{KEY}@127.0.0.1:{port}/v1", "api_key": KEY, "headers": headers, "model": "m"}


def holds_the_key(said: object) -> bool:
    """Tell whether the key is in a text, in any form."""
    text = said if isinstance(said, str) else repr(said)
    return any(form in text for form in FORMS)


# --------------------------------------------------------------------------------------- what each sink makes of an object


def as_dict(made: Any) -> object:
    if isinstance(made, Client):
        return [{each.name: getattr(made.target, each.name) for each in fields(made.target)}, vars(made)]
    shown: list[object] = [made.model_dump(), made.model_dump(mode="json"), vars(made), dict(made)]
    return shown


def as_json(made: Any) -> object:
    if isinstance(made, Client):
        return json.dumps(vars(made), default=repr)
    return [made.model_dump_json(), json.dumps(vars(made), default=repr)]


def stored(made: Any) -> object:
    """LangChain's `dumps`, which LangSmith records, and LlamaIndex's `to_dict`."""
    if isinstance(made, ChatVessel):
        return [dumps(made), dumps(made | str), dumps(made.bind(stop=["."])), made.answer_settings()]
    if isinstance(made, Vessel):
        return [made.to_dict(), made.to_json(), made.to_payload(), made.dict()]
    return [made.target.label(), made.info(), made.target.known]


class Recorder(BaseTracer):
    """Keeps each run as a tracing service gets it."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[str] = []

    def _persist_run(self, run: Run) -> None:
        self.runs += [run.model_dump_json() if hasattr(run, "model_dump_json") else "", repr(run), repr(vars(run))]


class Events(BaseEventHandler):
    """Keeps each of LlamaIndex's events."""

    _events: list[object] = PrivateAttr(default_factory=list[object])

    @classmethod
    def class_name(cls) -> str:
        return "Events"

    def told(self) -> list[object]:
        return self._events

    def handle(self, event: Any, **_: Any) -> None:
        self._events.append([event.model_dump(), event.dict(), repr(event)])


def traced(made: Any) -> object:
    """Everything a tracer is told of a call that went well and of one that failed."""
    if isinstance(made, ChatVessel):
        recorder = Recorder()
        made.invoke("Hello", {"callbacks": [recorder]})
        assert recorder.runs
        return recorder.runs
    if isinstance(made, Vessel):
        events = Events()
        root = get_dispatcher()
        root.add_event_handler(events)
        try:
            made.complete("Hello")
        finally:
            root.event_handlers.remove(events)
        assert events.told()
        return events.told()
    deltas = list(made.stream([{"role": "user", "content": "Hello"}]))
    assert deltas
    return [deltas, made.models(), made.info(), made.model_info()]


SHOWN: dict[str, Callable[[Any], object]] = {
    "repr": repr,
    "str": lambda made: f"{made} {made!s:.10000}",
    "dict": as_dict,
    "json": as_json,
    "stored": stored,
    "tracer": traced,
    "pickle": pickle.dumps,
    "deepcopy": lambda made: [repr(copied := copy.deepcopy(made)), str(copied), as_dict(copied), pickle.dumps(copied)],
}


@pytest.mark.parametrize("sink", SHOWN)
def test_the_key_shows_in_nothing_that_is_made_of_an_object(face: Face, sink: str) -> None:
    with llamacpp_server(TEXT) as server, opened(face, **secrets(server.port)) as made:
        before = SHOWN[sink](made)
        assert face.ask(made)  # once the server is known, there is more to show
        after = SHOWN[sink](made)
        assert server.requests[-1].headers["x-auth-token"] == KEY
    assert before
    assert not holds_the_key(before)
    assert not holds_the_key(after)


def test_a_deep_copy_still_has_the_key(face: Face) -> None:
    with llamacpp_server(TEXT) as server, opened(face, **secrets(server.port)) as made:
        copied = copy.deepcopy(made)
        assert face.ask(copied)
        face.close(copied)
        assert server.asked("/v1/chat/completions")[0].headers["authorization"] == f"Bearer {KEY}"


# ------------------------------------------------------------------------------------------------- what is said of failures


def failure(face: Face, fault: str) -> VesselError:
    """Return the error of a call that fails on a server which may repeat the key."""
    with FakeServer(otherwise=CORE_FAULTS[fault]) as server:
        with opened(face, max_retries=0, **secrets(server.port)) as made:
            with pytest.raises(VesselError) as caught:
                face.ask(made)
        assert server.requests
    return caught.value


@pytest.mark.parametrize("fault", CORE_FAULTS)
def test_the_key_shows_in_no_traceback_with_the_values_of_its_frames(face: Face, fault: str) -> None:
    assert not holds_the_key(everything_said(failure(face, fault)))


@pytest.mark.parametrize("fault", CORE_FAULTS)
def test_the_key_shows_in_no_link_of_an_errors_chain(face: Face, fault: str) -> None:
    for error in chained(failure(face, fault)):
        assert not holds_the_key([str(error), repr(error), error.args, vars(error), getattr(error, "__notes__", ())])
        assert not holds_the_key(traceback.format_exception(error))


def by_httpx(_: object) -> ThroughHTTPX:
    return ThroughHTTPX(httpx.HTTPTransport())


@pytest.mark.parametrize("fault", ["none", *CORE_FAULTS])
@pytest.mark.parametrize("by", ["ours", "httpx"])
def test_the_key_and_the_prompt_show_in_no_log_of_anybody(
    face: Face, fault: str, by: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "httpx":  # as through a proxy
        monkeypatch.setattr(sync_shell, "_new_pool", by_httpx)
    for name in ["httpx", "httpcore", "vessel_core", *logging.root.manager.loggerDict]:
        monkeypatch.setattr(logging.getLogger(name), "level", logging.DEBUG)
    caplog.set_level(logging.DEBUG)
    if fault == "none":
        with llamacpp_server(TEXT) as server, opened(face, **secrets(server.port)) as made:
            assert face.ask(made, "What I asked")
    else:
        failure(face, fault)
    said = [record.getMessage() + repr(vars(record)) for record in caplog.records]
    assert any(record.name.startswith("httpcore") for record in caplog.records) is (by == "httpx")  # those do speak
    assert not holds_the_key(said)
    assert "What I asked" not in repr(said)


#: How the people who use a face hand the key to the command.
GIVEN: dict[str, Callable[[int], tuple[list[str], dict[str, str]]]] = {
    "core": lambda port: (["--url", f"http://127.0.0.1:{port}", "--key", KEY], {}),
    "langchain": lambda port: (["--url", f"http://127.0.0.1:{port}"], {"VESSEL_API_KEY": KEY}),
    "llamaindex": lambda port: ([], {"LLAMACPP_URL": f"http://ann:{KEY}@127.0.0.1:{port}/v1"}),
}


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("form", ["--json", "--check"])
@pytest.mark.parametrize("fault", ["none", "a refusal that repeats the key", "a page that repeats the key"])
def test_the_key_shows_in_no_report_of_the_doctor(given: str, form: str, fault: str) -> None:
    server = llamacpp_server(TEXT) if fault == "none" else FakeServer(otherwise=CORE_FAULTS[fault])
    with server:
        arguments, environment = GIVEN[given](server.port)
        nowhere = dict.fromkeys(("LMSTUDIO_URL", "OLLAMA_URL", "LLAMACPP_URL"), "http://127.0.0.1:9")
        result = CliRunner().invoke(app, ["doctor", form, *arguments], env={**nowhere, **environment})
        sent = [request.headers.get("authorization", "") for request in server.requests]
    assert any(KEY in value or FORMS[3] in value for value in sent)
    assert str(server.port) in result.output
    assert not holds_the_key(result.output)


def test_the_twelve_places_are_asked_of_all_three() -> None:
    places = {*SHOWN, "traceback", "chain", "logs", "doctor"}
    assert (len(places), len(FACES)) == (12, 3)


def test_what_a_server_says_with_the_key_in_it_is_shown_without(face: Face) -> None:
    answer = Response.json({"error": {"message": f"bad key {KEY}", "headers": {"X-Api-Key": KEY}}}, 401)
    with FakeServer(otherwise=answer) as server, opened(face, max_retries=0, **secrets(server.port)) as made:
        with pytest.raises(VesselError, match="bad key …") as caught:
            face.ask(made)
    assert caught.value.response is not None
    assert not holds_the_key(caught.value.response.text)


def test_a_server_found_by_a_url_with_a_login_is_asked_with_that_login(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    with llamacpp_server(TEXT) as server:
        monkeypatch.setenv("LLAMACPP_URL", f"http://ann:{KEY}@127.0.0.1:{server.port}")
        with opened(face, "auto") as made:
            assert face.ask(made)
        assert server.asked("/v1/chat/completions")[0].headers["authorization"] == f"Basic {FORMS[3]}"
