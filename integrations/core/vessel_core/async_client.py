"""`AsyncClient`: every operation of a local LLM server, async. Its twin is `vessel_core.client`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from vessel_core import anew, operations
from vessel_core.async_drive import adeltas_of, arun, awatch
from vessel_core.backends.base import Flow
from vessel_core.chatting import chat, checked
from vessel_core.discovery import adiscover, choose
from vessel_core.errors import VesselError
from vessel_core.explaining import AsyncExplained, shortened
from vessel_core.hosts import HostStatus
from vessel_core.options import EmbedOptions
from vessel_core.pool import HostPool
from vessel_core.request import ChatFields, CompletionFields, chat_request, completion_request
from vessel_core.retry import Retries
from vessel_core.settings import TargetOptions, make_target
from vessel_core.shown import Models
from vessel_core.target import Target
from vessel_core.types import (
    Capabilities,
    ChatReply,
    Delta,
    Embeddings,
    Message,
    ModelInfo,
    ModelKind,
    Progress,
    Ranked,
    ServerInfo,
    Timeout,
    TokenCount,
)
from vessel_core.watching import Steps, Waiting
from vessel_core.wire import Call, ReplyStream

if TYPE_CHECKING:
    from vessel_core.transport.async_shell import AsyncHTTPTransport, AsyncTransport

T = TypeVar("T")


class AsyncClient:
    """An async client of one local LLM server: the names and the behaviour of `Client`.

        async with AsyncClient("llamacpp") as client:
            async for delta in client.stream([{"role": "user", "content": "Hello"}]):
                print(delta.text, end="")

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
        self.target: Target = target or make_target(backend, **options)
        self._http_transport = http_transport
        self._transport: AsyncTransport | None = None

    async def chat(
        self, messages: Iterable[Message], *, validate: bool = True, **fields: Unpack[ChatFields]
    ) -> ChatReply:
        """Return the whole answer. It is streamed on the wire all the same, so that stopping stops the server.

        JSON that was asked for by `response_format` is checked, and is `InvalidOutput` where it does not fit or was cut off.
        """
        with shortened():
            async with aclosing(self.stream(messages, whole=True, **fields)) as deltas:
                reply = ChatReply.gather([delta async for delta in deltas])
        async with self._explained(None, ()):
            return checked(reply, fields.get("response_format")) if validate else reply

    def stream(
        self, messages: Iterable[Message], *, whole: bool = False, **fields: Unpack[ChatFields]
    ) -> AsyncGenerator[Delta]:
        """Return the answer as it comes, a generator of deltas; closing it stops the server.

        While a model loads, deltas hold nothing but a `progress`, in seconds. For who needs the `whole` answer the others come
        at its end: of several hosts another one begins it anew if a connection breaks.
        """
        request = chat_request(messages, **fields)
        return self._deltas(lambda: chat(self.target, request), request.model, fields.get("timeout"), whole)

    async def complete(
        self, prompt: str, *, suffix: str | None = None, **fields: Unpack[CompletionFields]
    ) -> ChatReply:
        """Return what the model writes after `prompt`, without a chat template; with `suffix`, what belongs between them."""
        async with aclosing(self.stream_complete(prompt, suffix=suffix, whole=True, **fields)) as deltas:
            return ChatReply.gather([delta async for delta in deltas])

    def stream_complete(
        self, prompt: str, *, suffix: str | None = None, whole: bool = False, **fields: Unpack[CompletionFields]
    ) -> AsyncGenerator[Delta]:
        """Return a raw completion as it comes, as `stream` does a chat's."""
        request = completion_request(prompt, suffix, **fields)
        return self._deltas(
            lambda: operations.complete(self.target, request), request.model, fields.get("timeout"), whole
        )

    async def embed(
        self,
        texts: Sequence[str],
        *,
        model: str | None = None,
        dimensions: int | None = None,
        batch_size: int = 64,
        concurrency: int = 4,
        blank: operations.Blank = "refuse",
        timeout: Timeout | float | None = None,
        **options: Unpack[EmbedOptions],
    ) -> Embeddings:
        """Return a vector for each text, in order.

        Texts go unchanged, `batch_size` a request and `concurrency` requests at once. Raises `InputTooLarge` naming a text
        that the server can't take whole; the other vectors of its batch ride on it.
        """
        batches = operations.batches(operations.checked_texts(texts, blank), batch_size)
        self.target.within(timeout)

        slots = asyncio.Semaphore(max(1, concurrency))

        async def embedded(number: int) -> Embeddings:
            async with slots, self._explained(model or self.target.model, ()):
                try:
                    flow = operations.embed(self.target, batches[number], model, dimensions, options)
                    retries = self.target.within(timeout)
                    return await arun(flow, await self._connected(retries), self.target.within(timeout))
                except VesselError as error:
                    raise operations.shifted(error, number * batch_size)  # noqa: B904 - the same error, with its place

        if not batches:
            return Embeddings([])
        first = await embedded(0)
        tasks = [asyncio.ensure_future(embedded(number)) for number in range(1, len(batches))]
        try:
            return operations.joined([first, *(await asyncio.gather(*tasks))])
        finally:
            for task in tasks:
                task.cancel()

    async def rerank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        model: str | None = None,
        top_n: int | None = None,
        timeout: Timeout | float | None = None,
    ) -> list[Ranked]:
        """Return the documents' indices and scores, best first."""
        return await self._run(
            lambda: operations.rerank(self.target, query, documents, model, top_n), model, timeout=timeout
        )

    async def count_tokens(self, text: str, *, model: str | None = None) -> TokenCount:
        """Count the tokens of a text by the server's tokenizer; an estimate (`exact` is false) where it doesn't say."""
        return await self._run(lambda: operations.count_tokens(self.target, text, model), model)

    async def count_chat_tokens(self, messages: Iterable[Message], **fields: Unpack[ChatFields]) -> TokenCount:
        """Count the tokens of a chat with its template and tools, or estimate them."""
        request = chat_request(messages, **fields)
        return await self._run(
            lambda: operations.count_chat_tokens(self.target, request), request.model, timeout=fields.get("timeout")
        )

    async def tokenize(self, text: str, *, model: str | None = None) -> list[int]:
        """Return the token ids of a text (llama.cpp)."""
        return await self._of_model(model, "tokenize", "tokenize text over HTTP", text)

    async def detokenize(self, tokens: Sequence[int], *, model: str | None = None) -> str:
        """Return the text of token ids (llama.cpp)."""
        return await self._of_model(model, "detokenize", "turn tokens into text over HTTP", tokens)

    async def apply_template(self, messages: Iterable[Message], **fields: Unpack[ChatFields]) -> str:
        """Return the prompt that the model's template makes of a chat (llama.cpp)."""
        request = chat_request(messages, **fields)
        return await self._run(
            lambda: operations.apply_template(self.target, request), request.model, timeout=fields.get("timeout")
        )

    async def models(self) -> list[ModelInfo]:
        """List the models the server offers."""
        return Models(await self._run(lambda: operations.models(self.target)))

    async def model_info(
        self, model: str | None = None, *, kind: ModelKind = "chat", timeout: Timeout | float | None = None
    ) -> ModelInfo:
        """Describe a model, by default the one that is used for this kind of work; remembered."""
        return await self._run(lambda: operations.model_info(self.target, model, kind), model, timeout=timeout)

    async def capabilities(self, model: str | None = None) -> Capabilities:
        """Say what a model can do on this server; remembered."""
        return (await self.model_info(model)).capabilities

    async def health(self) -> bool:
        """Say whether the server answers and a model can be used; never raises for a server that isn't there."""
        try:
            return await self._run(lambda: operations.health(self.target), patient=False)
        except VesselError:
            return False

    async def info(self) -> ServerInfo:
        """Say how the server is: connected with version and models, or not, with the error's text."""
        try:
            return await self._run(lambda: operations.info(self.target), patient=False)
        except VesselError as error:
            return self.target.disconnected(error)

    def load(self, model: str, **options: Any) -> AsyncGenerator[Progress]:
        """Load a model, and say how far it is; `num_ctx` and what else the server takes are its options."""
        return self._watch(lambda: operations.load(self.target, model, options), model)

    async def unload(self, model: str) -> None:
        """Unload a model."""
        await self._change(model, "unload", "unload a model", model)

    def pull(self, model: str, **options: Any) -> AsyncGenerator[Progress]:
        """Fetch a model (Ollama, LM Studio), and say how far it is, in bytes."""
        return self._watch(lambda: operations.feature(self.target, "pull", "fetch a model", model, options))

    def create(self, model: str, **options: Any) -> AsyncGenerator[Progress]:
        """Make a model of another one (Ollama): `from_`, `system`, `parameters`, `quantize`…, and say how far it is."""
        named = {name.rstrip("_"): value for name, value in options.items()}
        return self._watch(lambda: operations.feature(self.target, "create", "create a model", model, named))

    async def copy(self, model: str, to: str) -> None:
        """Give a model a second name (Ollama)."""
        await self._change(model, "copy", "copy a model", model, to)

    async def delete(self, model: str) -> None:
        """Remove a model from the server's disk (Ollama)."""
        await self._change(model, "delete", "delete a model", model)

    async def slots(self, *, model: str | None = None) -> list[Mapping[str, Any]]:
        """Return the state of each slot (llama.cpp)."""
        return await self._of_model(model, "slots", "show its slots")

    async def metrics(self, *, model: str | None = None) -> dict[str, float]:
        """Return the server's counters by name (llama.cpp, started with `--metrics`)."""
        return await self._of_model(model, "metrics", "show its metrics")

    async def lora_adapters(self, *, model: str | None = None) -> list[Mapping[str, Any]]:
        """Return the LoRA adapters with `id`, `path` and `scale` (llama.cpp)."""
        return await self._of_model(model, "lora_adapters", "show LoRA adapters")

    async def scale_lora(self, scales: Mapping[int, float]) -> None:
        """Set the scale of LoRA adapters by id (llama.cpp with one model)."""
        await self._of_model(None, "scale_lora", "scale LoRA adapters", scales)

    def wait_until_ready(self, timeout: float | None = 300.0) -> AsyncGenerator[Progress]:
        """Follow a server until it answers and its model is loaded, and say how far it is; it needn't be there yet."""
        waiting = Waiting(timeout)
        return self._watch(lambda: operations.wait_until_ready(self.target, waiting), waiting=waiting)

    def hosts(self) -> list[HostStatus]:
        """Return how each of several hosts is, as far as known; asks nothing, and is empty for a client of one."""
        return self.target.pool.statuses() if self.target.pool else []

    def at(self, host: int | str) -> AsyncClient:
        """Return a client of one of several hosts, by its place in the list or its URL."""
        return AsyncClient(target=self.target.alone(host), http_transport=self._http_transport)

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

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuilt, (self.target,))  # without key and connections

    async def _connected(self, retries: Retries) -> AsyncTransport:
        """Return the connections to the server, which is found first if it isn't known."""
        target = self.target
        if target.pool is not None:
            return await self._pooled(target.pool)
        if target.settle() is None:
            if target.address is None:
                target.found(choose(await adiscover(places=target.places())))
            else:
                probe = target.connection(target.address).async_transport(self._http_transport)
                try:
                    await arun(target.recognise(target.address), probe, retries)
                finally:
                    await probe.aclose()
        if self._transport is None:
            self._transport = target.connection(target.server.address).async_transport(self._http_transport)
        return self._transport

    async def _pooled(self, pool: HostPool) -> AsyncTransport:
        """Return the connections to several hosts."""
        from vessel_core.async_pooled import AsyncPooledTransport  # only who has several hosts loads it

        if not isinstance(self._transport, AsyncPooledTransport):
            self._transport = AsyncPooledTransport(self.target, pool, self._http_transport)
        if self.target.settle() is None:
            await self._transport.meet()
        return self._transport

    async def _run(
        self,
        flow: Callable[[], Flow[T]],
        model: str | None = None,
        *,
        patient: bool = True,
        timeout: Timeout | float | None = None,
    ) -> T:
        async with self._explained(model or self.target.model, ()):
            transport = await self._connected(self.target.patience(patient, timeout))
            return await arun(flow(), transport, self.target.patience(patient, timeout))

    async def _of_model(self, model: str | None, name: str, needs: str, *arguments: Any) -> Any:
        return await self._run(lambda: operations.of_model(self.target, model, name, needs, *arguments), model)

    async def _change(self, about: str, name: str, needs: str, *arguments: Any) -> None:
        await self._run(lambda: operations.change(self.target, name, needs, *arguments), about)

    def _watch(
        self, steps: Callable[[], Steps], model: str | None = None, waiting: Waiting | None = None
    ) -> AsyncGenerator[Progress]:
        async def begin() -> tuple[Steps, AsyncTransport, Retries]:
            patience = self.target.patience(waiting is None)
            transport = await self._connected(patience)
            return operations.forgetting(self.target, steps()), transport, patience

        return awatch(begin, self._explained(model, ()), waiting)

    def _explained(self, model: str | None, received: Sequence[Delta]) -> AsyncExplained:
        return AsyncExplained(self.target, self._connected, model, received)

    def _deltas(
        self,
        flow: Callable[[], Flow[tuple[Call, ReplyStream]]],
        model: str | None,
        timeout: Timeout | float | None,
        whole: bool = False,
    ) -> AsyncGenerator[Delta]:
        self.target.within(timeout)  # raises for what can be none, before anything is begun

        def deltas() -> AsyncGenerator[Delta]:
            received: list[Delta] = []

            async def begin() -> tuple[Flow[tuple[Call, ReplyStream]], AsyncTransport, Retries]:
                transport = await self._connected(self.target.within(timeout))
                return flow(), transport, self.target.within(timeout)

            return adeltas_of(begin, self._explained(model or self.target.model, received), received)

        return anew.awhole(self.target, deltas) if whole and self.target.pool else deltas()


def _rebuilt(target: Target) -> AsyncClient:
    return AsyncClient(target=target)
