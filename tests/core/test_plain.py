"""Sync connections of our own: opened, kept, given up, hung up, and what they say of all that goes wrong."""

from __future__ import annotations

import errno
import gc
import os
import select
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from vessel_core import Client, Message, Timeout
from vessel_core.address import parse_address
from vessel_core.errors import InvalidRequest, ServerUnreachable, StreamInterrupted, VesselError
from vessel_core.hiding import chain
from vessel_core.transport import plain, sync_shell
from vessel_core.transport.connection import Connection
from vessel_core.transport.http1 import Exchange
from vessel_core.transport.incoming import Response
from vessel_core.transport.outgoing import Request
from vessel_core.transport.plain import PlainTransport, readable
from vessel_core.transport.sync_shell import Transport
from vessel_core.wire import Call

from tests.core.hosting import until
from tests.core.test_client_secrets import KEY, everything_said
from tests.faults.catalogue import HEL, endless, ok, presses_ctrl_c
from tests.faults.fault_server import CERTIFICATE, FaultServer, Talk

HELLO: list[Message] = [{"role": "user", "content": "Hello"}]
WAIT: dict[str, Any] = {"connect": 5.0, "read": 5.0, "write": 5.0}
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def transport_to(*, most_idle: int = 64, idle: float = 4.0) -> Generator[PlainTransport]:
    """Return a transport, which fails the test if it leaves a socket open."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        limits = httpx.Limits(max_keepalive_connections=most_idle, keepalive_expiry=idle)
        made = PlainTransport(ssl.create_default_context(cafile=str(CERTIFICATE)), limits)
        try:
            yield made
        finally:
            made.close()


def request(url: str, content: bytes = b"{}", **wait: float) -> Request:
    at = httpx.URL(url)
    fields = [(b"Host", at.netloc), (b"Content-Length", b"%d" % len(content))]
    limits: dict[str, Any] = {**WAIT, **wait}
    return Request("POST", at, fields, content, **limits)


def read(response: Response) -> bytes:
    """Read a response, and leave its connection."""
    try:
        return b"".join(response.stream)
    finally:
        response.stream.close()


@contextmanager
def child_that_lives() -> Generator[None]:
    """Fork a child that does nothing as long as the block lasts."""
    ours, its = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which the child doesn't use
        child = os.fork()
    if child == 0:
        os.close(its)
        os.read(ours, 1)
        os._exit(0)
    os.close(ours)
    try:
        yield
    finally:
        os.close(its)
        os.waitpid(child, 0)


def pool_of(client: Client) -> PlainTransport:
    session: Any = vars(client)["_session"]
    return session._transport._held


def idle(transport: PlainTransport) -> int:
    return len(vars(transport)["_idle"])


def in_use(transport: PlainTransport) -> int:
    return len(vars(transport)["_in_use"])


@contextmanager
def accepting(serve: Callable[[socket.socket], None]) -> Generator[str]:
    """Serve the first connection by hand, in a thread; hand on the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)
    assert not thread.is_alive()


# ------------------------------------------------------------------------------------------------------------ opened


def test_an_encrypted_connection_is_for_its_host_and_for_http_1() -> None:
    told: list[object] = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE)
    tls.set_alpn_protocols(["h2", "http/1.1"])

    def serve(connection: socket.socket) -> None:
        with tls.wrap_socket(connection, server_side=True) as secure:
            told.append(secure.selected_alpn_protocol())
            secure.recv(1000)
            secure.sendall(WHOLE)

    with accepting(serve) as url, transport_to() as transport:
        assert read(transport.handle_request(request(url.replace("http", "https")))) == b"ok"
    assert told == ["http/1.1"]


def test_a_small_request_is_sent_at_once_whatever_is_on_the_way() -> None:
    with FaultServer(ok) as server, transport_to() as transport:
        read(transport.handle_request(request(server.url)))
        (kept,) = vars(transport)["_idle"]
        assert kept._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_what_cannot_be_sent_opens_no_connection_and_its_error_shows_no_frame_of_it() -> None:
    with FaultServer(ok) as server:
        transport = Connection(parse_address(server.url), {"X-Key": SecretStr(f"{KEY}\n")}).transport()
        with pytest.raises(InvalidRequest) as caught:
            transport.send(Call("POST", "/v1/chat/completions", {}), Timeout())
        assert server.connections == 0
    causes = [each for each in chain(caught.value) if each is not caught.value]
    assert causes
    assert [each.__traceback__ for each in causes] == [None] * len(causes)
    assert KEY not in everything_said(caught.value)


def test_a_socket_that_cannot_be_set_up_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(socket.socket):
        def setsockopt(self, *_: object) -> None:
            raise OSError(errno.EINVAL, "Invalid argument")

    connect = socket.create_connection

    def connected(*args: Any) -> Odd:
        return Odd(fileno=connect(*args).detach())

    monkeypatch.setattr(socket, "create_connection", connected)
    with FaultServer(ok) as server, transport_to() as transport:
        with pytest.raises(httpx.ConnectError, match="Invalid argument") as caught:
            transport.handle_request(request(server.url))
        assert isinstance(caught.value.__cause__, OSError)
        until(lambda: server.connections == 1 and not vars(server)["_open"])


# ------------------------------------------------------------------------------------------------------ kept, given up


@pytest.mark.parametrize("tls", [False, True])
def test_a_connection_that_is_kept_serves_the_next_call(tls: bool) -> None:
    with FaultServer(ok, tls=tls) as server, transport_to() as transport:
        for _ in range(3):
            read(transport.handle_request(request(server.url)))
            assert (idle(transport), in_use(transport)) == (1, 0)
        assert server.connections == 1


def test_the_one_used_last_is_used_next_and_those_that_were_idle_too_long_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(plain, "monotonic", lambda: now)
    with FaultServer(ok) as server, transport_to() as transport:
        for response in [transport.handle_request(request(server.url)) for _ in range(3)]:
            read(response)
            now += 1.5
        assert idle(transport) == 3
        last = vars(transport)["_idle"][-1]
        read(transport.handle_request(request(server.url)))  # 4.5, 3 and 1.5 seconds
        assert list(vars(transport)["_idle"])[1:] == [last]
        assert (idle(transport), server.connections) == (2, 3)
        now += 4.0
        read(transport.handle_request(request(server.url)))
        assert (idle(transport), server.connections) == (1, 4)


def test_no_more_than_so_many_are_kept() -> None:
    with FaultServer(ok) as server, transport_to(most_idle=2) as transport:
        for response in [transport.handle_request(request(server.url)) for _ in range(4)]:
            read(response)
        assert (idle(transport), in_use(transport), server.connections) == (2, 0, 4)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("unasked", [WHOLE, b""], ids=["a reply", "the end"])
def test_what_comes_to_an_idle_connection_is_not_the_next_reply(unasked: bytes, tls: bool) -> None:
    late = threading.Event()

    def says_more(talk: Talk) -> None:
        ok(talk)
        late.wait(10)
        if unasked:
            talk.say(unasked)
        else:
            talk.connection.shutdown(socket.SHUT_WR)

    with FaultServer(says_more, ok, tls=tls) as server, transport_to() as transport:
        asked = read(transport.handle_request(request(server.url)))
        (kept,) = vars(transport)["_idle"]
        late.set()
        until(lambda: readable(kept._socket))
        assert read(transport.handle_request(request(server.url))) == asked
        assert server.connections == 2


def test_what_tls_has_read_already_is_not_the_next_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL holds what was not read of a record: the socket itself has nothing more to say."""
    monkeypatch.setattr(plain, "MOST", len(WHOLE))
    with FaultServer(lambda talk: talk.say(WHOLE + WHOLE), ok, tls=True) as server, transport_to() as transport:
        assert read(transport.handle_request(request(server.url))) == b"ok"
        (kept,) = vars(transport)["_idle"]
        assert not readable(kept._socket)
        assert HEL in read(transport.handle_request(request(server.url)))
        assert server.connections == 2


@pytest.mark.parametrize("poll", [True, False], ids=["poll", "a system without it"])
def test_a_socket_is_looked_at_without_reading_it(poll: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not poll:
        monkeypatch.delattr(select, "poll")
    here, there = socket.socketpair()
    with here, there:
        assert not readable(here)
        there.sendall(b"x")
        assert readable(here)
        assert here.recv(1) == b"x"
        assert not readable(here)
        there.close()
        assert readable(here)


def test_a_body_that_was_not_read_to_its_end_closes_its_connection() -> None:
    with FaultServer(endless) as server, transport_to() as transport:
        body: Any = transport.handle_request(request(server.url)).stream
        assert next(body)
        assert body._exchange.outgoing == b""  # it may be large, and holds the key
        body.close()
        body.close()  # once more does nothing
        assert server.deserted()
        assert (idle(transport), in_use(transport)) == (0, 0)
        with pytest.raises(httpx.ReadError, match="closed at this end"):  # it is not whole
            next(body)


def test_a_transport_that_is_closed_keeps_no_connection() -> None:
    with FaultServer(ok) as server, transport_to() as transport:
        body: Any = transport.handle_request(request(server.url)).stream
        (connection,) = vars(transport)["_in_use"]
        assert b"".join(body)
        read(transport.handle_request(request(server.url)))
        (kept,) = vars(transport)["_idle"]
        transport.close()
        assert kept._socket.fileno() == -1
        assert connection.spent
        body.close()
        assert connection._socket.fileno() == -1
        read(transport.handle_request(request(server.url)))  # of a thread that had not heard of it
        assert (idle(transport), in_use(transport)) == (0, 0)


@pytest.mark.parametrize("left", ["idle", "in use"])
def test_a_client_that_is_left_to_the_collector_leaves_no_socket_open(left: str) -> None:
    with FaultServer(ok, endless) as server:
        client = Client("llamacpp", base_url=server.url, model="m")
        assert client.chat(HELLO).text == "Hello"
        pool = pool_of(client)
        held: Any = vars(pool)["_idle"][0]._socket
        stream = client.stream(HELLO)
        if left == "in use":
            next(stream)
        assert (idle(pool), in_use(pool)) == ((1, 0) if left == "idle" else (0, 1))
        gc.collect()  # what is in a variable comes before what leads to it
        around: list[Any] = [client, stream]
        around.append(around)
        del client, stream, pool, held, around
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            gc.collect()
        assert [str(warning.message) for warning in warned] == []
        until(lambda: not vars(server)["_open"])


ENDING = """
import atexit, sys, threading

came = threading.Event()


def last() -> None:
    came.clear()
    print("goes on:", came.wait(10))


atexit.register(last)  # before there is a connection: what was registered later is done by then

from vessel_core import Client

client = Client("llamacpp", base_url=sys.argv[1], model="m", verify=sys.argv[2])
hello = [{"role": "user", "content": "Hello"}]


def read() -> None:
    for _ in client.stream(hello):
        came.set()


threading.Thread(target=read, daemon=True).start()
came.wait()
stopped = client.stream(hello)
next(stopped)
client.chat(hello)  # whose connection is idle now
"""


@pytest.mark.parametrize("tls", [False, True])
def test_an_interpreter_that_ends_leaves_alone_what_daemon_threads_read_and_says_nothing(tls: bool) -> None:
    def goes_on(talk: Talk) -> None:
        talk.head()
        while True:
            talk.chunk(HEL)
            talk.pause(0.01)

    with FaultServer(goes_on, goes_on, ok, tls=tls) as server:
        command = [sys.executable, "-X", "dev", "-c", ENDING, server.url, str(CERTIFICATE)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert (ended.stdout, ended.stderr) == ("goes on: True\n", "")
        assert server.deserted()


# ------------------------------------------------------------------------------------------------------------- sending


def refusing(connection: socket.socket) -> None:
    """Answer when the head has come, and break the connection."""
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nmuch")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_server_that_answers_before_it_was_told_everything_is_heard() -> None:
    with accepting(refusing) as url, transport_to() as transport:
        response = transport.handle_request(request(url, bytes(64 * 1024 * 1024)))
        assert (response.status, read(response)) == (413, b"much")
        assert (idle(transport), in_use(transport)) == (0, 0)  # though the reply doesn't say so


@contextmanager
def reading_the_head(serve: Callable[[socket.socket], None], *, tls: bool) -> Generator[str]:
    """Read no more of a request than its first bytes, then serve the connection by hand; hold it as long as the block lasts."""
    over = threading.Event()

    def head(connection: socket.socket) -> None:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            connection = context.wrap_socket(connection, server_side=True)
        with connection:
            connection.recv(1000)
            serve(connection)
            over.wait(10)

    with accepting(head) as url:
        try:
            yield url.replace("http:", "https:") if tls else url
        finally:
            over.set()


LONG = bytes(64 * 1024 * 1024)


@pytest.mark.parametrize("tls", [False, True])
def test_a_server_that_refuses_a_request_and_takes_no_more_of_it_is_heard(tls: bool) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nmuch")

    with reading_the_head(refuse, tls=tls) as url, transport_to() as transport:
        response = transport.handle_request(request(url, LONG))
        assert (response.status, read(response)) == (413, b"much")
        assert (idle(transport), in_use(transport)) == (0, 0)  # though the reply doesn't say so


@pytest.mark.parametrize("tls", [False, True])
def test_a_server_that_begins_its_reply_before_it_was_told_everything_is_told_the_rest(tls: bool) -> None:
    left = len(LONG)

    def accept(connection: socket.socket) -> None:
        nonlocal left
        connection.sendall(WHOLE[:-1])
        while left and (data := connection.recv(1024 * 1024)):
            left -= len(data)
        connection.sendall(WHOLE[-1:])

    with reading_the_head(accept, tls=tls) as url, transport_to() as transport:
        sent = request(url, LONG)
        left += len(Exchange(sent).outgoing) - len(LONG) - 1000
        assert read(transport.handle_request(sent)) == b"ok"
        assert (idle(transport), in_use(transport)) == (1, 0)
        assert left == 0


@pytest.mark.parametrize("tls", [False, True])
def test_a_whole_reply_is_had_though_the_server_takes_no_more_of_the_request(tls: bool) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(WHOLE[:-1])
        connection.sendall(WHOLE[-1:])

    with reading_the_head(answer, tls=tls) as url, transport_to() as transport:
        assert read(transport.handle_request(request(url, LONG))) == b"ok"
        assert (idle(transport), in_use(transport)) == (0, 0)


@pytest.mark.parametrize("tls", [False, True])
def test_a_reply_that_is_cut_while_the_request_is_sent_ends_the_call(tls: bool) -> None:
    told, hung_up = threading.Event(), threading.Event()

    def cut(connection: socket.socket) -> None:
        connection.sendall(WHOLE[:-1])
        if isinstance(connection, ssl.SSLSocket):
            with suppress(ssl.SSLError):  # it has said so then, and hears more of the request instead of the same
                connection.unwrap()
        else:
            connection.shutdown(socket.SHUT_WR)
        if not told.wait(5):
            hung_up.set()
            connection.close()

    with reading_the_head(cut, tls=tls) as url, transport_to() as transport:
        response = transport.handle_request(request(url, LONG))
        told.set()
        assert not hung_up.is_set()
        with pytest.raises(httpx.RemoteProtocolError, match="middle of the body"):
            read(response)
        assert (idle(transport), in_use(transport)) == (0, 0)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"], ids=["silent", "drips"])
def test_a_server_that_takes_nothing_is_given_up(said: bytes, tls: bool) -> None:
    gone = threading.Event()

    def drip(connection: socket.socket) -> None:
        for byte in said:
            connection.sendall(b"%c" % byte)
            gone.wait(0.02)

    with reading_the_head(drip, tls=tls) as url, transport_to() as transport:
        with pytest.raises(httpx.WriteTimeout):
            transport.handle_request(request(url, LONG, write=0.1))
        gone.set()
        assert (idle(transport), in_use(transport)) == (0, 0)


def test_a_reply_that_ends_before_it_began_ends_a_request() -> None:
    def end(connection: socket.socket) -> None:
        connection.shutdown(socket.SHUT_WR)

    with reading_the_head(end, tls=False) as url, transport_to() as transport:
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            transport.handle_request(request(url, LONG))
        assert (idle(transport), in_use(transport)) == (0, 0)


@pytest.mark.parametrize("tls", [False, True])
def test_a_thread_that_sends_is_woken(tls: bool) -> None:
    failures: list[Exception] = []
    taken = threading.Event()

    def ask(url: str) -> None:
        try:
            transport.handle_request(request(url, LONG, write=60.0))
        except httpx.ReadError as error:
            failures.append(error)

    with reading_the_head(lambda _: taken.set(), tls=tls) as url, transport_to() as transport:
        thread = threading.Thread(target=ask, args=[url])
        thread.start()
        assert taken.wait(10)
        transport.hang_up()
        thread.join(10)
        assert not thread.is_alive()
        assert [str(error) for error in failures] == ["the connection was closed at this end"]
        assert in_use(transport) == 0


def test_a_head_that_drips_is_waited_for_as_long_as_for_one_read() -> None:
    def drips(talk: Talk) -> None:
        for byte in WHOLE:
            talk.say(b"%c" % byte)
            talk.pause(0.02)

    with FaultServer(drips) as server, transport_to() as transport:
        with pytest.raises(httpx.ReadTimeout):
            transport.handle_request(request(server.url, read=0.2))
        assert (idle(transport), in_use(transport)) == (0, 0)
        assert read(transport.handle_request(request(server.url, read=30))) == b"ok"


@pytest.mark.parametrize("first", ["fails", "is not read to its end"])
def test_a_call_gives_its_turn_back_however_it_ends(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_shell, "most_at_once", lambda: 1)
    script = Talk.fin if first == "fails" else endless
    with FaultServer(script, script, ok) as server:
        with Client("llamacpp", base_url=server.url, model="m", max_retries=0, timeout=1.0) as client:
            for _ in range(2):
                with suppress(ServerUnreachable):
                    for _ in client.stream(HELLO):
                        break
            assert client.chat(HELLO).text == "Hello"


def test_the_time_to_the_first_token_begins_with_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_shell, "most_at_once", lambda: 1)
    call = Call("GET", "/health")
    with FaultServer(ok, ok) as server:
        transport = Connection(parse_address(server.url)).transport()
        waiting = threading.Event()
        begun: list[float] = []

        def second() -> None:
            waiting.set()
            with transport.open(call, Timeout()) as incoming:
                begun.append(incoming.since)

        with transport.open(call, Timeout()):
            thread = threading.Thread(target=second)
            thread.start()
            assert waiting.wait(10)
            time.sleep(0.05)  # so that it waits, which nothing tells
            ended = time.monotonic()
        thread.join(10)
        transport.close()
    assert begun[0] >= ended


# ------------------------------------------------------------------------------------------------------------- hung up


def begun(talk: Talk) -> None:
    """Begin a body that ends with the connection."""
    talk.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + HEL)
    talk.hold()


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("how", [Client.hang_up, Client.close])
@pytest.mark.parametrize("script", [Talk.hold, endless], ids=["no head", "chunks"])
def test_a_thread_that_waits_for_an_answer_is_woken(
    script: Callable[[Talk], None], how: Callable[[Client], None], tls: bool
) -> None:
    failures: list[VesselError] = []
    with FaultServer(script, tls=tls) as server:
        with Client("llamacpp", base_url=server.url, model="m", verify=str(CERTIFICATE)) as client:

            def ask() -> None:
                try:
                    for _ in client.stream(HELLO):
                        told.set()
                except VesselError as error:
                    failures.append(error)

            told = threading.Event()
            thread = threading.Thread(target=ask)
            thread.start()
            until(lambda: server.posts == 1 and (told.is_set() or script is Talk.hold))
            how(client)
            thread.join(10)
            assert not thread.is_alive()
            assert server.deserted()
    (error,) = failures
    assert isinstance(error, ServerUnreachable if script is Talk.hold else StreamInterrupted)
    assert server.posts == 1


def test_framing_that_drips_gives_a_piece_no_more_time() -> None:
    def drips(talk: Talk) -> None:
        talk.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;")
        while True:
            talk.say(b"a")
            talk.pause(0.02)

    with FaultServer(drips) as server, transport_to() as transport:
        body: Any = transport.handle_request(request(server.url, read=0.2)).stream
        with pytest.raises(httpx.ReadTimeout):
            next(body)
        body.close()


@pytest.mark.parametrize("tls", [False, True])
def test_a_body_that_ends_because_it_was_hung_up_is_not_whole(tls: bool) -> None:
    with FaultServer(begun, tls=tls) as server, transport_to() as transport:
        body: Any = transport.handle_request(request(server.url)).stream
        assert next(body) == HEL
        (connection,) = vars(transport)["_in_use"]
        transport.hang_up()
        assert not tls or connection._socket.version()  # it still decrypts what it reads
        with pytest.raises(httpx.ReadError, match="closed at this end"):
            next(body)
        body.close()


def test_a_handshake_is_hung_up() -> None:
    failures: list[Exception] = []
    greeted = threading.Event()

    def silent(connection: socket.socket) -> None:
        while connection.recv(1000):
            greeted.set()

    def ask(url: str) -> None:
        try:
            transport.handle_request(request(url.replace("http:", "https:"), connect=60))
        except httpx.ConnectError as error:
            failures.append(error)

    with accepting(silent) as url, transport_to() as transport:
        thread = threading.Thread(target=ask, args=[url])
        thread.start()
        assert greeted.wait(10)
        transport.hang_up()
        thread.join(10)
        assert not thread.is_alive()
        assert (len(failures), in_use(transport)) == (1, 0)


def test_who_was_connecting_when_all_was_hung_up_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultServer(ok) as server, transport_to() as transport:
        connect = socket.create_connection

        def meanwhile(*args: Any) -> socket.socket:
            made = connect(*args)
            transport.hang_up()
            return made

        monkeypatch.setattr(socket, "create_connection", meanwhile)
        with pytest.raises(httpx.ReadError, match="closed at this end"):
            transport.handle_request(request(server.url))
        assert (server.posts, in_use(transport)) == (0, 0)


def test_a_call_has_its_connections_whoever_closes_the_client_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultServer(ok) as server, Client("llamacpp", base_url=server.url, model="m") as client:
        made = sync_shell.Networks

        def meanwhile() -> Any:
            client.close()
            return made()

        monkeypatch.setattr(sync_shell, "Networks", meanwhile)
        assert client.chat(HELLO).text == "Hello"


@pytest.mark.parametrize("how", [Transport.hang_up, Transport.close])
def test_several_threads_may_hang_up_and_close_at_once(
    how: Callable[[Transport], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with transport_to() as pool:
        left = [pool]

        def look(_: Transport) -> PlainTransport | None:
            return left.pop() if left else None  # who looks once more finds that another thread has closed it

        def put(_: Transport, held: object) -> None:
            assert held is None

        monkeypatch.setattr(Transport, "_held", property(look, put), raising=False)
        transport = Connection(parse_address("http://127.0.0.1:9"), {}).transport()
        monkeypatch.setattr(transport, "_pid", os.getpid())
        how(transport)
        assert left == []
        assert vars(pool)["_hang_ups"] == 1


def test_a_forked_child_hangs_up_on_nobody() -> None:
    with FaultServer(endless) as server, Client("llamacpp", base_url=server.url, model="m") as client:
        stream = client.stream(HELLO)
        next(stream)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which the child doesn't use
            child = os.fork()
        if child == 0:
            try:
                client.hang_up()
                client.close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert not server.deserted()
        stream.close()
        assert server.deserted()


def test_a_server_hears_of_a_stop_while_a_forked_child_lives() -> None:
    with FaultServer(endless) as server, Client("llamacpp", base_url=server.url, model="m") as client:
        stream = client.stream(HELLO)
        next(stream)
        with child_that_lives():
            stream.close()
            assert server.deserted()


@pytest.mark.parametrize("tls", [False, True])
def test_ctrl_c_in_the_middle_of_a_call_closes_its_connection_and_shows_no_key(tls: bool) -> None:
    with FaultServer(presses_ctrl_c, tls=tls) as server:
        with Client("llamacpp", base_url=server.url, model="m", api_key=KEY, verify=str(CERTIFICATE)) as client:
            with pytest.raises(KeyboardInterrupt) as caught:
                client.chat(HELLO)
            assert server.deserted()
    said = everything_said(caught.value)
    assert "handle_request" in said
    assert KEY not in said


@pytest.mark.parametrize("text", ["Hello", "Hello" * 20_000], ids=["short", "long"])
def test_ctrl_c_while_a_request_is_sent_by_tls_shows_no_key(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(held: ssl.SSLSocket) -> None:
        if not held.server_side:
            raise KeyboardInterrupt

    monkeypatch.setattr(ssl.SSLSocket, "_checkClosed", pressed)  # which what sends and what reads begin with
    with FaultServer(ok, tls=True) as server:
        with Client("llamacpp", base_url=server.url, model="m", api_key=KEY, verify=str(CERTIFICATE)) as client:
            with pytest.raises(KeyboardInterrupt) as caught:
                client.chat([{"role": "user", "content": text}])
        assert server.connections == 1
    said = everything_said(caught.value)
    assert "data = <memory" in said
    assert KEY not in said


# ------------------------------------------------------------------------------------------------------ through a proxy


@contextmanager
def tunnel(to: FaultServer) -> Generator[str]:
    """A proxy that leads to one server, whatever it is asked for."""

    def serve(connection: socket.socket) -> None:
        head = connection.recv(65536)
        with socket.create_connection(("127.0.0.1", to.port)) as beyond:
            if head.startswith(b"CONNECT"):
                connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            else:
                beyond.sendall(head)
            ends = {connection: beyond, beyond: connection}
            while True:
                for end in select.select(list(ends), [], [], 10)[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    ends[end].sendall(data)

    with accepting(serve) as url:
        yield url


@pytest.mark.filterwarnings("ignore:verify=False")
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("script", [Talk.hold, endless], ids=["no head", "chunks"])
def test_who_waits_beyond_a_proxy_is_woken_too(
    script: Callable[[Talk], None], tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[VesselError] = []
    with FaultServer(script, tls=tls) as server, tunnel(server) as proxy:
        monkeypatch.setenv("https_proxy" if tls else "http_proxy", proxy)
        url = f"{'https' if tls else 'http'}://llm.example.com/v1"
        with Client("llamacpp", base_url=url, model="m", verify=False) as client:

            def ask() -> None:
                try:
                    client.chat(HELLO)
                except VesselError as error:
                    failures.append(error)

            thread = threading.Thread(target=ask)
            thread.start()
            until(lambda: server.posts == 1)
            client.hang_up()
            thread.join(10)
            assert not thread.is_alive()
            assert server.gone.wait(10)
    assert len(failures) == 1
    assert server.posts == 1
