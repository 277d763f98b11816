"""`VesselEmbedding`: texts as vectors, from a local server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, Self, cast
from weakref import WeakKeyDictionary

from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation.events.embedding import EmbeddingEndEvent, EmbeddingStartEvent
from llama_index.core.utils import get_tqdm_iterable  # pyright: ignore[reportUnknownVariableType] - untyped there
from llama_index.llms.vessel.connection import CONNECTION_ALIASES, ServerConnection
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.dispatcher import Dispatcher
from pydantic import Field, PrivateAttr
from vessel_core import Timeout
from vessel_core.abreast import Abreast
from vessel_core.embedding import Blank
from vessel_core.errors import InvalidRequest, did_you_mean
from vessel_core.explaining import shortened
from vessel_core.merging import merged
from vessel_core.options import EmbedOptions
from vessel_core.request import OPTION_NAMES

with_progress: Callable[[list[list[str]], bool, str], Iterable[list[str]]] = cast(
    "Callable[[list[list[str]], bool, str], Iterable[list[str]]]", get_tqdm_iterable
)

#: Where core sends its own events of embeddings, so that handlers find these too.
dispatcher: Dispatcher = get_dispatcher("llama_index.core.base.embeddings.base")

OPTIONS = frozenset(EmbedOptions.__annotations__)


class Asked(EmbedOptions, total=False):
    """What one embedding request says besides its texts."""

    model: str | None
    dimensions: int | None
    batch_size: int
    blank: Blank
    timeout: Timeout | float | None


#: What a call of several batches was given: core's methods between it and a request take no more than the texts.
_timeout: ContextVar[Timeout | float | None] = ContextVar("timeout", default=None)


@contextmanager
def _within(timeout: Timeout | float | None) -> Generator[None]:
    token = _timeout.set(timeout)
    try:
        yield
    finally:
        _timeout.reset(token)


#: What lets so many requests through at once, in each event loop.
Gates = WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, asyncio.Semaphore]]


class VesselEmbedding(ServerConnection, BaseEmbedding):
    """An embedding model on a local server. A text is sent as it is; vectors come back in the order of the texts.

    `query_instruction` and `text_instruction` are put before a query and before a text, as models like nomic's or e5
    want it. `dimensions` asks for shorter vectors where the model can. At most `concurrency` requests of
    `embed_batch_size` texts are under way at once.

        embedding = VesselEmbedding(model="nomic-embed-text", query_instruction="search_query: ")
        embedding.get_query_embedding("Where is it?")       # a list of floats
    """

    aliases: ClassVar[Mapping[str, str]] = {
        **CONNECTION_ALIASES,
        "model": "model_name",
        "ollama_additional_kwargs": "additional_kwargs",
    }

    model_name: str = Field(default="unknown", description='The model\'s name; "unknown" means the loaded one.')
    embed_batch_size: int = Field(default=64, gt=0, le=2048, description="How many texts one request holds.")
    concurrency: int = Field(default=4, gt=0, description="How many requests may be under way at once.")
    dimensions: int | None = Field(default=None, gt=0, description="The length of the vectors.")
    keep_alive: int | str | None = Field(default=None, description='Ollama: seconds, or "5m".')
    num_ctx: int | None = Field(default=None, gt=0, description="Ollama: the context to allocate, in tokens.")
    truncate: bool | None = Field(default=None, description="Ollama: cut a text that is too long; else it is refused.")
    extra_body: dict[str, Any] = Field(default_factory=dict[str, Any], description="Merged into the JSON body.")
    additional_kwargs: dict[str, Any] = Field(default_factory=dict[str, Any], description="More options, by name.")
    query_instruction: str | None = Field(default=None, description="Put before a query.")
    text_instruction: str | None = Field(default=None, description="Put before a text.")

    _gates: Gates = PrivateAttr(default_factory=WeakKeyDictionary["asyncio.AbstractEventLoop", "dict[int, Any]"])

    @classmethod
    def class_name(cls) -> str:
        """Return the name by which LlamaIndex stores it."""
        return "VesselEmbedding"

    def __init__(self, /, *args: Any, **arguments: Any) -> None:
        super().__init__(*args, **arguments)
        self._options()  # raises for an additional_kwargs that there isn't

    def __copy__(self) -> Self:
        """Copy this, as `ServerConnection` does; how many requests may be under way is each copy's own."""
        copied = super().__copy__()
        copied._gates = WeakKeyDictionary()  # noqa: SLF001 - of the same class
        return copied

    @property
    def ollama_additional_kwargs(self) -> dict[str, Any]:
        """`additional_kwargs`, by the name it has in Ollama's class."""
        return self.additional_kwargs

    @ollama_additional_kwargs.setter
    def ollama_additional_kwargs(self, options: dict[str, Any]) -> None:
        self.additional_kwargs = options

    def to_payload(self) -> dict[str, Any]:
        """Return what traces show of this object: no key, no header."""
        return {**super().to_payload(), "backend": self.backend, "base_url": self.base_url}

    def get_text_embedding_batch(
        self,
        texts: list[str],
        show_progress: bool = False,
        *,
        timeout: Timeout | float | None = None,
        **kwargs: Any,
    ) -> list[Embedding]:
        """Return a vector for each text, in order, `concurrency` batches at once; core's own takes one after the other.

        After a batch that failed no other is begun. `timeout` is this call's own, for each of its requests.
        """
        batches, stored = self._batches(texts), self._stored(texts)
        unknown = [[text for text in batch if text not in stored] for batch in batches]

        def embedded(batch: list[str]) -> list[Embedding]:
            with _within(timeout):
                return self._get_limited(batch) if batch else []

        vectors: list[Embedding] = []
        with self._workers(len(batches)) as apply:
            made, asked = apply(embedded, unknown), iter(unknown)
            for batch in with_progress(batches, show_progress, "Generating embeddings"):
                with self._told(batch) as found:
                    found += self._with_stored(batch, stored, next(asked), next(made))
                vectors += found
        return vectors

    async def aget_text_embedding_batch(
        self,
        texts: list[str],
        show_progress: bool = False,
        *,
        timeout: Timeout | float | None = None,
        **kwargs: Any,
    ) -> list[Embedding]:
        """Return a vector for each text, in order, as `get_text_embedding_batch`."""
        batches = self._batches(texts)
        keeps = self.embeddings_cache is not None
        embed = self._aget_text_embeddings_cached if keeps else self._aget_text_embeddings_rate_limited

        async def embedded(batch: list[str]) -> list[Embedding]:
            with _within(timeout):
                return await embed(batch)

        tasks = [asyncio.create_task(embedded(batch)) for batch in batches]
        vectors: list[Embedding] = []
        try:
            made = iter(tasks)
            for batch in with_progress(batches, show_progress, "Generating embeddings"):
                with self._told(batch) as found:
                    found += await next(made)
                vectors += found
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return vectors

    @property
    def _at_once(self) -> int:
        """How many requests may be under way: `num_workers` is LlamaIndex's name for it."""
        return self.num_workers or self.concurrency

    @contextmanager
    def _workers(self, batches: int) -> Generator[Callable[..., Iterator[list[Embedding]]]]:
        """Yield a `map` that works on several batches at once; a single one needs no thread."""
        if batches < 2:
            yield map
            return
        with Abreast(min(self._at_once, batches), self.client.hang_up, "vessel-embed") as pool:
            yield pool.map

    def _stored(self, texts: list[str]) -> dict[str, Embedding]:
        """Return what the cache knows of the texts. It is read and written here, not in the pool: few stores may be there."""
        if self.embeddings_cache is None:
            return {}
        known = {text: self.embeddings_cache.get(key=text, collection="embeddings") for text in texts}
        return {text: next(iter(found.values())) for text, found in known.items() if found}

    def _with_stored(
        self, batch: list[str], stored: dict[str, Embedding], asked: list[str], vectors: list[Embedding]
    ) -> list[Embedding]:
        """Return the vectors of a batch, with those that were in the cache; put the others there."""
        if self.embeddings_cache is None:
            return vectors
        for text, vector in zip(asked, vectors, strict=True):
            stored[text] = vector
            self.embeddings_cache.put(key=text, val={str(uuid.uuid4()): vector}, collection="embeddings")
        return [stored[text] for text in batch]

    def _get_limited(self, texts: list[str]) -> list[Embedding]:
        if self.rate_limiter is not None:
            self.rate_limiter.acquire()
        return self._get_text_embeddings(texts)

    def _batches(self, texts: list[str]) -> list[list[str]]:
        size = self.embed_batch_size
        return [texts[at : at + size] for at in range(0, len(texts), size)]

    @contextmanager
    def _told(self, texts: list[str]) -> Generator[list[Embedding]]:
        """Tell callbacks and instrumentation of a batch, whose vectors are put into the list, as core does."""
        payload, vectors = self.to_payload(), list[Embedding]()
        dispatcher.event(EmbeddingStartEvent(model_dict=payload))
        with self.callback_manager.event(CBEventType.EMBEDDING, payload={EventPayload.SERIALIZED: payload}) as event:
            yield vectors
            event.on_end(payload={EventPayload.CHUNKS: texts, EventPayload.EMBEDDINGS: vectors})
        dispatcher.event(EmbeddingEndEvent(chunks=texts, embeddings=vectors))

    def _embed(self, texts: list[str], blank: Blank) -> list[Embedding]:
        asked = self._asked(len(texts), blank)
        with shortened():
            return self.client.embed(texts, **asked).vectors

    async def _aembed(self, texts: list[str], blank: Blank) -> list[Embedding]:
        at_once = self._at_once
        gates = self._gates.setdefault(asyncio.get_running_loop(), {})
        gate = gates.setdefault(at_once, asyncio.Semaphore(at_once))
        with shortened():
            async with gate:  # all batches are started at once
                return (await self.async_client.embed(texts, **self._asked(len(texts), blank))).vectors

    def _asked(self, count: int, blank: Blank) -> Asked:
        """Return the options of one request. An empty page must not end an ingestion; an empty query is a mistake."""
        model = None if self.model_name in ("unknown", "") else self.model_name
        asked: Asked = {"model": model, "dimensions": self.dimensions, "batch_size": max(1, count), "blank": blank}
        return {**asked, "timeout": _timeout.get(), **self._options()}

    def _options(self) -> EmbedOptions:
        """Return the server's options: the fields, with `additional_kwargs` over them. Sampling has no part in a vector."""
        given: dict[str, Any] = {"keep_alive": self.keep_alive, "num_ctx": self.num_ctx, "truncate": self.truncate}
        given |= self.additional_kwargs
        more = {name: given.pop(name) for name in ("user", "encoding_format") if name in given}
        given["extra_body"] = merged({**self.extra_body, **more}, self.additional_kwargs.get("extra_body") or {})
        for name in given.keys() - OPTIONS - OPTION_NAMES:
            close = did_you_mean(name, sorted(OPTIONS))
            hint = "What only this server knows goes into `extra_body={…}`."
            raise InvalidRequest(f"There is no option {name!r} of embeddings{close}", hint=hint)
        return cast("EmbedOptions", {name: value for name, value in given.items() if name in OPTIONS})

    def _query(self, query: str) -> str:
        return _with(self.query_instruction, query) if query else ""  # which is refused, instruction or not

    def _get_query_embedding(self, query: str) -> Embedding:
        return self._embed([self._query(query)], "refuse")[0]

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return (await self._aembed([self._query(query)], "refuse"))[0]

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._embed([_with(self.text_instruction, text)], "space")[0]

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return (await self._aget_text_embeddings([text]))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return self._embed([_with(self.text_instruction, text) for text in texts], "space")

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await self._aembed([_with(self.text_instruction, text) for text in texts], "space")


def _with(instruction: str | None, text: str) -> str:
    """Put an instruction before a text, with a space between them unless it ends in one."""
    if not instruction:
        return text
    return f"{instruction}{text}" if instruction[-1].isspace() else f"{instruction} {text}"
