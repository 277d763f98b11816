"""The arguments of a call while their text is still coming."""

from __future__ import annotations

from typing import Any, cast

from vessel_core.partial_json import PartialJSON


class Arguments(str):
    """The text of a call's arguments as far as it has come, which knows how far it has been read.

    It is a plain `str` to everybody else, and is pickled and copied as one.
    """

    __slots__ = ("_reader",)
    _reader: PartialJSON

    @classmethod
    def read_by(cls, text: str, reader: PartialJSON) -> Arguments:
        """Return the text together with the reader of its stream."""
        arguments = cls(text)
        arguments._reader = reader
        return arguments

    def partial(self) -> dict[str, Any]:
        """Return the arguments as far as they have come."""
        reader = self._reader
        if reader.position > len(self):  # somebody asks about an earlier piece
            reader = PartialJSON()
        if reader.position < len(self):
            reader.feed(self[reader.position :])
        value = reader.value()
        return cast("dict[str, Any]", value) if isinstance(value, dict) else {}

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


def partial_object(text: str) -> dict[str, Any]:
    """Return the JSON object in a text that may be cut anywhere; an empty one if there is none."""
    return Arguments.read_by(text, PartialJSON()).partial()
