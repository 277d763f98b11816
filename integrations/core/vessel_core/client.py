"""`Client` and `AsyncClient`: the same names, the same behaviour.

They hold no logic of the wire: they send what a dialect wrote, hand it the bytes that come, and keep the clock.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager, closing, contextmanager
from typing import Self, TypeVar, Unpack

from vessel_core import operations
from vessel_core.backends.base import Flow
from vessel_core.discovery import adiscover, choose, discover
from vessel_core.drive import aopen_stream, arun, open_stream, run
from vessel_core.errors import ModelNotFound, VesselError
from vessel_core.request import ChatFields, chat_request
from vessel_core.target import Target, TargetOptions, make_target
from vessel_core.transport import AsyncHTTPTransport, AsyncTransport, HTTPTransport, Transport
from vessel_core.types import Capabilities, ChatReply, ChatRequest, Delta, Embeddings, Message, ModelInfo, ServerInfo

T = TypeVar("T")


class _Clock:
    """Puts the time to the first token on the timings of a stream."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._first: float | None = None

    def mark(self, deltas: Sequence[Delta]) -> None:
        """Take the deltas of one read."""
        if self._first is None:
            self._first = (time.perf_counter() - self._started) * 1000
        if (timings := deltas[-1].timings) is not None:
            timings.first_token_ms = self._first


class Client:
    """A client of one local LLM server.

    `backend` is `"auto"`, `"llamacpp"`, `"lmstudio"`, `"ollama"` or `"openai"`. Without `base_url` a running server is
    found at first use, from its environment variable or at its default addresses; without `model` the loaded one is used.
    `api_key` goes to that server only. `timeout` is a `Timeout`, or the seconds to wait for a first token.

        with Client("llamacpp") as client:
            for delta in client.stream([{"role": "user", "content": "Hello"}]):
                print(delta.text, end="")

    Construction does no I/O and raises `InvalidConfig` for what can't be right; each call raises the errors of
    `vessel_core.errors`. A client may be used from several threads.
    """

    def __init__(
        self,
        backend: str = "auto",
        *,
        target: Target | None = None,
        http_transport: HTTPTransport | None = None,
        **options: Unpack[TargetOptions],
    ) -> None:
        self.target = target or make_target(backend, **options)
        self._http_transport = http_transport
        self._transport: Transport | None = None

    def chat(self, messages: Iterable[Message], **fields: Unpack[ChatFields]) -> ChatReply:
        """Return the whole answer. It is streamed on the wire all the same, so that stopping stops the server."""
        return ChatReply.gather(self.stream(messages, **fields))

    def stream(self, messages: Iterable[Message], **fields: Unpack[ChatFields]) -> Generator[Delta]:
        """Return the answer as it comes, a generator of deltas; closing it stops the server."""
        return self._stream(chat_request(messages, **fields))

    def embed(self, texts: Sequence[str], *, model: str | None = None, dimensions: int | None = None) -> Embeddings:
        """Return a vector for each text, in order, from one request."""
        return self._run(operations.embed(self.target, texts, model, dimensions), model)

    def models(self) -> list[ModelInfo]:
        """List the models the server offers."""
        return self._run(operations.models(self.target))

    def model_info(self, model: str | None = None) -> ModelInfo:
        """Describe a model, by default the one that is used; remembered."""
        return self._run(operations.model_info(self.target, model), model)

    def capabilities(self, model: str | None = None) -> Capabilities:
        """Say what a model can do on this server; remembered."""
        return self.model_info(model).capabilities

    def health(self) -> bool:
        """Say whether the server answers and a model can be used; never raises for a server that isn't there."""
        return self.info().connected and self._run(operations.health(self.target))

    def info(self) -> ServerInfo:
        """Say how the server is: connected with version and models, or not, with the error's text."""
        try:
            return self._run(operations.info(self.target))
        except VesselError as error:
            return self.target.disconnected(error)

    def to_async(self) -> AsyncClient:
        """Return an async client of the same server and model: what one has found, the other knows."""
        return AsyncClient(target=self.target)

    def close(self) -> None:
        """Close the connections; the client may be used again."""
        if self._transport is not None:
            self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.target.label()})"

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_transport": None}

    def _connected(self) -> Transport:
        """Return the connections to the server, which is found first if it isn't known."""
        target = self.target
        if target.settle() is None:
            if target.address is None:
                target.found(choose(discover(places=target.places())))
            else:
                with closing(Transport(target.connection(target.address), self._http_transport)) as probe:
                    run(target.recognise(target.address), probe, target.retries)
        if self._transport is None:
            self._transport = Transport(target.connection(target.server.address), self._http_transport)
        return self._transport

    def _run(self, flow: Flow[T], model: str | None = None) -> T:
        with self._explained(model, ()):
            return run(flow, self._connected(), self.target.retries)

    @contextmanager
    def _explained(self, model: str | None, received: Sequence[Delta]) -> Generator[None]:
        """Put on an error where it happened, what had come, and which models there are instead."""
        try:
            yield
        except ModelNotFound as error:
            flow = self.target.nearest(error, model or self.target.model)
            raise self.target.explain(run(flow, self._connected(), self.target.retries), received) from error.__cause__
        except VesselError as error:
            raise self.target.explain(error, received)  # noqa: B904 - the same error, with more on it

    def _stream(self, request: ChatRequest) -> Generator[Delta]:
        received: list[Delta] = []
        with self._explained(request.model, received), ExitStack() as stack:
            transport = self._connected()
            call, reply = run(operations.chat(self.target, request), transport, self.target.retries)
            clock = _Clock()
            incoming = open_stream(call, transport, self.target.retries, stack)
            if not incoming.streams:
                yield from reply.whole(transport.read(incoming).body)
                return
            pieces = transport.pieces(incoming)
            for data in pieces:
                if deltas := reply.feed(data):
                    clock.mark(deltas)
                    received += deltas
                    yield from deltas
                if reply.done:
                    transport.finish(incoming, pieces)
                    return
            yield from reply.close()


class AsyncClient:
    """An async client of one local LLM server: the names and the behaviour of `Client`.

    It may be used from any number of event loops; each has its own connections, which are closed with it.
    """

    def __init__(
        self,
        backend: str = "auto",
        *,
        target: Target | None = None,
        http_transport: AsyncHTTPTransport | None = None,
        **options: Unpack[TargetOptions],
    ) -> None:
        self.target = target or make_target(backend, **options)
        self._http_transport = http_transport
        self._transport: AsyncTransport | None = None

    async def chat(self, messages: Iterable[Message], **fields: Unpack[ChatFields]) -> ChatReply:
        """Return the whole answer, as `Client.chat`."""
        async with aclosing(self.stream(messages, **fields)) as deltas:
            return ChatReply.gather([delta async for delta in deltas])

    def stream(self, messages: Iterable[Message], **fields: Unpack[ChatFields]) -> AsyncGenerator[Delta]:
        """Return the answer as it comes, an async generator of deltas; closing it stops the server."""
        return self._stream(chat_request(messages, **fields))

    async def embed(
        self, texts: Sequence[str], *, model: str | None = None, dimensions: int | None = None
    ) -> Embeddings:
        """Return a vector for each text, in order, from one request."""
        return await self._run(operations.embed(self.target, texts, model, dimensions), model)

    async def models(self) -> list[ModelInfo]:
        """List the models the server offers."""
        return await self._run(operations.models(self.target))

    async def model_info(self, model: str | None = None) -> ModelInfo:
        """Describe a model, by default the one that is used; remembered."""
        return await self._run(operations.model_info(self.target, model), model)

    async def capabilities(self, model: str | None = None) -> Capabilities:
        """Say what a model can do on this server; remembered."""
        return (await self.model_info(model)).capabilities

    async def health(self) -> bool:
        """Say whether the server answers and a model can be used; never raises for a server that isn't there."""
        return (await self.info()).connected and await self._run(operations.health(self.target))

    async def info(self) -> ServerInfo:
        """Say how the server is: connected with version and models, or not, with the error's text."""
        try:
            return await self._run(operations.info(self.target))
        except VesselError as error:
            return self.target.disconnected(error)

    def to_sync(self) -> Client:
        """Return a sync client of the same server and model."""
        return Client(target=self.target)

    async def aclose(self) -> None:
        """Close the connections of the running loop; the client may be used again."""
        if self._transport is not None:
            await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncClient({self.target.label()})"

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_transport": None}

    async def _connected(self) -> AsyncTransport:
        target = self.target
        if target.settle() is None:
            if target.address is None:
                target.found(choose(await adiscover(places=target.places())))
            else:
                probe = AsyncTransport(target.connection(target.address), self._http_transport)
                try:
                    await arun(target.recognise(target.address), probe, target.retries)
                finally:
                    await probe.aclose()
        if self._transport is None:
            self._transport = AsyncTransport(target.connection(target.server.address), self._http_transport)
        return self._transport

    async def _run(self, flow: Flow[T], model: str | None = None) -> T:
        async with self._explained(model, ()):
            return await arun(flow, await self._connected(), self.target.retries)

    @asynccontextmanager
    async def _explained(self, model: str | None, received: Sequence[Delta]) -> AsyncGenerator[None]:
        try:
            yield
        except ModelNotFound as error:
            flow = self.target.nearest(error, model or self.target.model)
            found = await arun(flow, await self._connected(), self.target.retries)
            raise self.target.explain(found, received) from error.__cause__
        except VesselError as error:
            raise self.target.explain(error, received)  # noqa: B904 - the same error, with more on it

    async def _stream(self, request: ChatRequest) -> AsyncGenerator[Delta]:
        received: list[Delta] = []
        async with self._explained(request.model, received), AsyncExitStack() as stack:
            transport = await self._connected()
            call, reply = await arun(operations.chat(self.target, request), transport, self.target.retries)
            clock = _Clock()
            incoming = await aopen_stream(call, transport, self.target.retries, stack)
            if not incoming.streams:
                for delta in reply.whole((await transport.read(incoming)).body):
                    yield delta
                return
            pieces = await stack.enter_async_context(aclosing(transport.pieces(incoming)))
            async for data in pieces:
                if deltas := reply.feed(data):
                    clock.mark(deltas)
                    received += deltas
                    for delta in deltas:
                        yield delta
                if reply.done:
                    await transport.finish(incoming, pieces)
                    return
            for delta in reply.close():
                yield delta
