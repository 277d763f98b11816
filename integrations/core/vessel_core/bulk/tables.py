"""Parquet: an output made of its journal's lines, and lines again of an output that is there.

The columns that are copied keep the types of a source that is Parquet itself. Of other sources the types are what fits all
rows; what fits none is written as text.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from vessel_core.bulk.lines import line_of, without_vector
from vessel_core.bulk.rows import Source, is_parquet, parquet_file, pyarrow
from vessel_core.errors import InvalidConfig

CHUNK = 4096
Lines = Callable[[], Iterator[bytes]]
Table = tuple[Sequence[Mapping[str, Any]], Sequence[Any]]
"""Some rows of the journal, and the columns copied of the source for them."""


def arrow_types() -> Mapping[str, Any]:
    """Return the Arrow type of each kind of column that is ours."""
    pa = pyarrow("pyarrow")
    return {"int": pa.int64(), "text": pa.string(), "vector": pa.list_(pa.float32())}


def write_parquet(lines: Lines, to: Path, kinds: Mapping[str, str], kept: Sequence[str], source: Source) -> None:
    """Write a Parquet file of lines, a few thousand at a time; it appears when it is whole."""
    beside = to.with_name(f"{to.name}.new")
    pa, parquet = pyarrow("pyarrow"), pyarrow("pyarrow.parquet")
    known = arrow_types()
    if isinstance(source, str | Path) and is_parquet(Path(source)):
        types, tables = _copied(pa, Path(source), kept, lines)
    else:
        types, tables = _fitting(pa, kept, lines, without_vector if "embedding" in kinds else json.loads)
    schema = pa.schema([*((name, known[kind]) for name, kind in kinds.items()), *types.items()])
    with whole_or_not(beside, to), parquet.ParquetWriter(beside, schema) as writer:
        for rows, columns in tables:
            ours = [pa.array([row.get(name) for row in rows], known[kind]) for name, kind in kinds.items()]
            writer.write_table(pa.Table.from_arrays([*ours, *columns], schema=schema))


@contextmanager
def whole_or_not(beside: Path, to: Path) -> Generator[None]:
    """Put a new file in the place of another one once it is on the disk; what is not written whole is removed."""
    try:
        yield
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(to)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _copied(pa: Any, source: Path, kept: Sequence[str], lines: Lines) -> tuple[dict[str, Any], Iterator[Table]]:
    """Copy columns as they are; an id that isn't there is the number of its row."""
    has = pyarrow("pyarrow.parquet").read_schema(source)
    types = {name: has.field(name).type if name in has.names else pa.int64() for name in kept}

    def column(batch: Any, name: str, rows: Sequence[Mapping[str, Any]]) -> Any:
        found = batch.column(name) if name in has.names else pa.nulls(len(rows), types[name])
        if name != kept[0] or found.null_count == 0:
            return found
        number = (
            int
            if pa.types.is_integer(types[name])
            else str
            if types[name] in (pa.string(), pa.large_string())
            else None
        )
        ids = [
            number(row["row"]) if each is None and number else each
            for each, row in zip(found.to_pylist(), rows, strict=True)
        ]
        return pa.array(ids, types[name])

    def tables() -> Iterator[Table]:
        parsed = map(json.loads, lines())
        with pyarrow("pyarrow.parquet").ParquetFile(source) as file:
            wanted = [name for name in kept if name in has.names] or has.names[:1]
            for batch in file.iter_batches(batch_size=CHUNK, columns=wanted):
                rows = list(islice(parsed, batch.num_rows))
                yield rows, [column(batch, name, rows) for name in kept]

    return types, tables()


def _fitting(
    pa: Any, kept: Sequence[str], lines: Lines, read: Callable[[bytes], Mapping[str, Any]]
) -> tuple[dict[str, Any], Iterator[Table]]:
    """Copy columns with the types that fit all of their values."""
    seen: dict[str, set[Any]] = {name: set() for name in kept}
    for rows in _chunks(map(read, lines())):
        for name in kept:
            seen[name].add(_type_of(pa, [row.get(name) for row in rows]))
    types = {name: _common(pa, found) for name, found in seen.items()}

    def column(name: str, rows: Sequence[Mapping[str, Any]]) -> Any:
        values = [row.get(name) for row in rows]
        if types[name] == pa.string():
            values = [value if isinstance(value, str | None) else json.dumps(value) for value in values]
        return pa.array(values, types[name])

    def tables() -> Iterator[Table]:
        for rows in _chunks(map(json.loads, lines())):
            yield rows, [column(name, rows) for name in kept]

    return types, tables()


def _type_of(pa: Any, values: Sequence[Any]) -> Any:
    try:
        return pa.array(values).type  # `infer_type` looks at the first few only
    except (pa.ArrowException, OverflowError, TypeError):
        return pa.string()


def _common(pa: Any, types: Iterable[Any]) -> Any:
    """Return the type of a column whose parts have these types: text, where nothing else fits."""
    schemas = [pa.schema([("", each)]) for each in (pa.null(), *types)]
    try:
        found = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return pa.string()
    return found if _writable(pa, found) and not pa.types.is_null(found) else pa.string()


def _writable(pa: Any, kind: Any) -> bool:
    """Tell whether Parquet has such a type: it has no struct without fields."""
    parts = [kind.field(at).type for at in range(kind.num_fields)]
    return (bool(parts) or not pa.types.is_struct(kind)) and all(_writable(pa, part) for part in parts)


def _chunks(rows: Iterator[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


class Finished:
    """A Parquet output that is whole, of which only what is asked for is read; raises `InvalidConfig` for a file that is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with parquet_file(path) as file:
            if file.schema_arrow.names[:4] != ["row", "key", "error", "attempts"]:
                raise InvalidConfig(
                    f"{path} holds rows that no bulk run wrote.", hint="Give another name for the output."
                )
            self.rows: int = file.metadata.num_rows
            self.columns: Sequence[str] = file.schema_arrow.names
        self._heads = self._read("key", "error")
        self._at, self._head = -1, dict[str, Any]()

    def head(self, row: int) -> Mapping[str, Any]:
        """Return the `key` and `error` of a row; they are asked for in their order."""
        while self._at < row:
            self._at, self._head = self._at + 1, next(self._heads)
        return self._head

    def has_errors(self) -> bool:
        """Tell whether a row has failed."""
        return any(row["error"] is not None for row in self._read("error"))

    def lines(self) -> Iterator[bytes]:
        """Yield the lines that it was made of."""
        embedded = self.columns[4:5] == ["embedding"]  # else one of that name was copied of the source
        for row in self._read():
            yield line_of(row, row.pop("embedding") if embedded else None)

    def close(self) -> None:
        """Let the file be replaced."""
        self._heads.close()

    def _read(self, *columns: str) -> Generator[dict[str, Any]]:
        with pyarrow("pyarrow.parquet").ParquetFile(self._path) as file:
            for batch in file.iter_batches(batch_size=CHUNK, columns=columns or None):
                yield from batch.to_pylist()
