"""The output of a bulk run, which is its checkpoint too: a line for each row that is done, written whole or not at all.

    {"row": 17, "key": "3f…", "error": null, "attempts": 1, "id": "a-17", …}

A line that a kill has torn is taken off when the run goes on. The key stands for the model, the options, the id and the text:
a row is done if its line has the key that it would get now.
"""

from __future__ import annotations

import json
import os
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from vessel_core.bulk.rows import is_parquet, pyarrow
from vessel_core.errors import InvalidConfig

HEAD = re.compile(rb'\{"row":(\d+),"key":"([0-9a-f]{32})","error":(null|")')
HEAD_BYTES = 96
TORN_HEAD = re.compile(rb'\{"row":\d*(,.{0,53})?')
NOT_DONE = -1
CHUNK = 4096


class Journal:
    """Lines by row number. Of each only its place is kept in memory: eight bytes a row."""

    def __init__(self, to: Path) -> None:
        self._to = to
        self._path = to.with_name(f"{to.name}.part.jsonl") if is_parquet(to) else to
        self._places = array("q")
        self._in_order = True
        self.done: int = 0

    def open(self, *, overwrite: bool = False, retry_errors: bool = False) -> Self:
        """Begin, or go on where an earlier run ended; raise `InvalidConfig` for a file that is none of ours."""
        if is_parquet(self._to) and self._to.exists() and not overwrite and not self._path.exists():
            raise InvalidConfig(f"{self._to} is there, and complete.", hint="Give another name, or overwrite=True.")
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._lock()
            if overwrite:
                os.ftruncate(self._file, 0)
            self._end = self._scan()
            os.ftruncate(self._file, self._end)  # a torn line
            if retry_errors:
                kept = [place for place in self._places if place != NOT_DONE and not self._failed(place)]
                if len(kept) < self.done:
                    self._rewrite(kept)
        except BaseException:
            os.close(self._file)
            raise
        return self

    def _lock(self) -> None:
        try:
            from fcntl import LOCK_EX, LOCK_NB, flock
        except ImportError:  # Windows
            return
        try:
            flock(self._file, LOCK_EX | LOCK_NB)
        except OSError:
            raise InvalidConfig(f"Another run is writing {self._path}.") from None

    def _scan(self) -> int:
        """Note where each row's line is; return where the last whole one ends."""
        place = 0
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            for line in file:
                found = HEAD.match(line)
                if not line.endswith(b"\n") and (found or _is_torn_head(line)):
                    break
                if found is None:
                    raise InvalidConfig(
                        f"{self._path} holds lines that no bulk run wrote.",
                        hint="Give another name, or overwrite=True.",
                    )
                self._note(int(found[1]), place)
                place += len(line)
        return place

    def _note(self, row: int, place: int) -> None:
        missing = row + 1 - len(self._places)
        if missing > 0:
            self._in_order = self._in_order and missing == 1
            self._places.extend(array("q", [NOT_DONE]) * missing)
        else:
            self._in_order = False
        self.done += self._places[row] == NOT_DONE
        self._places[row] = place

    def has(self, row: int, key: str) -> bool:
        """Tell whether a row is done; raise `InvalidConfig` if what is done in its place is another one."""
        if row >= len(self._places) or self._places[row] == NOT_DONE:
            return False
        found = HEAD.match(os.pread(self._file, HEAD_BYTES, self._places[row]))
        if found is None or found[2].decode() != key:
            raise InvalidConfig(
                f"Row {row} of the source is not the one that {self._path} holds: source, model or options have changed.",
                hint="Give another name for the output, or overwrite=True.",
            )
        return True

    def _failed(self, place: int) -> bool:
        found = HEAD.match(os.pread(self._file, HEAD_BYTES, place))
        return found is None or found[3] != b"null"

    def write(self, lines: Sequence[tuple[int, bytes]]) -> None:
        """Add whole lines of rows."""
        data = memoryview(b"".join(line for _, line in lines))
        while data:
            data = data[os.write(self._file, data) :]
        for row, line in lines:
            self._note(row, self._end)
            self._end += len(line)

    def finish(self, rows: int, kinds: Mapping[str, str], kept: Sequence[str]) -> None:
        """Put the rows into order, or into the Parquet file, once all of them are done."""
        if len(self._places) > rows:
            raise InvalidConfig(f"The source has {rows} rows, and {self._path} more: it was another one.")
        if is_parquet(self._to):
            _write_parquet(self._lines(), self._to, kinds, kept)
            self._path.unlink()
        elif not self._in_order:
            self._rewrite(self._places)
            os.fsync(self._file)

    def close(self) -> None:
        """Let others write."""
        with suppress(OSError):
            os.close(self._file)

    def _lines(self) -> Iterator[bytes]:
        with os.fdopen(os.dup(self._file), "rb") as file:
            for place in self._places:
                if file.tell() != place:
                    file.seek(place)
                yield file.readline()

    def _rewrite(self, places: Iterable[int]) -> None:
        """Write the lines at these places anew, in this order, and put the new file in the old one's place."""
        beside = self._path.with_name(f"{self._path.name}.new")
        old, self._places, self._in_order, self.done, self._end = self._file, array("q"), True, 0, 0
        self._file = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o644)
        self._lock()
        with os.fdopen(old, "rb") as file:
            for place in places:
                file.seek(place)
                line = file.readline()
                head = HEAD.match(line)
                assert head is not None  # noqa: S101 - it was when it was noted
                self.write([(int(head[1]), line)])
            os.fsync(self._file)
            beside.replace(self._path)


def _is_torn_head(line: bytes) -> bool:
    """Tell the beginning of a line of ours from what somebody else left without an end."""
    return b'{"row":'.startswith(line) or TORN_HEAD.fullmatch(line) is not None


def _write_parquet(lines: Iterator[bytes], to: Path, kinds: Mapping[str, str], kept: Sequence[str]) -> None:
    """Write a Parquet file of lines, a few thousand at a time; it appears when it is whole."""
    beside = to.with_name(f"{to.name}.new")
    pa, parquet, writer = pyarrow("pyarrow"), pyarrow("pyarrow.parquet"), None
    try:
        for rows in _chunks(map(json.loads, lines)):
            if writer is None:
                writer = parquet.ParquetWriter(beside, _schema(pa, rows, kinds, kept))
            writer.write_table(pa.Table.from_pylist(rows, schema=writer.schema))
    except Exception as error:
        if type(error).__module__.startswith("pyarrow"):
            raise InvalidConfig(f"The rows don't fit one Parquet schema: {error}", hint="Use .jsonl.") from error
        raise
    finally:
        if writer is not None:
            writer.close()
    beside.replace(to)


def _chunks(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield rows by thousands, and the last ones, be it none."""
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    yield chunk


def _schema(pa: Any, rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, str], kept: Sequence[str]) -> Any:
    """Return the columns: ours as they are known, those kept of the source as the first rows have them."""
    known = {"int": pa.int64(), "text": pa.string(), "vector": pa.list_(pa.float32())}
    columns = [(name, known[kind]) for name, kind in kinds.items()]
    for name in kept:
        kind = pa.array([row.get(name) for row in rows]).type
        columns.append((name, pa.string() if pa.types.is_null(kind) else kind))
    return pa.schema(columns)
