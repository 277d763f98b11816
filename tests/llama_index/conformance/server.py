"""The server the suite brings: it says over a real socket what a test wrote, and remembers what it was asked."""

from __future__ import annotations

import base64
import json
import select
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast

SSE, NDJSON = "text/event-stream", "application/x-ndjson"


@dataclass(frozen=True)
class Request:
    """What was asked. `disconnected` is set if the client hangs up before it has the whole answer."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    disconnected: threading.Event = field(default_factory=threading.Event)

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What is answered: a body that is sent at once; if it is `endless`, its end never comes."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    endless: bool = False

    @classmethod
    def json(cls, document: Any, status: int = 200) -> Reply:
        """Return a reply of JSON."""
        return cls(json.dumps(document).encode(), status)


Answer = Reply | Callable[[Request], Reply]


class ScriptedServer(ThreadingHTTPServer):
    """A server on loopback that answers by method and path; what it has no answer for is 404."""

    daemon_threads = False

    def __init__(self, answers: Mapping[tuple[str, str], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = dict(answers)
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self.open: set[socket.socket] = set()

    @property
    def base_url(self) -> str:
        """Where it listens, without `/v1`."""
        return f"http://127.0.0.1:{self.server_port}"

    def asked(self, path: str) -> list[Request]:
        """Return the requests for a path, in the order they came."""
        return [request for request in self.requests if request.path == path]

    def __enter__(self) -> Self:
        self._serving = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._serving.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self._serving.join()
        for connection in list(self.open):
            _shut(connection)
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up: tests ask for `disconnected`."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def scripted(self) -> ScriptedServer:
        return cast("ScriptedServer", self.server)

    def setup(self) -> None:
        super().setup()
        self.scripted.open.add(self.connection)

    def finish(self) -> None:
        self.scripted.open.discard(self.connection)
        super().finish()

    def do_GET(self) -> None:  # the name that http.server calls
        length = int(self.headers.get("content-length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.path.partition("?")[0], headers, self.rfile.read(length))
        self.scripted.requests.append(request)
        answer = self.scripted.answers.get((self.command, request.path), Reply.json({"error": "not found"}, 404))
        try:
            self._play(answer if isinstance(answer, Reply) else answer(request))
        except OSError:
            request.disconnected.set()
            raise

    do_POST = do_HEAD = do_GET  # noqa: N815

    def _play(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("content-type", reply.content_type)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        if self.command == "HEAD":
            return
        if reply.body:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(reply.body), reply.body))
        while reply.endless:
            if self.scripted.closing.is_set():
                raise ConnectionAbortedError
            readable, _, _ = select.select([self.connection], [], [], 0.01)
            if readable and self.connection.recv(1, socket.MSG_PEEK) == b"":
                raise ConnectionResetError
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Write no log."""


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the client was faster


# ------------------------------------------------------------------------------------------------------- embeddings


def vector_of(text: str) -> list[float]:
    """Return the vector that a scripted server gives a text: four exact numbers, different for most texts."""
    return [float(len(text)), float(sum(text.encode()) % 97), 0.5, -1.0]


def openai_vectors(request: Request) -> list[dict[str, Any]]:
    """Return the items of an answer of `/v1/embeddings`: base64 when asked for."""
    packed = request.json().get("encoding_format") == "base64"
    return [
        {"object": "embedding", "index": index, "embedding": _packed(vector_of(text)) if packed else vector_of(text)}
        for index, text in enumerate(texts_of(request))
    ]


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def texts_of(request: Request) -> list[str]:
    """Return the texts that a request wants embedded."""
    given: str | list[str] = request.json()["input"]
    return [given] if isinstance(given, str) else given
