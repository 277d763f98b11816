"""Rows to work on, one after the other: lines of JSON, a Parquet file, or whatever can be iterated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from importlib import import_module
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

from vessel_core.errors import InvalidConfig
from vessel_core.request import did_you_mean
from vessel_core.wire.jsontext import loads

JSON_LINES = (".jsonl", ".ndjson")
PARQUET = ".parquet"
PEEKED = 100
"""How many rows are looked at for the names of columns."""

Row = Mapping[str, Any] | str
Source = str | Path | Iterable[Row]
"""Rows: a file, or what yields mappings or plain texts; what is iterated twice must yield the same again."""


def pyarrow(module: str) -> Any:
    """Return a module of pyarrow, which only Parquet files need."""
    try:
        return import_module(module)
    except ImportError:
        raise InvalidConfig(
            "Parquet files need pyarrow.", hint="pip install 'vessel-core[parquet]', or use .jsonl."
        ) from None


def parquet_file(path: Path) -> Any:
    """Return an open Parquet file; raise `InvalidConfig` for what is none."""
    try:
        return pyarrow("pyarrow.parquet").ParquetFile(path)
    except pyarrow("pyarrow").ArrowInvalid as error:
        raise InvalidConfig(f"{path} is no Parquet file: {error}") from None


def checked_file(path: Path, what: str) -> Path:
    """Return a path whose ending is known; raise `InvalidConfig` otherwise."""
    if path.suffix.lower() not in (*JSON_LINES, PARQUET):
        raise InvalidConfig(f"{what} {str(path)!r} is neither .jsonl nor .parquet.")
    return path


def checked_output(to: str | Path, source: Source) -> Path:
    """Return the path to write to; raise `InvalidConfig` for one that can't be, and for the source itself."""
    path = checked_file(Path(to), "The output")
    if not path.parent.is_dir():
        raise InvalidConfig(f"There is no folder {str(path.parent)!r} for the output.", hint="Make it first.")
    if isinstance(source, str | Path) and path.exists() and Path(source).exists() and path.samefile(source):
        raise InvalidConfig(f"The output {str(path)!r} is its own source.", hint="Give another name.")
    return path


def is_parquet(path: Path) -> bool:
    """Tell a Parquet file by its name."""
    return path.suffix.lower() == PARQUET


def checked_rows(
    source: Source, column: str, named: Sequence[str], others: Sequence[str]
) -> Iterator[Mapping[str, Any] | str | None]:
    """Return the rows of a source; raise `InvalidConfig` if there is none, or for a column that none of its first rows has.

    `named` columns must be there, `others` may.
    """
    rows = rows_of(source, [column, *named, *others])
    first = list(islice(rows, PEEKED))
    if isinstance(source, str | Path) and is_parquet(Path(source)):
        with parquet_file(Path(source)) as file:
            known = set[str](file.schema_arrow.names)
    else:
        known = {name for row in first if isinstance(row, Mapping) for name in row}
        known |= {column for row in first if isinstance(row, str)}
    for name in (column, *named):
        if known and name not in known:
            columns = ", ".join(sorted(known)[:20])
            raise InvalidConfig(
                f"No row has a column {name!r}{did_you_mean(name, known)}", hint=f"The source has: {columns}."
            )
    return chain(first, rows)


def rows_of(source: Source, columns: Iterable[str]) -> Iterator[Mapping[str, Any] | str | None]:
    """Yield the rows, `None` for what is none; of Parquet only the columns that are asked for."""
    if not isinstance(source, str | Path):
        given = cast("Iterable[Any]", source)
        if isinstance(given, Mapping | bytes) or hasattr(given, "columns"):
            raise InvalidConfig(
                f"The source is a {type(source).__name__}, which does not yield rows.",
                hint="Give a list of rows; of a DataFrame: frame.to_dict('records').",
            )
        yield from (row if isinstance(row, Mapping | str) else None for row in given)
        return
    path = checked_file(Path(source), "The source")
    if not path.is_file():
        raise InvalidConfig(f"There is no file {str(path)!r}.")
    yield from _parquet_rows(path, columns) if is_parquet(path) else _json_rows(path)


def _json_rows(path: Path) -> Iterator[Mapping[str, Any] | None]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
            if text.strip():
                yield _json_object(text)


def _json_object(line: bytes) -> Mapping[str, Any] | None:
    try:
        found = loads(line.decode("utf-8", "replace"))
    except ValueError:
        return None
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else None


def _parquet_rows(path: Path, columns: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    with parquet_file(path) as file:
        wanted = [name for name in dict.fromkeys(columns) if name in file.schema_arrow.names]
        for batch in file.iter_batches(batch_size=1024, columns=wanted):
            yield from batch.to_pylist()


def count_rows(source: Source) -> int | None:
    """Return how many rows there are, if that can be known without reading them one by one."""
    if not isinstance(source, str | Path):
        return len(source) if isinstance(source, Sized) else None
    if not Path(source).is_file():
        return None
    if is_parquet(Path(source)):
        with parquet_file(Path(source)) as file:
            return file.metadata.num_rows
    with Path(source).open("rb") as lines:
        return sum(not line.isspace() for line in lines)
