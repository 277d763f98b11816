"""A server at the level of TCP that does one thing wrong, exactly, and counts what it was asked.

A script gets a `Talk` for each `POST` and says whatever bytes it likes; of several scripts each has one turn, and the last
one all further turns. A `GET` is answered as a llama.cpp server would: health, one model.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.sockets import readable

SSE = "text/event-stream"
JSON = "application/json"
NDJSON = "application/x-ndjson"
CERTIFICATE = Path(__file__).with_name("untrusted.pem")
"""A certificate for 127.0.0.1 that nobody has signed, and its key."""
EXPIRED = CERTIFICATE.with_name("expired.pem")
"""One that was for a day of 2020."""

MODELS = {"object": "list", "data": [{"id": name, "owned_by": "llamacpp"} for name in ("demo-chat", "demo-small", "x")]}


class Gone(Exception):
    """The client hung up, or the test is over."""


class Talk:
    """One request, and the connection to answer it on."""

    def __init__(self, connection: socket.socket, over: threading.Event, head: str, body: bytes) -> None:
        self.connection = connection
        self.over = over
        self.head_of_request = head
        self.body = body
        self.closing = False

    def say(self, *pieces: bytes) -> None:
        """Send bytes, each piece on its own."""
        for piece in pieces:
            self.connection.sendall(piece)

    def head(self, kind: str = SSE, *, status: int = 200, framing: str = "chunked", **headers: str) -> None:
        """Send the head of a reply whose body is `chunked`, ends with the connection (`close`), or has a length."""
        fields = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if framing == "chunked":
            fields["transfer-encoding"] = "chunked"
        elif framing == "close":
            fields["connection"] = "close"
            self.closing = True
        else:
            fields["content-length"] = framing
        lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in fields.items())]
        self.say("\r\n".join([*lines, "", ""]).encode())

    def chunk(self, *pieces: bytes) -> None:
        """Send chunks of a chunked body."""
        for piece in pieces:
            self.say(b"%x\r\n%s\r\n" % (len(piece), piece))

    def end(self) -> None:
        """End a chunked body."""
        self.say(b"0\r\n\r\n")

    def stream(self, *pieces: bytes, kind: str = SSE) -> None:
        """Send a whole chunked reply."""
        self.head(kind)
        self.chunk(*pieces)
        self.end()

    def document(self, document: Any, *, status: int = 200, kind: str = JSON, **headers: str) -> None:
        """Send a reply of known length: JSON, or bytes as they are."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.head(kind, status=status, framing=str(len(body)), **headers)
        self.say(body)

    def fin(self) -> None:
        """End the connection."""
        self.closing = True

    def rst(self) -> None:
        """Break the connection."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.closing = True

    def pause(self, seconds: float) -> None:
        """Say nothing for a while; end if the client hangs up, or the test is over, which hangs up too."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if readable(self.connection, left):
                if self.hung_up():
                    raise Gone
                self.over.wait(min(left, 0.005))  # the next request, which is not heard yet

    def hold(self) -> None:
        """Say nothing until the client hangs up."""
        self.pause(600)

    def hung_up(self) -> bool:
        """Whether the client is gone."""
        return hung_up(self.connection)


def hung_up(connection: socket.socket) -> bool:
    """Tell whether the other end of a connection has hung up: the kernel knows, whoever listens."""
    try:
        return (
            readable(connection) and socket.socket.recv(connection, 1, socket.MSG_PEEK) == b""
        )  # TLS itself can't peek
    except OSError:
        return True


Script = Callable[[Talk], None]


class FaultServer:
    """See the module. `tls` may be a certificate. `posts` counts the requests, `gone` is set when a client hangs up in the
    middle of a reply.
    """

    def __init__(self, *scripts: Script, tls: bool | Path = False, health: Sequence[int] = (200,)) -> None:
        self.scripts = scripts
        self.posts = 0
        self.connections = 0
        self.gone = threading.Event()
        self.heads: list[str] = []
        self._health = list(health)
        self._asked = 0
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._talking: set[socket.socket] = set()
        self._tls: ssl.SSLContext | None = None
        if tls:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(CERTIFICATE if tls is True else tls)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._start(self._accept, self._listener)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self.shut()
        for thread in self._threads:
            thread.join(10)

    def shut(self) -> None:
        """Stop listening and hang up on everybody, as a server that dies."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def deserted(self) -> bool:
        """Tell whether nobody is there any more to hear the replies that have not ended."""
        with self._lock:
            return all(hung_up(connection) for connection in self._talking)

    def start_again(self) -> None:
        """Listen at the same port again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._start(self._accept, self._listener)

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                self._open.add(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        wrapped = connection
        try:
            wrapped = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            with self._lock:
                self._open.add(wrapped)
            if self._tls is None and connection.recv(1, socket.MSG_PEEK) == b"\x16":  # a client that speaks TLS
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
            with wrapped, wrapped.makefile("rb") as reader:
                while (heard := _hear(reader)) is not None and self._answer(Talk(wrapped, self._over, *heard)):
                    pass
        except (OSError, ValueError):
            pass  # no request, or no more of them
        finally:
            with self._lock:
                self._open -= {connection, wrapped}
            connection.close()

    def _answer(self, talk: Talk) -> bool:
        """Answer one request; tell whether the connection goes on."""
        method, path = talk.head_of_request.split()[:2]
        with self._lock:
            turn = self.posts
            self.posts += method == "POST"
            self.heads.append(talk.head_of_request)
        try:
            if method == "POST":
                self._play(self.scripts[min(turn, len(self.scripts) - 1)], talk)
            else:
                self._answer_get(talk, path)
        except (OSError, Gone):
            if not self._over.is_set():
                self.gone.set()
            return False
        return not talk.closing

    def _play(self, script: Script, talk: Talk) -> None:
        with self._lock:
            self._talking.add(talk.connection)
        try:
            script(talk)
        finally:
            with self._lock:
                self._talking.discard(talk.connection)

    def _answer_get(self, talk: Talk, path: str) -> None:
        if path == "/health":
            with self._lock:
                status = self._health[min(self._asked, len(self._health) - 1)]
                self._asked += 1
            talk.document({"status": "ok"} if status == 200 else LOADING, status=status)
        elif path == "/v1/models":
            talk.document(MODELS)
        else:
            talk.document({"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}, status=404)


LOADING = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}


def _hear(reader: Any) -> tuple[str, bytes] | None:
    lines: list[str] = []
    while line := reader.readline().decode("latin-1").strip():
        lines.append(line)
    if not lines:
        return None
    lengths = [int(line.partition(":")[2]) for line in lines if line.lower().startswith("content-length:")]
    return "\n".join(lines), reader.read(lengths[0]) if lengths else b""
