"""Asks rows of a corpus, many at once, until there is an answer or an error for each: of a file or of a batch."""

from __future__ import annotations

import asyncio
import json
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from vessel_core.async_client import AsyncClient
from vessel_core.backends.base import same_model
from vessel_core.bulk.items import Item, Task, messages_of
from vessel_core.errors import (
    AuthFailed,
    BadRequest,
    InputTooLarge,
    InvalidConfig,
    InvalidRequest,
    ModelNotFound,
    NoServerFound,
    ProtocolError,
    ServerTimeout,
    ServerUnreachable,
    Unsupported,
    VesselError,
)
from vessel_core.hosts import is_hosts_fault
from vessel_core.types import ChatReply
from vessel_core.vetting import ALIKE, SAMPLE, cosine

TRIES = 3
"""How often a row is tried whose answer broke off or never came."""

OF_ALL = (AuthFailed, ModelNotFound, Unsupported, InvalidConfig)
"""What no row would get past."""

PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds to wait for a server that is not there or has too much to do."""


@dataclass(eq=False)
class Asking(ABC):
    """Workers that take rows from one iterator. What is found of a row is given to `note`, and `after` is called behind each
    batch.

    `concurrency` requests are under way at once; where that is `None`, what the limits of several hosts allow, or `otherwise`.
    A server that is away, or answers nobody in time, is waited for until nothing has come for `patience` seconds. All
    answers are of the model that the first one is of, also from one call of `all` to the next.
    """

    client: AsyncClient
    task: Task
    options: Mapping[str, Any]
    patience: float
    concurrency: int | None
    otherwise: int

    def __post_init__(self) -> None:
        self._ask: Callable[[list[Item]], Awaitable[None]] = self._embed if self.task == "embed" else self._chat
        self._witness: tuple[Any, Sequence[float]] | None = None
        self._answering: str | None = None
        self._lost = self._lost_now()

    @abstractmethod
    def note(self, item: Item, found: Mapping[str, Any], vector: Sequence[float] | None = None) -> None:
        """Take what was found of a row that is done; of one that failed, nothing."""

    def after(self) -> None:  # noqa: B027 - not everybody has something to do there
        """Do what is to be done behind a batch."""

    def room(self) -> int:
        """Return how many requests may be under way; the limits of hosts are known only once each has said its slots."""
        return self.concurrency or sum(host.limit for host in self.client.hosts()) or self.otherwise

    async def all(self, batches: Iterator[list[Item]]) -> None:
        """Work on every batch. The first error that concerns them all ends it."""
        self._workers, self._heard, self._asking_how_it_is = 1, time.monotonic(), asyncio.Lock()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._work(group, batches))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self.after()

    async def _work(self, group: asyncio.TaskGroup, batches: Iterator[list[Item]]) -> None:
        for batch in batches:
            while self._workers < self.room():
                self._workers += 1
                group.create_task(self._work(group, batches))
            await self._answered(batch)
            self.after()

    async def _answered(self, batch: list[Item]) -> None:
        """Ask until there is an answer or an error for each row of a batch."""
        waits = 0
        while True:
            for item in batch:
                item.attempts += 1
            since = time.monotonic()
            try:
                await self._ask(batch)
            except VesselError as error:
                again = batch[0].attempts - waits < TRIES
                if isinstance(error, OF_ALL) and not (again and self._doubtful()):
                    raise
                if _is_away(error):
                    await self._pause(waits, error)
                    waits += 1
                    continue
                if isinstance(error, ServerTimeout):
                    await self._until_it_answers(since, error)
                else:
                    self._heard = time.monotonic()
                refused = isinstance(error, BadRequest | InvalidRequest)
                if not refused and again:
                    continue
                if len(batch) > 1:
                    await self._halves(batch)
                else:
                    batch[0].error = error.message
                    self.note(batch[0], {})
            else:
                self._heard = time.monotonic()
            return

    async def _pause(self, waits: int, error: VesselError) -> None:
        """Wait a little; raise the error if nothing has come for too long."""
        if time.monotonic() - self._heard > self.patience:
            raise error
        await asyncio.sleep(PAUSES[min(waits, len(PAUSES) - 1)] * (0.5 + random.random() / 2))  # noqa: S311

    async def _until_it_answers(self, since: float, error: ServerTimeout) -> None:
        """Wait until the server has answered somebody, if only a short question: so long it may be that it hangs, and what
        was asked is not what takes it too long. Raise the error if it is too long for us."""
        async with self._asking_how_it_is:
            for waits in count():
                if self._heard > since:
                    return
                try:
                    await asyncio.wait_for(self._ask_little(), self.patience)
                except (TimeoutError, VesselError) as silence:
                    if isinstance(silence, TimeoutError) or _is_away(silence):
                        await self._pause(waits, error)
                        continue
                self._heard = time.monotonic()

    async def _ask_little(self) -> None:
        if self.task == "embed":
            await self.client.embed(SAMPLE, **self.options)
        else:
            options: dict[str, Any] = {**self.options, "max_tokens": 1}
            await self.client.chat(messages_of(*SAMPLE), **options)

    def _doubtful(self) -> bool:
        """Tell whether other hosts may answer what those that were asked refused."""
        states = {host.state for host in self.client.hosts()}
        return {"ready", "aside"} <= states

    async def _halves(self, batch: list[Item]) -> None:
        """Find the row that the server refuses."""
        half = len(batch) // 2
        await self._answered(batch[:half])
        await self._answered(batch[half:])

    async def _embed(self, batch: list[Item]) -> None:
        texts = [item.prompt for item in batch]
        vectors: Sequence[Sequence[float] | None]
        try:
            vectors = (await self.client.embed(texts, batch_size=len(texts), **self.options)).rows
        except InputTooLarge as error:
            vectors = error.vectors or [None] * len(batch)
            said = error.message.removeprefix(f"texts[{error.index}]: ")
            for item, vector in zip(batch, vectors, strict=True):
                item.error = None if vector is not None else said
        await self._check(vectors)
        for item, vector in zip(batch, vectors, strict=True):
            if self._witness is None and vector is not None:
                self._witness = (item.prompt, vector)
            self.note(item, {}, vector)

    async def _check(self, vectors: Sequence[Sequence[float] | None]) -> None:
        """Raise `InvalidConfig` unless the vectors come from the model that the first one did."""
        if self._witness is None:
            return
        width = len(self._witness[1])
        if any(vector is not None and len(vector) != width for vector in vectors):
            raise another_model("embeds the same text otherwise")
        if (lost := self._lost_now()) != self._lost:
            await self.compare()
            self._lost = lost

    async def compare(self) -> None:
        """Embed a text again whose vector is known; raise `InvalidConfig` if it comes out otherwise."""
        if self._witness is not None:
            text, vector = self._witness
            (found,) = (await self.client.embed([text], **self.options)).rows
            if cosine(found, vector) < ALIKE:
                raise another_model("embeds the same text otherwise")

    def _check_name(self, name: str | None) -> None:
        """Raise `InvalidConfig` if one server answers by another name than before; several may call one model differently,
        and are compared before they are used."""
        if name and self.client.target.pool is None:
            self._answering = self._answering or name
            if not same_model(name, self._answering):
                raise another_model(f"is {name!r}, and {self._answering!r} answered before")

    def _lost_now(self) -> int:
        return self.client.target.retries.host.lost

    async def _chat(self, batch: list[Item]) -> None:
        (item,) = batch
        reply = await self.client.chat(messages_of(item.prompt), **self.options)
        self._check_name(reply.model)
        self.note(item, _of_reply(reply))


def another_model(how: str) -> InvalidConfig:
    """Return the error of vectors or answers that do not belong together."""
    return InvalidConfig(
        f"Another model wrote this output: the one that answers now {how}.",
        hint="Start the server with the model that it was begun with, and run again; or begin anew with an empty output.",
    )


def _is_away(error: VesselError) -> bool:
    """Tell whether the server can't answer anybody now. One that hung up may have done so because of what it was asked."""
    if isinstance(error, ServerUnreachable):
        return not error.reset
    return isinstance(error, NoServerFound) or (is_hosts_fault(error) and not isinstance(error, ProtocolError))


def _of_reply(reply: ChatReply) -> dict[str, Any]:
    """Return what is written of an answer."""
    calls = [call["function"] for call in reply.tool_calls]
    return {
        "text": reply.text,
        "reasoning": reply.reasoning or None,
        "tool_calls": json.dumps(calls, ensure_ascii=False) if calls else None,
        "finish": reply.finish,
        "prompt_tokens": reply.usage.prompt_tokens if reply.usage else None,
        "completion_tokens": reply.usage.completion_tokens if reply.usage else None,
    }
