"""Reads a JSON document while its text is still coming: each character is looked at once."""

from __future__ import annotations

import json
import re
from typing import Any, cast

from vessel_core.wire.jsontext import MAX_DEPTH, loads

_PLAIN = re.compile(r'[^"\\]*')
_SCALAR = re.compile(r"[-+.\w]*")
_SPACE = re.compile(r"[\s,:]*")

#: How many characters of a text are copied in the time of one entry.
CHARACTERS_AN_ENTRY = 256

Container = dict[str, Any] | list[Any]


class PartialJSON:
    r"""The value of a JSON object or array, as far as its text has come.

    Strings grow as they come; numbers, `true`, `false` and `null` are there once they are complete. What stands before
    the first bracket (a code fence, a sentence) is passed over. A text nested deeper than `MAX_DEPTH` levels holds no value.

        >>> reader = PartialJSON()
        >>> reader.feed('{"city": "Lis')
        >>> reader.value()
        {'city': 'Lis'}
    """

    def __init__(self) -> None:
        self.position: int = 0
        self.complete: bool = False
        self.broken: bool = False
        self._root: Container | None = None
        self._open: list[Container] = []
        self._keys: list[str | None] = []
        self._string: list[str] | None = None
        self._length = 0
        self._escape = ""
        self._scalar = ""
        self._changed = False
        self._shown: Any = None
        self._shown_at = 0

    def feed(self, text: str) -> None:
        """Take the next characters of the document."""
        at, end = 0, len(text)
        while at < end and not self.complete and not self.broken:
            if self._string is not None:
                at = self._in_string(text, at)
            elif self._root is None:
                at = self._before(text, at)
            else:
                at = self._between(text, at)
        self.position += end

    def value(self) -> Any:
        """Return what has come: an object or a list that later text does not change; `None` before there is one.

        It is the same object as before if nothing has been added to it.

        Copying what is open takes as long as it has entries and its last text characters, so a large one is shown again only
        after some more have come: reading stays linear however often it is asked.
        """
        if self._root is None or self.complete:
            return self._root
        entries = sum(map(len, self._open)) + self._length // CHARACTERS_AN_ENTRY
        if self._shown is None or (self._changed and (self.position - self._shown_at) * 4 >= entries):
            self._shown, self._shown_at, self._changed = self._copy(), self.position, False
        return self._shown

    def _copy(self) -> Container:
        copies = [container.copy() for container in self._open]
        for at in range(len(copies) - 1):
            _replace_last(copies[at], self._keys[at], copies[at + 1])
        if self._string is not None:
            inner, key, string = copies[-1], self._keys[-1], "".join(self._string)
            self._string = [string]
            if isinstance(inner, list):
                inner.append(string)
            elif key is not None:
                inner[key] = string
        return copies[0]

    def _before(self, text: str, at: int) -> int:
        starts = [found for found in (text.find("{", at), text.find("[", at)) if found >= 0]
        if not starts:
            return len(text)
        start = min(starts)
        self._push({} if text[start] == "{" else [])
        return start + 1

    def _between(self, text: str, at: int) -> int:
        if self._scalar:
            return self._in_scalar(text, at)
        at = _end(_SPACE, text, at)
        if at == len(text):
            return at
        character = text[at]
        if character == '"':
            self._string, self._length = [], 0
        elif character == "{":
            self._push({})
        elif character == "[":
            self._push([])
        elif character in "}]":
            self._pop()
        else:
            return self._in_scalar(text, at)
        return at + 1

    def _in_scalar(self, text: str, at: int) -> int:
        end = _end(_SCALAR, text, at)
        self._scalar += text[at:end]
        if end < len(text):
            try:
                self._put(loads(self._scalar, nan=False))
            except ValueError:
                self.broken = True
            self._scalar = ""
        return end

    def _in_string(self, text: str, at: int) -> int:
        if self._escape:
            return self._in_escape(text, at)
        end = _end(_PLAIN, text, at)
        self._grow(text[at:end])
        if end == len(text):
            return end
        if text[end] == "\\":
            self._escape = "\\"
        else:
            string, self._string, self._length = "".join(cast("list[str]", self._string)), None, 0
            self._put(string)
        return end + 1

    def _grow(self, piece: str) -> None:
        """Add to the string that is open; the name of a field is shown only with its value."""
        cast("list[str]", self._string).append(piece)
        self._length += len(piece)
        if piece and (self._keys[-1] is not None or isinstance(self._open[-1], list)):
            self._changed = True

    def _in_escape(self, text: str, at: int) -> int:
        """Take one character of an escape; half of a surrogate pair waits for its other half."""
        escape = self._escape = self._escape + text[at]
        unicode = escape[1] == "u"
        high = unicode and len(escape) >= 6 and escape[2:4].lower() in ("d8", "d9", "da", "db")
        if len(escape) >= (12 if high else 6 if unicode else 2):
            try:
                self._grow(json.loads(f'"{escape}"'))
            except ValueError:
                self.broken = True
            self._escape = ""
        return at + 1

    def _put(self, value: Any) -> None:
        container = self._open[-1]
        if isinstance(container, dict) and self._keys[-1] is None:
            self._keys[-1] = value if isinstance(value, str) else ""
            self.broken = not isinstance(value, str)
            return
        self._changed = self._changed or not isinstance(value, str) or not value  # else it has been shown as it grew
        if isinstance(container, list):
            container.append(value)
        elif self._keys[-1] is not None:
            container[self._keys[-1]] = value
            self._keys[-1] = None

    def _push(self, container: Container) -> None:
        self._changed = True
        if self._root is None:
            self._root = container
        else:
            parent, key = self._open[-1], self._keys[-1]
            if isinstance(parent, list):
                parent.append(container)
            elif key is None:
                self.broken = True
            else:
                parent[key] = container
        self._open.append(container)
        self._keys.append(None)
        if len(self._open) > MAX_DEPTH:
            self.broken, self._root = True, None

    def _pop(self) -> None:
        self._open.pop()
        self._keys.pop()
        if self._open:
            self._keys[-1] = None
        else:
            self.complete = True


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _replace_last(container: Container, key: str | None, value: Container) -> None:
    if isinstance(container, list):
        container[-1] = value
    elif key is not None:
        container[key] = value
