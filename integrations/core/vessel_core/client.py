"""`Client`: every operation of a local LLM server, sync. Its twin is `vessel_core.async_client`.

It holds no logic of the wire: what is asked is in `operations`, how it is written and read in `wire`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self, Unpack

from vessel_core import operations
from vessel_core.async_client import AsyncClient
from vessel_core.chatting import chat
from vessel_core.checking import check_of
from vessel_core.embedding import Blank, Joining, batches, embed_request, fitted
from vessel_core.errors import VesselError
from vessel_core.explaining import shortened
from vessel_core.hosts import HostStatus
from vessel_core.options import EmbedOptions
from vessel_core.request import ChatFields, CompletionFields, chat_request, completion_request
from vessel_core.session import Session
from vessel_core.settings import TargetOptions, given_target
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
from vessel_core.watching import Waiting

if TYPE_CHECKING:
    from vessel_core.transport.sync_shell import HTTPTransport


class Client:
    """A client of one local LLM server.

    `backend` is `"auto"`, `"llamacpp"`, `"lmstudio"`, `"ollama"` or `"openai"`. Without `base_url` a running server is
    found at first use, from its environment variable or at its default addresses; without `model` the loaded one is used.
    With a list of URLs as `base_url` calls are spread over these hosts, which serve the same model (see `Routing`).
    `api_key` goes to that server only. `timeout` is a `Timeout`, or the seconds an answer may take to begin.

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
        self.target: Target = target or given_target(backend, **options)
        self._session = Session(self.target, http_transport)

    def chat(self, messages: Iterable[Message], *, validate: bool = True, **fields: Unpack[ChatFields]) -> ChatReply:
        """Return the whole answer. It is streamed on the wire all the same, so that stopping stops the server.

        What was asked for is checked: JSON by `response_format`, a call by `tool_choice`. An answer that is none of it, or was
        cut off, is `InvalidOutput`, and rides on the error as `partial`; with `validate=False` it is returned.
        """
        with shortened():
            return ChatReply.gather(self.stream(messages, validate=validate, whole=True, **fields))

    def stream(
        self,
        messages: Iterable[Message],
        *,
        validate: bool = True,
        whole: bool = False,
        **fields: Unpack[ChatFields],
    ) -> Generator[Delta]:
        """Return the answer as it comes, a generator of deltas; closing it stops the server. It is checked at its end.

        While a model loads, deltas hold nothing but a `progress`, in seconds. For who needs the `whole` answer the others come
        at its end: of several hosts another one begins it anew if the first one fails in the middle of it.
        """
        request = chat_request(messages, **fields)
        check = check_of(request) if validate else None
        flow = partial(chat, self.target, request)
        return self._session.deltas(flow, request.model, fields.get("timeout"), check, whole=whole)

    def complete(self, prompt: str, *, suffix: str | None = None, **fields: Unpack[CompletionFields]) -> ChatReply:
        """Return what the model writes after `prompt`, without a chat template; with `suffix`, what belongs between them."""
        return ChatReply.gather(self.stream_complete(prompt, suffix=suffix, whole=True, **fields))

    def stream_complete(
        self, prompt: str, *, suffix: str | None = None, whole: bool = False, **fields: Unpack[CompletionFields]
    ) -> Generator[Delta]:
        """Return a raw completion as it comes, as `stream` does a chat's."""
        request = completion_request(prompt, suffix, **fields)
        flow = partial(operations.complete, self.target, request)
        return self._session.deltas(flow, request.model, fields.get("timeout"), whole=whole)

    def embed(
        self,
        texts: Iterable[str],
        *,
        model: str | None = None,
        dimensions: int | None = None,
        batch_size: int | None = None,
        concurrency: int | None = None,
        blank: Blank = "refuse",
        timeout: Timeout | float | None = None,
        **options: Unpack[EmbedOptions],
    ) -> Embeddings:
        """Return a vector for each text, in order.

        Texts go unchanged, `batch_size` a request and `concurrency` requests at once, by default what fits the server.
        Raises `InputTooLarge` naming a text that the server can't take whole; the other vectors of its batch ride on it.
        """
        request = embed_request(
            texts, blank, options, model=model, dimensions=dimensions, batch_size=batch_size, concurrency=concurrency
        )
        self.target.within(timeout)  # raises for what can be none
        if not request.texts:
            return Embeddings([])
        request = self._session.run(fitted(self.target, request), model, timeout=timeout)
        joining = Joining()
        self._session.run_all(batches(self.target, request), request.concurrency or 1, model, timeout, joining.add)
        return joining.whole()

    def rerank(
        self,
        query: str,
        documents: Iterable[str],
        *,
        model: str | None = None,
        top_n: int | None = None,
        timeout: Timeout | float | None = None,
    ) -> list[Ranked]:
        """Return the documents' indices and scores, best first."""
        return self._session.run(operations.rerank(self.target, query, documents, model, top_n), model, timeout=timeout)

    def count_tokens(
        self, text: str, *, model: str | None = None, timeout: Timeout | float | None = None
    ) -> TokenCount:
        """Count the tokens of a text by the server's tokenizer; an estimate (`exact` is false) where it doesn't say."""
        return self._session.run(operations.count_tokens(self.target, text, model), model, timeout=timeout)

    def count_chat_tokens(self, messages: Iterable[Message], **fields: Unpack[ChatFields]) -> TokenCount:
        """Count the tokens of a chat with its template and tools, or estimate them."""
        request = chat_request(messages, **fields)
        return self._session.run(
            operations.count_chat_tokens(self.target, request), request.model, timeout=fields.get("timeout")
        )

    def tokenize(self, text: str, *, model: str | None = None, timeout: Timeout | float | None = None) -> list[int]:
        """Return the token ids of a text (llama.cpp)."""
        return self._of_model(model, "tokenize", "tokenize text over HTTP", text, timeout=timeout)

    def detokenize(
        self, tokens: Sequence[int], *, model: str | None = None, timeout: Timeout | float | None = None
    ) -> str:
        """Return the text of token ids (llama.cpp)."""
        return self._of_model(model, "detokenize", "turn tokens into text over HTTP", tokens, timeout=timeout)

    def apply_template(self, messages: Iterable[Message], **fields: Unpack[ChatFields]) -> str:
        """Return the prompt that the model's template makes of a chat (llama.cpp)."""
        request = chat_request(messages, **fields)
        return self._session.run(
            operations.apply_template(self.target, request), request.model, timeout=fields.get("timeout")
        )

    def models(self, *, timeout: Timeout | float | None = None) -> list[ModelInfo]:
        """List the models the server offers."""
        return Models(self._session.run(operations.models(self.target), timeout=timeout))

    def model_info(
        self, model: str | None = None, *, kind: ModelKind = "chat", timeout: Timeout | float | None = None
    ) -> ModelInfo:
        """Describe a model, by default the one that is used for this kind of work; remembered."""
        return self._session.run(operations.model_info(self.target, model, kind), model, timeout=timeout)

    def capabilities(self, model: str | None = None, *, timeout: Timeout | float | None = None) -> Capabilities:
        """Say what a model can do on this server; remembered."""
        return self.model_info(model, timeout=timeout).capabilities

    def health(self, *, timeout: Timeout | float | None = None) -> bool:
        """Say whether the server answers and a model can be used; never raises for a server that isn't there."""
        try:
            return self._session.run(operations.health(self.target), patient=False, timeout=timeout)
        except VesselError:
            return False

    def info(self, *, timeout: Timeout | float | None = None) -> ServerInfo:
        """Say how the server is: connected with version and models, or not, with the error's text."""
        try:
            return self._session.run(operations.info(self.target), patient=False, timeout=timeout)
        except VesselError as error:
            return self.target.disconnected(error)

    def load(self, model: str, *, timeout: Timeout | float | None = None, **options: Any) -> Generator[Progress]:
        """Load a model, and say how far it is. Ollama takes the runner's options (`num_ctx`…) and `keep_alive`, LM Studio
        `num_ctx` and those of its own API; `extra_body` goes into the JSON body as it is. Raises `InvalidRequest` on others."""
        return self._session.watch(operations.load(self.target, model, options, timeout), model, timeout=timeout)

    def unload(self, model: str, *, timeout: Timeout | float | None = None) -> None:
        """Unload a model."""
        self._change(model, "unload", "unload a model", model, timeout=timeout)

    def pull(self, model: str, *, timeout: Timeout | float | None = None, **options: Any) -> Generator[Progress]:
        """Fetch a model (Ollama: `insecure`; LM Studio: `quantization`), and say how far it is, in bytes; as `load`."""
        return self._session.watch(operations.pull(self.target, model, options), timeout=timeout)

    def create(self, model: str, *, timeout: Timeout | float | None = None, **options: Any) -> Generator[Progress]:
        """Make a model of another one (Ollama): `from_`, `system`, `parameters`, `quantize`…; as `load`."""
        return self._session.watch(operations.create(self.target, model, options), timeout=timeout)

    def copy(self, model: str, to: str, *, timeout: Timeout | float | None = None) -> None:
        """Give a model a second name (Ollama)."""
        self._change(model, "copy", "copy a model", model, to, timeout=timeout)

    def delete(self, model: str, *, timeout: Timeout | float | None = None) -> None:
        """Remove a model from the server's disk (Ollama)."""
        self._change(model, "delete", "delete a model", model, timeout=timeout)

    def slots(self, *, model: str | None = None, timeout: Timeout | float | None = None) -> list[Mapping[str, Any]]:
        """Return the state of each slot (llama.cpp)."""
        return self._of_model(model, "slots", "show its slots", timeout=timeout)

    def save_slot(
        self, slot: int, file: str, *, model: str | None = None, timeout: Timeout | float | None = None
    ) -> Mapping[str, Any]:
        """Keep what a slot has read in a file of the server's folder (llama.cpp, started with `--slot-save-path`)."""
        return self._of_model(model, "save_slot", "save a slot", slot, file, timeout=timeout)

    def restore_slot(
        self, slot: int, file: str, *, model: str | None = None, timeout: Timeout | float | None = None
    ) -> Mapping[str, Any]:
        """Put what `save_slot` kept into a slot: a prompt that begins so is read from there on (llama.cpp)."""
        return self._of_model(model, "restore_slot", "restore a slot", slot, file, timeout=timeout)

    def erase_slot(
        self, slot: int, *, model: str | None = None, timeout: Timeout | float | None = None
    ) -> Mapping[str, Any]:
        """Forget what a slot has read (llama.cpp, started with `--slot-save-path`)."""
        return self._of_model(model, "erase_slot", "erase a slot", slot, timeout=timeout)

    def metrics(self, *, model: str | None = None, timeout: Timeout | float | None = None) -> dict[str, float]:
        """Return the server's counters by name (llama.cpp, started with `--metrics`)."""
        return self._of_model(model, "metrics", "show its metrics", timeout=timeout)

    def lora_adapters(
        self, *, model: str | None = None, timeout: Timeout | float | None = None
    ) -> list[Mapping[str, Any]]:
        """Return the LoRA adapters with `id`, `path` and `scale` (llama.cpp)."""
        return self._of_model(model, "lora_adapters", "show LoRA adapters", timeout=timeout)

    def scale_lora(self, scales: Mapping[int, float], *, timeout: Timeout | float | None = None) -> None:
        """Set the scale of LoRA adapters by id (llama.cpp with one model)."""
        self._of_model(None, "scale_lora", "scale LoRA adapters", scales, timeout=timeout)

    def wait_until_ready(self, timeout: Timeout | float | None = 300.0) -> Generator[Progress]:
        """Follow a server until it answers and its model is loaded, and say how far it is; it needn't be there yet."""
        waiting = Waiting(timeout, self.target.timeout)
        steps = operations.wait_until_ready(self.target, waiting)
        return self._session.watch(steps, waiting=waiting, timeout=waiting.timeout)

    def to_async(self) -> AsyncClient:
        """Return an async client of the same server and model: what one has found, the other knows."""
        return AsyncClient(target=self.target)

    def hosts(self) -> list[HostStatus]:
        """Return how each of several hosts is, as far as known; asks nothing, and is empty for a client of one."""
        return self.target.pool.statuses() if self.target.pool else []

    def at(self, host: int | str) -> Client:
        """Return a client of one of several hosts, by its place in the list or its URL."""
        return Client(target=self.target.alone(host), http_transport=self._session.http_transport)

    def hang_up(self) -> None:
        """End the calls that other threads have under way: they raise, and the server stops. It may be used again at once."""
        self._session.hang_up()

    def close(self) -> None:
        """Close the connections; the client may be used again."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.target.label()})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuilt, (self.target,))  # without key and connections

    def _of_model(
        self, model: str | None, name: str, needs: str, *arguments: Any, timeout: Timeout | float | None = None
    ) -> Any:
        return self._session.run(
            operations.of_model(self.target, model, name, needs, *arguments), model, timeout=timeout
        )

    def _change(
        self, about: str, name: str, needs: str, *arguments: Any, timeout: Timeout | float | None = None
    ) -> None:
        self._session.run(operations.change(self.target, name, needs, *arguments), about, timeout=timeout)


def _rebuilt(target: Target) -> Client:
    return Client(target=target)
