"""One table of requirements for two clients: `AsyncClient` driven from sync code, so that it has the form of `Client`.

Its coroutines are run and its async generators iterated on one private event loop: a requirement is written once, for a
`Client`, and says nothing of `await`.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import Generator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self, cast

import httpx
from vessel_core import AsyncClient, Client

from tests.fake_server import FakeServer, Request, Response, Routes


class Connect(Protocol):
    """Makes a client, sync or async, that is closed at the end of the test."""

    def __call__(self, backend: str = "llamacpp", **options: Any) -> Client: ...


class Driven:
    """An `AsyncClient` with the form of a `Client`."""

    def __init__(self, client: AsyncClient, runner: asyncio.Runner) -> None:
        self.client = client
        self.runner = runner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.client, "aclose" if name == "close" else name)
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            made = found(*arguments, **named)
            if inspect.isasyncgen(made):
                return self._iterate(made)
            return self.runner.run(made) if inspect.iscoroutine(made) else made

        return call

    def _iterate(self, generator: Any) -> Generator[Any]:
        async def following() -> Any:
            return await anext(generator, None)

        try:
            while (item := self.runner.run(following())) is not None:
                yield item
        finally:
            self.runner.run(generator.aclose())


def opened(kind: str) -> AbstractContextManager[Connect]:
    """Return what makes clients of a kind, `sync` or `async`, and closes them."""
    return _Opened(kind)


class _Opened:
    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.clients: list[Client] = []
        self.runner = asyncio.Runner()

    def __enter__(self) -> Connect:
        return self.connect

    def connect(self, backend: str = "llamacpp", **options: Any) -> Client:
        if self.kind == "sync":
            client = Client(backend, **options)
        else:
            client = cast("Client", Driven(AsyncClient(backend, **options), self.runner))
        self.clients.append(client)
        return client

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self.clients:
            client.close()
        self.runner.close()


class Tap(FakeServer):
    """Stands before a real server, hands everything on, and remembers what was asked."""

    def __init__(self, base_url: str) -> None:
        super().__init__(otherwise=self._hand_on)
        fresh = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(base_url=base_url, timeout=60, trust_env=False, limits=fresh)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._client.close()

    def _hand_on(self, request: Request) -> Response:
        headers = {name: value for name, value in request.headers.items() if name in ("authorization", "content-type")}
        call = self._client.build_request(request.method, request.path, headers=headers, content=request.body)
        answer = self._client.send(call, stream=True)
        kept = {name: answer.headers[name] for name in ("content-type", "server") if name in answer.headers}
        if "chunked" in answer.headers.get("transfer-encoding", ""):
            return Response(answer.status_code, kept, pieces=_pieces(answer))
        return Response(answer.status_code, kept, body=b"".join(_pieces(answer)))

    def sent(self, path: str = "/v1/chat/completions") -> dict[str, Any]:
        """Return the JSON body of the only request for a path."""
        (request,) = self.asked(path)
        return request.json()


def _pieces(answer: httpx.Response) -> Generator[bytes]:
    try:
        yield from answer.iter_raw()
    finally:
        answer.close()


class Late(FakeServer):
    """A server that is not there yet: its port is its own, and refuses until it is entered."""

    def __init__(self, routes: Routes | None = None) -> None:
        super().__init__(routes)
        self._listener.close()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))

    def __enter__(self) -> Self:
        self._listener.listen()
        return super().__enter__()
