"""The callable for engines that spread batches over processes and machines: Ray Data's `map_batches`, Dask, Daft, Spark.

    import ray
    from vessel_core.ray import BatchWorker

    ray.data.read_parquet("texts").map_batches(
        BatchWorker,
        fn_constructor_kwargs={"base_url": ["http://gpu-1:8080", "http://gpu-2:8080"]},
        batch_size=256,
        compute=ray.data.ActorPoolStrategy(size=2),
    ).write_parquet("vectors")

It imports none of them. docs/scale.md has whole recipes.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Unpack

from vessel_core.address import without_login
from vessel_core.async_client import AsyncClient
from vessel_core.bulk.asking import Asking
from vessel_core.bulk.items import COLUMNS, Item, Task, batches_of, check_options, kinds_of, prompt_of, wrong_in
from vessel_core.bulk.rows import pyarrow
from vessel_core.bulk.tables import arrow_types
from vessel_core.errors import InvalidConfig
from vessel_core.hiding import is_secret
from vessel_core.settings import TargetOptions, make_target

__all__ = ["BatchWorker"]


class BatchWorker:
    """Takes a batch as a mapping of columns, asks the servers many rows at once, returns it with columns more.

    These are `embedding`, or `text`, `finish` and others of `task="chat"`, and of both `error` and `attempts`: what is wrong
    with a row is its error, and ends no job. They are Arrow arrays whose types are the same in each batch, and lists where
    `column` came as a list. `column` holds the texts; `batch_size` texts go in one request (of embeddings),
    and `concurrency` requests are under way at once, by default what the limits of several hosts allow, or 16. `options` are
    those of `embed` or `chat`; `api_key_env` names the variable that holds the key on the machine where the work is done.
    What else there is says where the servers are, as for `Client`. A server that is away is waited for, `patience` seconds. One
    that has another model by then than at the first batch ends the job with `InvalidConfig`.

    It is pickled as its arguments, without key and connections; those are made where it is used, once per thread.
    """

    def __init__(
        self,
        backend: str = "auto",
        *,
        task: Task = "embed",
        column: str = "text",
        system: str | None = None,
        batch_size: int = 32,
        concurrency: int | None = None,
        patience: float = 300.0,
        options: Mapping[str, Any] | None = None,
        api_key_env: str | None = None,
        **connection: Unpack[TargetOptions],
    ) -> None:
        urls = connection.get("base_url") or ()
        if (
            connection.get("api_key") is not None
            or any(map(is_secret, connection.get("headers") or ()))
            or any(without_login(url)[1] for url in ([urls] if isinstance(urls, str) else urls))
        ):
            raise InvalidConfig(
                "A key would travel with the job.", hint="Name its variable: api_key_env='VESSEL_API_KEY'."
            )
        if task not in COLUMNS or batch_size < 1 or (concurrency is not None and concurrency < 1):
            raise InvalidConfig(f"task={task!r}, batch_size={batch_size} or concurrency={concurrency} can't be right.")
        check_options(task, options or {})
        make_target(backend, **connection)  # what is wrong is said here, and not on another machine
        self._backend = backend
        self._connection = connection
        self._task: Task = task
        self._column = column
        self._system = system
        self._batch_size = batch_size if task == "embed" else 1
        self._concurrency = concurrency
        self._patience = patience
        self._options = dict(options or {})
        self._api_key_env = api_key_env
        self._made = threading.local()

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns of a batch, and what was found."""
        if self._column not in batch:
            raise InvalidConfig(
                f"The batch has no column {self._column!r}.", hint=f"It has: {', '.join(map(str, batch))}."
            )
        column = batch[self._column]
        found = self._run([_plain(value) for value in _plain(column)])
        return {**batch, **(found if isinstance(column, list) else _typed(found, self._task))}

    def _run(self, given: Sequence[Any]) -> dict[str, list[Any]]:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if not hasattr(self._made, "runner"):
                self._made.runner = asyncio.Runner()
                weakref.finalize(self, _close, self._made.runner)
                self._made.rows = self._rows()
            return self._made.runner.run(self._asked(self._made.rows, given))
        with ThreadPoolExecutor(1) as beside:  # in a notebook, or an async actor
            return beside.submit(asyncio.run, self._asked(self._rows(), given)).result()

    def _rows(self) -> _Rows:
        key = os.environ.get(self._api_key_env) if self._api_key_env else None
        if self._api_key_env and not key:
            raise InvalidConfig(
                f"The variable {self._api_key_env!r} holds no key here.", hint="Set it on each machine."
            )
        client = AsyncClient(self._backend, **{**self._connection, "api_key": key})
        return _Rows(client, self._task, self._options, self._patience, self._concurrency, otherwise=16)

    async def _asked(self, rows: _Rows, given: Sequence[Any]) -> dict[str, list[Any]]:
        rows.begin(len(given))
        wanted: list[Item] = []
        for number, value in enumerate(given):
            item = Item(number, "", prompt_of(value, self._system), {}, wrong_in(value, self._column))
            if item.error is None:
                wanted.append(item)
            else:
                rows.note(item, {})
        await rows.all(batches_of(iter(wanted), lambda: self._batch_size))
        found, rows.columns = rows.columns, {}
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_made"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _made=threading.local())

    def __repr__(self) -> str:
        return f"BatchWorker({self._task!r}, {make_target(self._backend, **self._connection).label()})"


def _plain(values: Any) -> Any:
    """Return what numpy, pandas or Arrow wrap."""
    return values.tolist() if hasattr(values, "tolist") else values


def _typed(columns: Mapping[str, list[Any]], task: Task) -> Mapping[str, Any]:
    """Return the columns as what an engine can't take for another type where a batch has only errors, or none."""
    try:
        pa, types = pyarrow("pyarrow"), arrow_types()
    except InvalidConfig:  # an engine without Arrow
        return columns
    kinds = kinds_of(task)
    return {name: pa.array(values, types[kinds[name]]) for name, values in columns.items()}


def _close(runner: asyncio.Runner) -> None:
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        runner.close()
    else:  # collected while another loop of the thread runs: no loop runs inside another one
        running.call_soon(threading.Thread(target=runner.close).start)


class _Rows(Asking):
    """What is found of a batch goes into columns."""

    columns: dict[str, list[Any]]

    def begin(self, count: int) -> None:
        """Take a batch of so many rows."""
        self.columns = {name: [None] * count for name in kinds_of(self.task)}

    def note(self, item: Item, found: Mapping[str, Any], vector: Sequence[float] | None = None) -> None:
        values = {**found, "error": item.error, "attempts": item.attempts}
        if vector is not None:
            values["embedding"] = list(vector)
        for name, value in values.items():
            self.columns[name][item.row] = value
