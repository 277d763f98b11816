"""A real HTTP server on 127.0.0.1 that plays exact bytes and remembers what it was asked.

    with FakeServer({("GET", "/health"): Response.json({"status": "ok"})}) as server:
        httpx.get(server.base_url + "/health")
        assert server.requests[0].path == "/health"

A route is a `Response`, a function from the `Request` to a `Response`, or a list of them played in order (the last one
again and again). `Response.pieces` are sent one by one, each in its own TCP segment and HTTP chunk; a `threading.Event`
among them is waited for, so that a test decides when the stream goes on and never sleeps:

    gate = threading.Event()
    chat = Response(pieces=[first_half, gate, second_half])

`cut="fin"` or `"rst"` breaks the connection after the last piece or after `cut_after` bytes of the body, and
`keep_open=True` lets the body never end. `request.disconnected` (and `server.disconnected`, for any request) is set
when the client hangs up while it is being answered.

`openai_server`, `llamacpp_server`, `ollama_server` and `lmstudio_server` make servers that answer model lists,
versions, properties and embeddings as the real ones do, and play a chat: the bytes of a transcript, pieces, or a
`Response`:

    with ollama_server(transcript("ollama/text.ndjson")) as server: ...
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast

from tests.sockets import readable

TRANSCRIPTS = Path(__file__).parent / "transcripts"
SSE = "text/event-stream"
NDJSON = "application/x-ndjson"


def transcript(name: str) -> bytes:
    """Return the bytes of `tests/transcripts/<name>`, such as `llamacpp/text.sse`."""
    return (TRANSCRIPTS / name).read_bytes()


@dataclass(slots=True)
class Request:
    """A request as it came: `headers` by lower-case name, `path` without the `query`."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    disconnected: threading.Event = field(default_factory=threading.Event)

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Response:
    """What the server answers: a `body` of known length, or `pieces` of a chunked one.

    `framing="close"` sends neither a length nor chunks: the body ends with the connection. `raw` is sent in place of
    everything else, as it is. `wait` is waited for before the first byte.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    pieces: Iterable[bytes | threading.Event] | None = None
    framing: Literal["auto", "chunked", "length", "close"] = "auto"
    cut: Literal["fin", "rst"] | None = None
    cut_after: int | None = None
    keep_open: bool = False
    wait: threading.Event | None = None
    raw: bytes | None = None

    @classmethod
    def json(cls, document: Any, status: int = 200, **headers: str) -> Response:
        """Return a JSON response."""
        return cls(status, {"content-type": "application/json", **headers}, json.dumps(document).encode())

    @classmethod
    def text(cls, text: str, status: int = 200, content_type: str = "text/plain") -> Response:
        """Return a text response."""
        return cls(status, {"content-type": content_type}, text.encode())

    @classmethod
    def stream(cls, *pieces: bytes | threading.Event, content_type: str = SSE, **options: Any) -> Response:
        """Return a streamed response."""
        return cls(headers={"content-type": content_type}, pieces=pieces, **options)

    @classmethod
    def hang_up(cls, cut: Literal["fin", "rst"] = "fin") -> Response:
        """Return no response at all: the connection ends."""
        return cls(raw=b"", cut=cut)


Answer = Response | Callable[[Request], Response]
Route = Answer | list[Answer]
Routes = Mapping[tuple[str, str], Route]
NOT_FOUND = Response.text("404 page not found", 404)


@contextlib.contextmanager
def nobody() -> Generator[str]:
    """Yield the URL of a port that refuses: it is held, so that nobody else is given it meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


class FakeServer:
    """See the module. `requests` holds what was asked, `connections` counts the TCP connections accepted.

    `otherwise` answers what no route does; `headers` go on every response.
    """

    def __init__(
        self,
        routes: Routes | None = None,
        *,
        otherwise: Answer = NOT_FOUND,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.routes: dict[tuple[str, str], Route] = dict(routes or {})
        self.otherwise = otherwise
        self.headers = dict(headers or {})
        self.requests: list[Request] = []
        self.connections = 0
        self.disconnected = threading.Event()
        self._closing = threading.Event()
        self._played: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, hang up on everybody and wait for the threads to end."""
        if self._closing.is_set():
            return
        self._closing.set()
        if self._threads:
            socket.create_connection(("127.0.0.1", self.port)).close()  # wakes the accepting thread
        with self._lock:
            for connection in self._open:
                _shut(connection)
        for thread in list(self._threads):
            thread.join(10)
        self._listener.close()

    def asked(self, path: str) -> list[Request]:
        """Return the requests for one path, in order."""
        return [request for request in self.requests if request.path == path]

    # --------------------------------------------------------------------------------------------------- the machine

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._closing.is_set():
                connection.close()
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                self._open.add(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as reader:
                while (request := _read_request(reader)) is not None:
                    self.requests.append(request)
                    if not self._answer(connection, request):
                        break
        except OSError:
            pass  # the client went away between two requests
        finally:
            with self._lock:
                self._open.discard(connection)

    def _answer(self, connection: socket.socket, request: Request) -> bool:
        """Answer one request; tell whether the connection goes on."""
        response = self._response(request)
        try:
            return self._play(connection, request, response)
        except OSError:
            if not self._closing.is_set():
                request.disconnected.set()
                self.disconnected.set()
            return False

    def _response(self, request: Request) -> Response:
        key = (request.method, request.path)
        with self._lock:
            route = self.routes.get(key, self.otherwise)
            turn = self._played.get(key, 0)
            self._played[key] = turn + 1
        if isinstance(route, Response):
            return route
        answer = route if callable(route) else route[min(turn, len(route) - 1)]
        return answer if isinstance(answer, Response) else answer(request)

    def _play(self, connection: socket.socket, request: Request, response: Response) -> bool:
        if response.wait is not None:
            self._wait(connection, response.wait)
        framing = _framing(response)
        if response.raw is not None:
            connection.sendall(response.raw)
        else:
            connection.sendall(_head(response, framing, self.headers))
            if request.method != "HEAD":
                self._body(connection, response, framing)
        if response.keep_open:
            self._wait(connection, threading.Event())
        if response.cut == "rst":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if response.cut is None and framing == "chunked" and request.method != "HEAD":
            connection.sendall(b"0\r\n\r\n")
        return response.cut is None and response.raw is None and framing != "close"

    def _body(self, connection: socket.socket, response: Response, framing: str) -> None:
        left = response.cut_after
        for piece in [response.body] if response.pieces is None else response.pieces:
            if isinstance(piece, threading.Event):
                self._wait(connection, piece)
                continue
            part = piece if left is None else piece[:left]
            if part:
                connection.sendall(b"%x\r\n%s\r\n" % (len(part), part) if framing == "chunked" else part)
            if left is not None:
                left -= len(part)
                if left <= 0:
                    return
            if _hung_up(connection):
                raise ConnectionResetError

    def _wait(self, connection: socket.socket, gate: threading.Event) -> None:
        """Wait for a gate; raise `OSError` when the client hangs up or the server closes."""
        while not gate.wait(0.005):
            if self._closing.is_set() or _hung_up(connection):
                raise ConnectionResetError


def _read_request(reader: Any) -> Request | None:
    line = cast("bytes", reader.readline()).decode("latin-1").split()
    if len(line) < 2:
        return None
    headers: dict[str, str] = {}
    while (header := cast("bytes", reader.readline()).decode("latin-1").strip()) != "":
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(reader.readline(), 16):
            body += reader.read(size)
            reader.readline()
        reader.readline()
    else:
        body = reader.read(int(headers.get("content-length", 0)))
    path, _, query = line[1].partition("?")
    return Request(line[0], path, query, headers, body)


def _framing(response: Response) -> str:
    if response.framing != "auto":
        return response.framing
    return "length" if response.pieces is None else "chunked"


def _head(response: Response, framing: str, always: Mapping[str, str]) -> bytes:
    headers = {**always, **response.headers}
    if framing == "length":
        headers["content-length"] = str(len(response.body))
    elif framing == "chunked":
        headers["transfer-encoding"] = "chunked"
    else:
        headers["connection"] = "close"
    lines = [f"HTTP/1.1 {response.status} Status", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _hung_up(connection: socket.socket) -> bool:
    return readable(connection) and connection.recv(1, socket.MSG_PEEK) == b""


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the client may have been faster
        connection.shutdown(socket.SHUT_RDWR)


# ------------------------------------------------------------------------------------------------------ whole servers

Chat = bytes | Sequence[bytes | threading.Event] | Response | Callable[[Request], Response]


def _chat(chat: Chat, content_type: str) -> Answer:
    if isinstance(chat, bytes):
        return Response.stream(chat, content_type=content_type)
    if isinstance(chat, Response) or callable(chat):
        return chat
    return Response.stream(*chat, content_type=content_type)


def _texts(request: Request) -> list[str]:
    given = request.json()["input"]
    return [given] if isinstance(given, str) else given


def vector_of(text: str) -> list[float]:
    """Return the vector that every fake server gives a text: four exact numbers, different for most texts."""
    return [float(len(text)), float(sum(text.encode()) % 97), 0.5, -1.0]


def openai_embeddings(request: Request) -> Response:
    """Answer `/v1/embeddings` as llama.cpp does: base64 when asked for."""
    as_base64 = request.json().get("encoding_format") == "base64"
    texts = _texts(request)
    data: list[dict[str, Any]] = []
    for index, text in enumerate(texts):
        vector = vector_of(text)
        packed = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        data.append({"embedding": packed if as_base64 else vector, "index": index, "object": "embedding"})
    usage = {"prompt_tokens": 2 * len(texts), "total_tokens": 2 * len(texts)}
    return Response.json({"model": request.json().get("model", ""), "object": "list", "usage": usage, "data": data})


def _ollama_embeddings(request: Request) -> Response:
    texts = _texts(request)
    vectors = [vector_of(text) for text in texts]
    counts = {"total_duration": 14143917, "load_duration": 1019500, "prompt_eval_count": 2 * len(texts)}
    return Response.json({"model": request.json()["model"], "embeddings": vectors, **counts})


def openai_server(
    chat: Chat = b"", *, models: Sequence[str] = ("demo",), owned_by: str = "vllm", routes: Routes | None = None
) -> FakeServer:
    """Return an OpenAI-compatible server that is none of the three: `/v1` only."""
    data = [{"id": name, "object": "model", "created": 1755770400, "owned_by": owned_by} for name in models]
    return FakeServer(
        {
            ("GET", "/v1/models"): Response.json({"object": "list", "data": data}),
            ("POST", "/v1/chat/completions"): _chat(chat, SSE),
            ("POST", "/v1/embeddings"): openai_embeddings,
            **(routes or {}),
        },
        otherwise=Response.json({"detail": "Not Found"}, 404),
    )


LLAMACPP_CAPS = {
    "supports_tools": True,
    "supports_tool_calls": True,
    "supports_parallel_tool_calls": True,
    "supports_system_role": True,
    "supports_string_content": True,
    "supports_typed_content": False,
    "supports_object_arguments": True,
}


def llamacpp_server(
    chat: Chat = b"",
    *,
    model: str = "plain.gguf",
    n_ctx: int = 1024,
    vision: bool = False,
    audio: bool = False,
    caps: Mapping[str, bool] = LLAMACPP_CAPS,
    routes: Routes | None = None,
) -> FakeServer:
    """Return a `llama-server` with one model loaded."""
    meta = {"vocab_type": 1, "n_vocab": 329, "n_ctx": n_ctx, "n_ctx_train": 4096, "n_embd": 384, "size": 3669504}
    item = {"id": model, "aliases": [model], "object": "model", "created": 1795392814, "owned_by": "llamacpp"}
    capabilities = ["completion", "multimodal"] if vision else ["completion"]
    listing = {
        "models": [{"name": model, "model": model, "type": "model", "capabilities": capabilities}],
        "object": "list",
        "data": [{**item, "meta": {**meta, "n_params": 917376, "ftype": "all F32"}}],
    }
    props: dict[str, Any] = {
        "default_generation_settings": {"params": {}, "n_ctx": n_ctx},
        "total_slots": 2,
        "model_alias": model,
        "model_path": f"/models/{model}",
        "modalities": {"vision": vision, "video": False, "audio": audio},
        "chat_template": "",
        "chat_template_caps": dict(caps),
        "build_info": "b1-0c1e570",
        "is_sleeping": False,
    }
    tokens = {"input_tokens": 98, "object": "response.input_tokens"}
    answers: dict[tuple[str, str], Route] = {
        ("GET", "/health"): Response.json({"status": "ok"}),
        ("GET", "/v1/models"): Response.json(listing),
        ("GET", "/models"): Response.json(listing),
        ("GET", "/props"): Response.json(props),
        ("POST", "/v1/chat/completions"): _chat(chat, SSE),
        ("POST", "/v1/chat/completions/input_tokens"): Response.json(tokens),
        ("POST", "/v1/embeddings"): openai_embeddings,
        **(routes or {}),
    }
    missing = {"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}
    return FakeServer(answers, otherwise=Response.json(missing, 404), headers={"server": "llama.cpp"})


def ollama_server(
    chat: Chat = b"",
    *,
    models: Sequence[str] = ("qwen3:8b",),
    capabilities: Sequence[str] = ("completion", "tools", "thinking"),
    context_length: int = 4096,
    version: str = "0.32.5",
    routes: Routes | None = None,
) -> FakeServer:
    """Return an Ollama server with `models` installed, each of them loaded with `context_length` tokens."""
    details = {"format": "gguf", "family": "qwen3", "parameter_size": "8.2B", "quantization_level": "Q4_K_M"}
    tags = [{"name": name, "model": name, "size": 5225388164, "digest": "500a", "details": details} for name in models]
    loaded = [{**tag, "size_vram": 5137025024, "context_length": context_length} for tag in tags]

    listed = [{"id": name, "object": "model", "created": 1755770400, "owned_by": "library"} for name in models]

    def show(request: Request) -> Response:
        if (name := request.json().get("model")) not in models:
            return Response.json({"error": f"model '{name}' not found"}, 404)
        model_info = {"general.architecture": "qwen3", "qwen3.context_length": 40960, "qwen3.embedding_length": 4096}
        answer = {"parameters": 'stop    "<|im_end|>"', "details": details, "model_info": model_info}
        return Response.json({**answer, "capabilities": list(capabilities)})

    return FakeServer(
        {
            ("GET", "/"): Response.text("Ollama is running"),
            ("HEAD", "/"): Response.text("Ollama is running"),
            ("GET", "/api/version"): Response.json({"version": version}),
            ("GET", "/api/tags"): Response.json({"models": tags}),
            ("GET", "/api/ps"): Response.json({"models": loaded}),
            ("POST", "/api/show"): show,
            ("GET", "/v1/models"): Response.json({"object": "list", "data": listed or None}),
            ("POST", "/api/chat"): _chat(chat, NDJSON),
            ("POST", "/api/embed"): _ollama_embeddings,
            **(routes or {}),
        }
    )


def lmstudio_server(
    chat: Chat = b"",
    *,
    models: Sequence[str] = ("google/gemma-4-26b-a4b",),
    embedding_models: Sequence[str] = (),
    vision: bool = False,
    routes: Routes | None = None,
) -> FakeServer:
    """Return an LM Studio (0.4) server whose chat models are loaded. It says 200 to routes it doesn't have."""

    def item(name: str, kind: str) -> dict[str, Any]:
        shape = {"type": kind, "publisher": "google", "key": name, "display_name": name, "max_context_length": 262144}
        size = {"quantization": {"name": "Q4_K_M", "bits_per_weight": 4}, "size_bytes": 17990911801, "format": "gguf"}
        if kind == "embedding":
            return {**shape, **size, "params_string": None, "loaded_instances": []}
        instance = {"id": name, "config": {"context_length": 4096, "eval_batch_size": 512, "parallel": 4}}
        reasoning = {"allowed_options": ["off", "on"], "default": "on"}
        capabilities = {"vision": vision, "trained_for_tool_use": True, "reasoning": reasoning}
        rest = {"architecture": "gemma4", "params_string": "26B-A4B", "capabilities": capabilities}
        return {**shape, **size, **rest, "loaded_instances": [instance]}

    items = [*(item(name, "llm") for name in models), *(item(name, "embedding") for name in embedding_models)]
    data = [{"id": each["key"], "object": "model", "owned_by": "organization_owner"} for each in items]

    def floats(request: Request) -> Response:
        vectors = [
            {"object": "embedding", "embedding": vector_of(text), "index": at}
            for at, text in enumerate(_texts(request))
        ]
        usage = {"prompt_tokens": 0, "total_tokens": 0}
        return Response.json({"object": "list", "data": vectors, "model": request.json()["model"], "usage": usage})

    def unknown(request: Request) -> Response:
        return Response.json({"error": f"Unexpected endpoint or method. ({request.method} {request.path})"})

    return FakeServer(
        {
            ("GET", "/api/v1/models"): Response.json({"models": items}),
            ("GET", "/v1/models"): Response.json({"object": "list", "data": data}),
            ("POST", "/v1/chat/completions"): _chat(chat, SSE),
            ("POST", "/v1/embeddings"): floats,
            **(routes or {}),
        },
        otherwise=unknown,
    )
