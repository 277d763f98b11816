"""The output of a bulk run, which is its checkpoint too: a line for each row that is done, written whole or not at all.

A line that a kill has torn is taken off when the run goes on. The key stands for the model, the options, the id and the text:
a row is done if its line has the key that it would get now.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from re import Match
from typing import Self

from vessel_core.bulk.lines import HEAD, HEAD_BYTES, is_torn_head
from vessel_core.bulk.rows import Source, is_parquet
from vessel_core.bulk.tables import Finished, whole_or_not, write_parquet
from vessel_core.errors import InvalidConfig, VesselError

NOT_DONE = -1
MODE = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
ANEW = "Give another name for the output, or begin anew: overwrite=True, on the command line --overwrite."


class Journal:
    """Lines by row number. Of each only its place is kept in memory: eight bytes a row.

    `kinds` are the columns that are ours, `kept` those copied of the source.
    """

    def __init__(self, to: Path, kinds: Mapping[str, str], kept: Sequence[str]) -> None:
        self._to = to
        self._kinds = kinds
        self._kept = kept
        self._path = to.with_name(f"{to.name}.part.jsonl") if is_parquet(to) else to
        self._places = array("q")
        self._in_order = True
        self._file = -1
        self._finished: Finished | None = None
        self._restored = False  # its lines are those of a Parquet file that is there
        self.done: int = 0

    def open(self, *, overwrite: bool = False, retry_errors: bool = False) -> Self:
        """Begin, or go on where an earlier run ended; raise `InvalidConfig` for a file that is none of ours.

        Where that run was finished, nothing on the disk changes before there is something to write.
        """
        try:
            if is_parquet(self._to) and self._to.exists() and not overwrite and not self._path.exists():
                self._finished = Finished(self._to)
                self.done = self._finished.rows
                self._check_columns(self._finished.columns)
                if retry_errors and self._finished.has_errors():
                    self._take_up(self._finished)
            else:
                self._begin(overwrite=overwrite)
                if self._places:
                    self._check_columns(json.loads(next(self._lines())))
            if retry_errors and self._finished is None:
                kept = [place for place in self._places if place != NOT_DONE and not self._failed(place)]
                if len(kept) < self.done:
                    self._rewrite(kept)
        except BaseException:
            self.close()
            raise
        return self

    def _check_columns(self, names: Iterable[str]) -> None:
        """Raise `InvalidConfig` unless an output has the columns that this run would write."""
        theirs, ours = set(names) - set(self._kinds), set(self._kept)
        missing, more = ", ".join(sorted(ours - theirs)), ", ".join(sorted(theirs - ours))
        if missing or more:
            said = [f"it has not kept {missing}"] * bool(missing) + [f"it has {more} of the source too"] * bool(more)
            raise InvalidConfig(
                f"{self._shown} was written with other columns: {' and '.join(said)}.",
                hint=f"Keep the same columns as before. {ANEW}",
            )

    def _begin(self, *, overwrite: bool = False) -> None:
        try:
            self._file = os.open(self._path, MODE, 0o644)
        except OSError as error:
            raise InvalidConfig(f"{self._path} can't be written: {error.strerror or error}.") from error
        self._lock()
        if overwrite:
            os.ftruncate(self._file, 0)
        self.done = 0
        self._end = self._scan()
        if self._end < os.fstat(self._file).st_size:
            os.ftruncate(self._file, self._end)  # a torn line

    def _take_up(self, finished: Finished) -> None:
        """Make the lines of a finished output again: there is more to write."""
        self._finished = None
        finished.close()
        beside = self._path.with_name(f"{self._path.name}.new")
        with _kept(self._path), whole_or_not(beside, self._path), beside.open("wb") as file:
            file.writelines(finished.lines())
        self._restored = True
        self._begin()

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
                if not line.endswith(b"\n") and (found or is_torn_head(line)):
                    break
                if found is None:
                    raise InvalidConfig(
                        f"{self._path} holds lines that no bulk run wrote.",
                        hint=ANEW,
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

    @property
    def _shown(self) -> Path:
        """The file whose lines these are, as the user knows it."""
        return self._to if self._restored or self._finished else self._path

    @property
    def _rows(self) -> int:
        return self._finished.rows if self._finished else len(self._places)

    def has(self, row: int, key: str) -> bool:
        """Tell whether a row is done; raise `InvalidConfig` if what is done in its place is another one. Rows are asked for in
        their order."""
        if row >= self._rows:
            return False
        if self._finished:
            found = self._finished.head(row)["key"]
        elif self._places[row] == NOT_DONE:
            return False
        else:
            head = self._head(self._places[row])
            found = head and head[2].decode()
        if found != key:
            raise InvalidConfig(
                f"Row {row} of the source is not the one that {self._shown} holds: source, model or options have changed.",
                hint=f"{ANEW} Name the model if the servers call it differently.",
            )
        return True

    def failed(self, row: int) -> bool:
        """Tell whether a row that is done has an error."""
        if self._finished:
            return self._finished.head(row)["error"] is not None
        return self._failed(self._places[row])

    def vector_of(self, row: int) -> Sequence[float]:
        """Return the vector of a row that was embedded."""
        if self._finished:
            self._take_up(self._finished)
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(self._places[row])
            return json.loads(file.readline())["embedding"]

    def _head(self, place: int) -> Match[bytes] | None:
        os.lseek(self._file, place, os.SEEK_SET)
        return HEAD.match(os.read(self._file, HEAD_BYTES))

    def _failed(self, place: int) -> bool:
        found = self._head(place)
        return found is None or found[3] != b"null"

    def write(self, lines: Sequence[tuple[int, bytes]]) -> None:
        """Add whole lines of rows."""
        if self._finished:
            self._take_up(self._finished)
        self._restored = False
        data = memoryview(b"".join(line for _, line in lines))
        with _kept(self._path):
            try:
                while data:
                    data = data[os.write(self._file, data) :]
            except OSError:
                os.ftruncate(self._file, self._end)  # no torn line: more may be written behind it
                raise
        for row, line in lines:
            self._note(row, self._end)
            self._end += len(line)

    def finish(self, rows: int, source: Source) -> None:
        """Put the rows into order, or into the Parquet file, once all of them are done."""
        if self._rows > rows:
            raise InvalidConfig(f"The source has {rows} rows, and {self._shown} more: it was another one.", hint=ANEW)
        if self._finished:
            return
        if is_parquet(self._to):
            if not self._restored:
                with _kept(self._to):
                    write_parquet(self._lines, self._to, self._kinds, self._kept, source)
            self._path.unlink()
        elif not self._in_order:
            self._rewrite(self._places)

    def close(self) -> None:
        """Let others write."""
        if self._finished:
            self._finished.close()
        if self._restored:
            self._path.unlink(missing_ok=True)
        with suppress(OSError):
            os.close(self._file)

    def _lines(self) -> Iterator[bytes]:
        with os.fdopen(os.dup(self._file), "rb") as file:
            for place in self._places:
                if place == NOT_DONE:
                    continue
                if file.tell() != place:
                    file.seek(place)
                yield file.readline()

    def _rewrite(self, places: Iterable[int]) -> None:
        """Write the lines at these places anew, in this order, and put the new file in the old one's place."""
        beside = self._path.with_name(f"{self._path.name}.new")
        old, self._places, self._in_order, self.done, self._end = self._file, array("q"), True, 0, 0
        self._restored = False
        with os.fdopen(old, "rb") as file, _kept(self._path), whole_or_not(beside, self._path):
            self._file = os.open(beside, MODE | os.O_TRUNC, 0o644)
            self._lock()
            for place in places:
                file.seek(place)
                line = file.readline()
                head = HEAD.match(line)
                assert head is not None  # noqa: S101 - it was when it was noted
                self.write([(int(head[1]), line)])


@contextmanager
def _kept(path: Path) -> Generator[None]:
    """Raise `VesselError` for what can't be written now, as on a full disk."""
    try:
        yield
    except OSError as error:
        raise VesselError(
            f"{path} can't be written: {error.strerror or error}.",
            hint="Make room on the disk, and run again: what is done is kept.",
        ) from error
