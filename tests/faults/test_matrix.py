"""64 faults, through every way of asking: how many requests, how long, and what comes of it."""

from __future__ import annotations

import copy
import pickle
import re
import socket
import threading
import tracemalloc
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from vessel_core import Timeout
from vessel_core.errors import (
    ConnectTimeout,
    FirstTokenTimeout,
    InputTooLarge,
    InvalidConfig,
    ModelLoading,
    ProtocolError,
    ServerUnreachable,
    StreamInterrupted,
    StreamStalled,
    VesselError,
)

from tests.faults import test_stopping
from tests.faults.catalogue import (
    CATALOGUE,
    DONE,
    HEL,
    KEY,
    Fault,
    endless,
    event,
    interim_for_ever,
    ok,
    raw,
    says,
    slow_first_token,
)
from tests.faults.conftest import Waits
from tests.faults.drivers import Driver, Outcome, answered
from tests.faults.fault_server import CERTIFICATE, EXPIRED, LOADING, FaultServer, Script, Talk

MEGABYTE = 1024 * 1024
HUNGRY = {14, 34, 35, 55}
"""The faults that would fill the memory of a client that lets them."""


def failed(driver: Driver, outcome: Outcome, kind: type[VesselError]) -> VesselError:
    """Return the error of a call: one of ours, of the face's own kind, that says where and what to do."""
    assert isinstance(outcome.error, kind), outcome
    assert isinstance(outcome.error, driver.base)
    assert KEY not in f"{outcome.error!r} {outcome.error}"
    return outcome.error


@contextmanager
def memory(fault: Fault) -> Generator[None]:
    """Hold the Python memory of a fault that would fill it to 40 MB."""
    if fault.number not in HUNGRY:
        yield
        return
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 40 * MEGABYTE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("fault", CATALOGUE, ids=str)
def test_a_fault(fault: Fault, driver: Driver, waits: Waits) -> None:
    with (
        FaultServer(*fault.scripts, **fault.server) as server,
        driver.session(server.url, **fault.options) as session,
        memory(fault),
    ):
        outcome = session.ask()
        assert fault.posts[0] <= server.posts <= fault.posts[1]
        slower = 5 if fault.number in HUNGRY else 1  # counting memory takes its time
        assert waits.lasted <= outcome.seconds <= fault.within * slower
        assert fault.waits is None or waits.asked == fault.waits
        if isinstance(fault.expected, str):
            answered(outcome, fault.expected)
            return
        error = failed(driver, outcome, fault.expected)
        assert server.url in str(error)
        assert error.hint
        assert outcome.partial == fault.partial
        assert error.attempts == server.posts
        assert all(words in str(error) for words in fault.says)
        assert "<h1>" not in str(error)
        assert {name: getattr(error, name) for name in fault.has} == fault.has


# -------------------------------------------------------------------------------------------------------- to connect


def test_01_refused(driver: Driver) -> None:
    with FaultServer(ok) as server:
        pass
    with driver.session(server.url) as session:
        outcome = session.ask()
    error = failed(driver, outcome, ServerUnreachable)
    assert outcome.seconds <= 0.5
    assert server.url in str(error)
    assert "llama-server" in str(error)


def test_02_refused_and_up_again_after_a_second(driver: Driver, waits: Waits) -> None:
    def start() -> None:
        if sum(waits.asked) >= 1.0 and not back.is_set():
            back.set()
            server.start_again()

    back = threading.Event()
    waits.told = start
    with FaultServer(ok) as server, driver.session(server.url) as session:
        answered(session.ask())
        server.shut()
        outcome = session.ask()
        answered(outcome)
        assert outcome.seconds >= waits.lasted
        assert server.posts == 2


def test_03_no_such_host(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def fail(*arguments: Any, **_: Any) -> Any:
        asked.append(arguments)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with driver.session("http://no-such-host.local:8080") as session:
        monkeypatch.setattr(socket, "getaddrinfo", fail)
        outcome = session.ask()
    error = failed(driver, outcome, ServerUnreachable)
    assert "not known" in str(error)
    assert "no-such-host.local" in str(error)
    assert len(asked) == 1


def test_04_nobody_takes_the_connection(driver: Driver) -> None:
    """The queue of a listener that accepts nothing is full: what comes after gets no answer at all."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        timeout = Timeout(connect=0.3)
        with driver.session(f"http://127.0.0.1:{port}", timeout=timeout) as session:
            outcome = session.ask()
        for one in waiting:
            one.close()
    failed(driver, outcome, ConnectTimeout)
    assert 0.25 <= outcome.seconds <= 0.8


def test_05_a_name_with_two_addresses_of_which_one_is_right(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def six_first(host: Any, port: Any, *rest: Any, **named: Any) -> Any:
        if host not in ("localhost", b"localhost"):
            return real(host, port, *rest, **named)
        six = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", int(port), 0, 0))
        return [six, (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(port)))]

    monkeypatch.setattr(socket, "getaddrinfo", six_first)
    with FaultServer(ok) as server, driver.session(f"http://localhost:{server.port}") as session:
        outcome = session.ask()
        answered(outcome)
        assert outcome.seconds <= 0.5


def test_08_a_connection_that_went_stale(driver: Driver) -> None:
    with FaultServer(ok, raw(), ok) as server, driver.session(server.url, max_retries=0) as session:
        answered(session.ask())
        answered(session.ask())
        assert server.posts == 3
        assert 2 <= server.connections <= 3  # LlamaIndex's asks what the model is on one of its own


def test_10_interim_replies_for_ever_on_a_connection_that_is_reused(driver: Driver) -> None:
    with FaultServer(ok, interim_for_ever) as server, driver.session(server.url) as session:
        answered(session.ask())
        outcome = session.ask(timeout=0.15)
        failed(driver, outcome, FirstTokenTimeout)
        assert outcome.seconds <= 1.0
        assert server.posts == 2


@pytest.mark.filterwarnings("ignore:verify=False")
@pytest.mark.parametrize("verify", [True, False, str(CERTIFICATE)], ids=["verify", "trust", "CA file"])
def test_12_a_certificate_that_nobody_signed(driver: Driver, verify: bool | str) -> None:
    with FaultServer(ok, tls=True) as server, driver.session(server.url, verify=verify) as session:
        outcome = session.ask()
    if verify is not True:
        answered(outcome)
        return
    error = failed(driver, outcome, ServerUnreachable)
    assert re.search("self.signed certificate", str(error))
    assert "verify='ca.pem'" in str(error)
    assert server.posts == 0


def test_12_a_certificate_of_another_name(driver: Driver) -> None:
    with FaultServer(ok, tls=True) as server:
        options = {"verify": str(CERTIFICATE)}  # which is for 127.0.0.1
        with driver.session(f"https://localhost:{server.port}", **options) as session:
            error = str(failed(driver, session.ask(), ServerUnreachable))
        assert "certificate is refused: Hostname mismatch, certificate is not valid for 'localhost'." in error
        assert "host of the URL" in error
        assert "verify=" not in error
        assert server.posts == 0


def test_12_a_certificate_that_has_expired(driver: Driver) -> None:
    with FaultServer(ok, tls=EXPIRED) as server, driver.session(server.url, verify=str(EXPIRED)) as session:
        error = str(failed(driver, session.ask(), ServerUnreachable))
        assert "certificate is refused: certificate has expired." in error
        assert "clock" in error
        assert "verify=" not in error
        assert server.posts == 0


@pytest.mark.parametrize("timeout", [0.15, Timeout(first_token=0.15)], ids=["seconds", "Timeout"])
def test_09_a_call_with_a_timeout_of_its_own(driver: Driver, timeout: Timeout | float) -> None:
    """It is held to its own; the next one has the client's again."""
    with FaultServer(Talk.hold, slow_first_token) as server, driver.session(server.url) as session:
        outcome = session.ask(timeout=timeout)
        failed(driver, outcome, FirstTokenTimeout)
        assert outcome.seconds <= 1.0
        assert server.gone.wait(5)  # it was heard, and given up: the next script is for the next call
        answered(session.ask())
        assert server.posts == 2


def test_38_a_call_with_a_pause_of_its_own(driver: Driver) -> None:
    with FaultServer(endless) as server, driver.session(server.url) as session:
        outcome = session.ask(timeout=Timeout(between_tokens=0.15))
        failed(driver, outcome, StreamStalled)
        assert (outcome.partial, server.posts) == ("Hel", 1)


def test_16_a_call_that_waits_less_for_a_model(driver: Driver) -> None:
    with FaultServer(says(LOADING, 503), health=(503,)) as server, driver.session(server.url) as session:
        failed(driver, session.ask(timeout=Timeout(load=0.1)), ModelLoading)
        assert server.posts == 1


def test_a_timeout_that_is_none_is_refused_before_anything_is_sent(driver: Driver) -> None:
    with FaultServer(ok) as server, driver.session(server.url) as session:
        assert isinstance(session.ask(timeout=-1).error, InvalidConfig)
        assert server.posts == 0


def test_12_https_on_a_plain_port(driver: Driver) -> None:
    with FaultServer(ok) as server, driver.session(f"https://127.0.0.1:{server.port}") as session:
        outcome = session.ask()
    assert "http://" in str(failed(driver, outcome, ServerUnreachable).hint)


def test_15_the_wait_for_a_model_is_told(driver: Driver, caplog: pytest.LogCaptureFixture) -> None:
    """To the log, and to who reads the stream, in the way of each face."""
    caplog.set_level("INFO", "vessel_core")
    with FaultServer(says(LOADING, 503), ok, health=(503, 200)) as server, driver.session(server.url) as session:
        assert session.told() == ["waiting for the model to load"] * 2
        assert server.posts == 2
    assert [record.message for record in caplog.records if record.name == "vessel_core"] == [
        "waiting for the model to load (0 of 300 seconds)"
    ] * 2


# -------------------------------------------------------------------------------------------------- tools and vectors


def call(index: int | None, arguments: str, name: str | None = None, call_id: str | None = None) -> bytes:
    given = {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}
    piece = {field: value for field, value in given.items() if value is not None}
    return event({"choices": [{"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": None}]})


CALLED = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
OSLO = [("get_weather", {"city": "Oslo"})]


@pytest.mark.parametrize(
    ("pieces", "calls", "invalid"),
    [
        ([call(0, '{"ci', "get_weather", "a"), call(0, 'ty": "O'), call(0, 'slo"}')], OSLO, 0),
        ([call(0, '{"city": "Oslo"}', "get_weather")], OSLO, 0),
        ([call(None, '{"city": "Oslo"}', "get_weather", "a")], OSLO, 0),
        ([call(0, '{"city": "Oslo"}', "get_weather", "a"), call(0, '{"city": "Oslo"}', "get_weather", "b")], OSLO * 2, 0),
        ([call(0, '{"city": ', "get_weather", "a")], [], 1),
        ([call(0, '["Oslo"]', "get_weather", "a")], [], 1),
        ([call(0, "[" * 20_000, "get_weather", "a")], [], 1),
    ],
    ids=["split", "no id", "no index", "one index twice", "cut off", "no object", "deep"],
)  # fmt: skip
def test_56_arguments_of_tools(driver: Driver, pieces: list[bytes], calls: list[tuple[str, Any]], invalid: int) -> None:
    def script(talk: Talk) -> None:
        talk.stream(*pieces, CALLED, DONE)

    with FaultServer(script) as server, driver.session(server.url) as session:
        outcome = session.ask(tools=True)
    assert outcome.error is None
    assert outcome.answer is not None
    assert (outcome.answer.calls, bool(outcome.answer.invalid)) == (calls, bool(invalid))


def vectors(*embeddings: Any, indices: tuple[int, ...] = (0, 1)) -> Script:
    data = [{"index": index, "embedding": embedding} for index, embedding in zip(indices, embeddings, strict=False)]
    return says({"data": data})


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (vectors([2.0, 1.0], [1.0, 1.0], indices=(1, 0)), [[1.0, 1.0], [2.0, 1.0]]),
        (vectors("AACAPwAAAEA=", "AABAQAAAgEA="), [[1.0, 2.0], [3.0, 4.0]]),
        (vectors([1.0, 1.0], [1.0, 1.0]), [[1.0, 1.0], [1.0, 1.0]]),
        (vectors([1.0, 1.0]), ProtocolError),
        (vectors([1.0, 1.0], [1.0]), ProtocolError),
        (vectors([1.0, 1.0], [None, 1.0]), ProtocolError),
        (vectors([1.0, 1.0], None), ProtocolError),
        (vectors([1.0, 1.0], "AADAfwAAAEA="), ProtocolError),
        (says({"data": None}), ProtocolError),
        (says({}), ProtocolError),
    ],
    ids=["order", "base64", "twice the same", "count", "dimension", "null", "no vector", "NaN", "no data", "nothing"],
)
def test_63_vectors(driver: Driver, script: Script, expected: Any) -> None:
    with FaultServer(script) as server, driver.session(server.url) as session:
        if isinstance(expected, list):
            assert session.embed(["a", "b"]) == expected
        else:
            with pytest.raises(expected) as caught:
                session.embed(["a", "b"])
            assert isinstance(caught.value, driver.base)
        assert server.posts == 1


def test_22_a_text_that_is_too_long_is_told_apart(driver: Driver) -> None:
    def script(talk: Talk) -> None:
        if b"long" in talk.body:
            talk.document({"error": {"message": "input (992 tokens) is too large to process."}}, status=500)
        else:
            talk.document({"data": [{"index": 0, "embedding": [1.0]}]})

    with FaultServer(script) as server, driver.session(server.url) as session:
        with pytest.raises(InputTooLarge) as caught:
            session.embed(["short", "long"])
        assert (caught.value.index, server.posts) == (1, 3)


# ----------------------------------------------------------------------------------------------- stopping, going on


def test_57_a_call_after_the_server_died_in_the_middle_of_one(driver: Driver) -> None:
    def dies(talk: Talk) -> None:
        talk.head()
        talk.chunk(HEL)
        server.shut()

    with FaultServer(dies, ok) as server, driver.session(server.url) as session:
        failed(driver, session.ask(), StreamInterrupted)
        server.start_again()
        answered(session.ask())
        assert server.posts == 2


@pytest.mark.parametrize("how", ["pickle", "deepcopy", "copy"])
def test_61_a_copy_of_a_used_object(driver: Driver, how: str) -> None:
    with FaultServer(ok) as server, driver.session(server.url) as session:
        answered(session.ask())
        made = session.made
        twin = pickle.loads(pickle.dumps(made)) if how == "pickle" else getattr(copy, how)(made)
        answered(session.again(twin).ask())
        answered(session.ask())
        assert server.posts == 3


def test_62_no_local_traffic_through_a_proxy(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultServer(ok) as proxy, FaultServer(ok) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        with driver.session(server.url) as session:
            answered(session.ask())
        assert (proxy.connections, server.posts) == (0, 1)


def test_64_more_calls_at_once_than_connections(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    for shell in ("sync_shell", "async_shell"):
        monkeypatch.setattr(f"vessel_core.transport.{shell}.most_at_once", lambda: 10)
    with FaultServer(ok) as server, driver.session(server.url) as session:
        for outcome in session.many(100):
            answered(outcome)
        assert server.connections <= 20


def test_64_no_more_files(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(24, "Too many open files")

    with FaultServer(ok) as server, driver.session(server.url) as session:
        monkeypatch.setattr(socket.socket, "connect", refuse)
        outcome = session.ask()
        monkeypatch.undo()
    error = failed(driver, outcome, ServerUnreachable)
    assert "ulimit" in str(error)


def test_all_64_are_here() -> None:
    """Each number has a row of the catalogue or a test of its name."""
    tests = [*globals(), *vars(test_stopping)]
    named = {int(name[5:7]) for name in tests if name.startswith("test_") and name[5:7].isdigit()}
    assert named | {fault.number for fault in CATALOGUE} == set(range(1, 65))
