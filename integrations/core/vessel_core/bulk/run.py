"""Works on every row of a source: workers that take rows from one iterator and write to one journal."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

from vessel_core.async_client import AsyncClient
from vessel_core.backends import LLAMACPP
from vessel_core.bulk.asking import Asking
from vessel_core.bulk.items import COLUMNS, Item, Task, batches_of, check_options, kinds_of, prompt_of, wrong_in
from vessel_core.bulk.journal import Journal
from vessel_core.bulk.lines import line_of
from vessel_core.bulk.progress import BulkProgress, shown_by
from vessel_core.bulk.rows import Source, checked_output, checked_rows, count_rows
from vessel_core.client import Client
from vessel_core.errors import InvalidConfig, ServerError, Unsupported

ID = "id"
BATCH = 64
"""Texts a request at most, where nothing else is said."""

UNTOLD = ("timeout", "validate", "concurrency")
"""Options that change no answer: an output is gone on with under others."""

REPEATED = 100
"""One row in so many, or `BATCH`, may be under way at once, and be asked again after a kill."""

BATCHES_TO_WITNESS = 100
"""How many batches are looked through for a row that is done, to compare the model by."""


@dataclass(frozen=True, slots=True)
class BulkReport:
    """What a run did: `rows` in the output, those `skipped` because an earlier run had done them, and how many are `errors`
    of this run; `seconds` it took."""

    rows: int
    skipped: int
    errors: int
    seconds: float


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
    id_column: str = ID,
    keep: Sequence[str] = (),
    system: str | None = None,
    model: str | None = None,
    batch_size: int | None = None,
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
    `overwrite` begins anew. A server that is away or hangs is waited for, until nothing has come for `patience` seconds. Raises
    `InvalidConfig` if the output belongs to another source, model or options, or has other columns, and what no row could
    get past: a wrong key, a missing model, an option that there is not, a disk that is full.
    """
    if task not in COLUMNS or 0 in (batch_size, concurrency) or min(batch_size or 1, concurrency or 1) < 1:
        raise InvalidConfig(f"task={task!r}, batch_size={batch_size} or concurrency={concurrency} can't be right.")
    check_options(task, options)
    since = time.monotonic()
    path = checked_output(to, source)
    kept = list(dict.fromkeys([id_column, *keep]))
    kinds = {"row": "int", "key": "text", **kinds_of(task)}
    if taken := sorted(set(kept) & set(kinds)):
        raise InvalidConfig(f"The output has a column {taken[0]!r} of its own.", hint="Rename that of the source.")
    rows = checked_rows(source, column, keep if id_column == ID else kept, kept)
    named = await _model_id(client, model, task)
    telling = {name: value for name, value in options.items() if name not in UNTOLD and value is not None}
    same = json.dumps([named, task, system, telling], sort_keys=True, default=str)
    run = _Run(client, task, {**options, "model": model}, patience, concurrency, otherwise=4)
    with ExitStack() as stack:
        journal = run.journal = Journal(path, kinds, kept).open(overwrite=overwrite, retry_errors=retry_errors)
        stack.callback(journal.close)
        run.before = journal.done
        total = count_rows(source)
        run.show = stack.enter_context(shown_by(progress, total, task))
        items = run.items(_items(rows, column, kept, system, same))
        batches = batches_of(items, lambda: batch_size or run.fitting(total) if task == "embed" else 1)
        await run.all(await run.of_same_model(batches))
        await asyncio.to_thread(journal.finish, run.rows, source)
    return BulkReport(run.rows, run.skipped, run.errors, time.monotonic() - since)


async def _model_id(client: AsyncClient, model: str | None, task: Task) -> str:
    """Return what stands for the model that answers: its name, which alone tells a fine-tune from what it was made of.

    llama.cpp's is the name of a file, and may differ from host to host. For embeddings its facts stand for it, which don't:
    they are compared by a vector too (`of_same_model`).
    """
    if model or client.target.model:
        return model or client.target.model or ""
    try:
        found = await client.model_info(kind="embedding" if task == "embed" else "chat")
    except (Unsupported, ServerError):
        return ""
    facts = (found.vocabulary, found.embedding_length, found.parameters)
    named = task == "chat" or client.target.server.backend is not LLAMACPP or None in facts
    return found.id if named else json.dumps(facts)


def _items(
    rows: Iterable[Mapping[str, Any] | str | None], column: str, kept: Sequence[str], system: str | None, same: str
) -> Iterator[Item]:
    """Yield the rows with their keys. What is no text becomes an error without being asked."""
    for number, row in enumerate(rows):
        fields: Mapping[str, Any] = {column: row} if isinstance(row, str) else row or {}
        copied = {name: fields.get(name) for name in kept}
        if copied[kept[0]] is None and row is not None:
            copied[kept[0]] = number
        given = fields.get(column)
        text = given if isinstance(given, str) else json.dumps(given, sort_keys=True, default=str)
        key = sha256("\0".join((same, str(copied[kept[0]]), text)).encode("utf-8", "replace")).hexdigest()[:32]
        error = "The row is no JSON object, and no text." if row is None else wrong_in(given, column)
        yield Item(number, key, prompt_of(given, system), copied, error)


class _Run(Asking):
    """One run: what is found goes to a journal."""

    journal: Journal
    before: int  # rows that an earlier run had done
    show: Callable[[int, int, int], None]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._lines: list[tuple[int, bytes]] = []
        self._embedded: Item | None = None
        self.rows = self.skipped = self.errors = 0

    def items(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield the rows that are to be asked; those that are done are skipped, and wrong ones are errors already."""
        for item in items:
            self.rows += 1
            if self.journal.has(item.row, item.key):
                self.skipped += 1
                if self._embedded is None and item.error is None and not self.journal.failed(item.row):
                    self._embedded = item
                if self.skipped % 1024 == 0:
                    self.show(self.journal.done, self.before, self.errors)
            elif item.error is not None:
                self.note(item, {})
                self.after()  # there may be no batch for long
            else:
                yield item

    def fitting(self, total: int | None) -> int:
        """Return how many texts a request should hold, so that little is asked twice after a kill."""
        under_way = BATCH * BATCH if total is None else max(BATCH, total // REPEATED)
        return max(1, min(BATCH, under_way // self.room()))

    async def of_same_model(self, batches: Iterator[list[Item]]) -> Iterator[list[Item]]:
        """Return the batches, once a text that an earlier run embedded is embedded alike; raise `InvalidConfig` if not."""
        first: list[list[Item]] = []
        if self.task == "embed" and self.journal.done:
            for batch in batches:
                first.append(batch)
                if self._embedded is not None or len(first) == BATCHES_TO_WITNESS:
                    break
        if first and self._embedded is not None:
            vector = await asyncio.to_thread(self.journal.vector_of, self._embedded.row)
            self._witness = (self._embedded.prompt, vector)
            await self.compare()
        return chain(first, batches)

    def after(self) -> None:
        """Write what was found."""
        lines, self._lines = self._lines, []
        if lines:
            self.journal.write(lines)
        self.show(self.journal.done, self.before, self.errors)

    def note(self, item: Item, found: Mapping[str, Any], vector: Sequence[float] | None = None) -> None:
        """Make a line of a row that is done."""
        self.errors += item.error is not None
        head = {"row": item.row, "key": item.key, "error": item.error, "attempts": item.attempts, **item.kept, **found}
        self._lines.append((item.row, line_of(head, vector)))
