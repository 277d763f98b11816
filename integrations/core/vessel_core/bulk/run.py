"""Works on every row of a source: workers that take rows from one iterator and write to one journal."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, cast

from vessel_core.async_client import AsyncClient
from vessel_core.bulk.journal import Journal
from vessel_core.bulk.progress import BulkProgress, shown_by
from vessel_core.bulk.rows import Source, checked_file, count_rows, rows_of
from vessel_core.client import Client
from vessel_core.errors import (
    AuthFailed,
    BadRequest,
    InputTooLarge,
    InvalidConfig,
    InvalidRequest,
    ModelNotFound,
    NoServerFound,
    ProtocolError,
    ServerError,
    ServerUnreachable,
    Unsupported,
    VesselError,
)
from vessel_core.hosts import is_hosts_fault
from vessel_core.types import ChatReply, Message

Task = Literal["embed", "chat"]
TRIES = 3
"""How often a row is tried whose answer broke off or never came."""

PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds to wait for a server that is not there or has too much to do."""

COLUMNS: Mapping[Task, Mapping[str, str]] = {
    "embed": {"embedding": "vector"},
    "chat": {
        "text": "text",
        "reasoning": "text",
        "tool_calls": "text",
        "finish": "text",
        "prompt_tokens": "int",
        "completion_tokens": "int",
    },
}
"""What a task adds to a row, beside `row`, `key`, `error` and `attempts`."""


@dataclass(frozen=True, slots=True)
class BulkReport:
    """What a run did: `rows` in the output, those `skipped` because an earlier run had done them, and how many are `errors`
    of this run; `seconds` it took."""

    rows: int
    skipped: int
    errors: int
    seconds: float


@dataclass(slots=True)
class Item:
    """A row to work on: its number, id, key, prompt, and the columns kept of the source."""

    row: int
    key: str
    prompt: Any
    kept: dict[str, Any]
    error: str | None = None
    attempts: int = 0


def bulk(
    source: Source, to: str | Path, *, client: Client | None = None, task: Task = "embed", **options: Any
) -> BulkReport:
    """Work on every row of a source, as `abulk`, which says what its options are; in a running event loop await that."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_owned(source, to, client or Client(), task, options))
    raise InvalidConfig("bulk() can't run inside an event loop.", hint="Use: await abulk(…)")


async def _owned(source: Source, to: str | Path, client: Client, task: Task, options: Mapping[str, Any]) -> BulkReport:
    async with client.to_async() as own:
        return await abulk(source, to, client=own, task=task, **options)


async def abulk(
    source: Source,
    to: str | Path,
    *,
    client: AsyncClient,
    task: Task = "embed",
    column: str = "text",
    id_column: str = "id",
    keep: Sequence[str] = (),
    system: str | None = None,
    model: str | None = None,
    batch_size: int = 64,
    concurrency: int | None = None,
    progress: bool | Callable[[BulkProgress], None] = True,
    overwrite: bool = False,
    retry_errors: bool = False,
    patience: float = 300.0,
    **options: Any,
) -> BulkReport:
    """Embed, or ask a chat model about, every row of `source`, and write a row for each to `to`; return what was done.

    Both are `.jsonl` or `.parquet` files; a source may also be anything that yields mappings or texts. `column` holds the
    text; for `task="chat"` a question or a list of messages, and `system` is put before it. The `id_column` and those to
    `keep` are copied. Embeddings go `batch_size` texts a request; `concurrency` requests are under way at once, by default
    what the limits of several hosts allow, or 4. Other `options` are those of `embed` or `chat`.

    The output is the checkpoint: run again, only what is missing is asked, and with `retry_errors` what failed as well;
    `overwrite` begins anew. A server that is away is waited for, until nothing has come for `patience` seconds. Raises
    `InvalidConfig` if the output belongs to another source, model or options, and what no row could get past: a wrong key, a
    missing model.
    """
    if task not in COLUMNS or batch_size < 1 or (concurrency or 1) < 1:
        raise InvalidConfig(f"task={task!r}, batch_size={batch_size} or concurrency={concurrency} can't be right.")
    since = time.monotonic()
    path = checked_file(Path(to), "The output")
    name = await _model_id(client, model, task)
    kept = list(dict.fromkeys([id_column, *keep]))
    same = json.dumps([name, task, system, options], sort_keys=True, default=str)
    run = _Run(client, task, {**options, "model": model}, patience)
    with ExitStack() as stack:
        journal = run.journal = Journal(path).open(overwrite=overwrite, retry_errors=retry_errors)
        stack.callback(journal.close)
        run.show = stack.enter_context(shown_by(progress, count_rows(source), task))
        items = run.items(_items(source, column, kept, system, same))
        batches = _batches(items, batch_size if task == "embed" else 1)
        limits = sum(host.limit for host in client.hosts())
        await run.all(batches, concurrency or limits or 4)
        kinds = {"row": "int", "key": "text", "error": "text", "attempts": "int", **COLUMNS[task]}
        await asyncio.to_thread(journal.finish, run.rows, kinds, kept)
    return BulkReport(run.rows, run.skipped, run.errors, time.monotonic() - since)


async def _model_id(client: AsyncClient, model: str | None, task: Task) -> str:
    """Return the name of the model that answers: the vectors of two models must not stand in one file."""
    if model or client.target.model:
        return model or client.target.model or ""
    try:
        return (await client.model_info(kind="embedding" if task == "embed" else "chat")).id
    except (Unsupported, ServerError):
        return ""


def _items(source: Source, column: str, kept: Sequence[str], system: str | None, same: str) -> Iterator[Item]:
    """Yield the rows with their keys. What is no text becomes an error without being asked."""
    for number, row in enumerate(rows_of(source, [column, *kept])):
        fields: Mapping[str, Any] = {column: row} if isinstance(row, str) else row or {}
        copied = {name: fields.get(name) for name in kept}
        copied[kept[0]] = number if copied[kept[0]] is None else copied[kept[0]]
        given = fields.get(column)
        text = given if isinstance(given, str) else json.dumps(given, sort_keys=True, default=str)
        key = sha256("\0".join((same, str(copied[kept[0]]), text)).encode("utf-8", "replace")).hexdigest()[:32]
        error = "The row is no JSON object." if row is None else _wrong(given, column)
        yield Item(number, key, _prompt(given, system), copied, error)


def _wrong(given: Any, column: str) -> str | None:
    if given is None or given in ("", []):
        return f"The row has nothing in its column {column!r}."
    return None if isinstance(given, str | list) else f"{column!r} is a {type(given).__name__}, not a text."


def _prompt(given: Any, system: str | None) -> Any:
    if system is None or not given:
        return given
    return [{"role": "system", "content": system}, *_messages(given)]


def _messages(given: Any) -> list[Message]:
    """Return what is asked: a text is a user's."""
    return cast("list[Message]", given) if isinstance(given, list) else [{"role": "user", "content": given}]


def _batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    """Yield rows together that are asked together."""
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


class _Run:
    """One run: workers that take rows from one iterator and write to one journal."""

    def __init__(self, client: AsyncClient, task: Task, options: Mapping[str, Any], patience: float) -> None:
        self._client = client
        self._options = options
        self._patience = patience
        self._ask: Callable[[list[Item]], Awaitable[None]] = self._embed if task == "embed" else self._chat
        self._heard = time.monotonic()
        self._lines: list[tuple[int, bytes]] = []
        self.journal: Journal
        self.show: Callable[[int, int, int], None]
        self.rows = self.skipped = self.errors = 0

    def items(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield the rows that are to be asked; those that are done are skipped, and wrong ones are errors already."""
        for item in items:
            self.rows += 1
            if self.journal.has(item.row, item.key):
                self.skipped += 1
                if self.skipped % 1024 == 0:
                    self.show(self.skipped, self.skipped, 0)
            elif item.error is not None:
                self._note(item, {})
            else:
                yield item

    async def all(self, batches: Iterator[list[Item]], concurrency: int) -> None:
        """Work on every batch; the first error that concerns them all ends it."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(concurrency):
                    group.create_task(self._work(batches))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        self._write()
        self._tell()

    async def _work(self, batches: Iterator[list[Item]]) -> None:
        for batch in batches:
            await self._answered(batch)
            self._write()
            self._tell()

    def _tell(self) -> None:
        self.show(self.journal.done, self.skipped, self.errors)

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            self.journal.write(lines)

    async def _answered(self, batch: list[Item]) -> None:
        """Ask until there is an answer or an error for each row of a batch."""
        waits = 0
        while True:
            for item in batch:
                item.attempts += 1
            try:
                await self._ask(batch)
            except (AuthFailed, ModelNotFound, Unsupported, InvalidConfig):
                raise
            except VesselError as error:
                if _is_away(error):
                    if time.monotonic() - self._heard > self._patience:
                        raise
                    await asyncio.sleep(PAUSES[min(waits, len(PAUSES) - 1)] * (0.5 + random.random() / 2))  # noqa: S311
                    waits += 1
                    continue
                self._heard = time.monotonic()
                refused = isinstance(error, BadRequest | InvalidRequest)
                if not refused and batch[0].attempts - waits < TRIES:
                    continue
                if len(batch) > 1:
                    await self._halves(batch)
                else:
                    batch[0].error = error.message
                    self._note(batch[0], {})
            else:
                self._heard = time.monotonic()
            return

    async def _halves(self, batch: list[Item]) -> None:
        """Find the row that the server refuses."""
        half = len(batch) // 2
        await self._answered(batch[:half])
        await self._answered(batch[half:])

    async def _embed(self, batch: list[Item]) -> None:
        texts = [item.prompt for item in batch]
        vectors: Sequence[Sequence[float] | None]
        try:
            vectors = (await self._client.embed(texts, batch_size=len(texts), **self._options)).rows
        except InputTooLarge as error:
            vectors = error.vectors or [None] * len(batch)
            for item, vector in zip(batch, vectors, strict=True):
                item.error = None if vector is not None else error.message
        for item, vector in zip(batch, vectors, strict=True):
            self._note(item, {}, vector)

    async def _chat(self, batch: list[Item]) -> None:
        (item,) = batch
        reply = await self._client.chat(_messages(item.prompt), **self._options)
        self._note(item, _of_reply(reply))

    def _note(self, item: Item, found: Mapping[str, Any], vector: Sequence[float] | None = None) -> None:
        """Make a line of a row that is done."""
        self.errors += item.error is not None
        head = {"row": item.row, "key": item.key, "error": item.error, "attempts": item.attempts, **item.kept, **found}
        line = json.dumps(head, ensure_ascii=False, separators=(",", ":"), default=str).encode("utf-8", "replace")
        if vector is not None:
            # nine digits are a float32, all of it
            line = b'%b,"embedding":[%b]}' % (line[:-1], (",".join(["%.9g"] * len(vector)) % tuple(vector)).encode())
        self._lines.append((item.row, line + b"\n"))


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
