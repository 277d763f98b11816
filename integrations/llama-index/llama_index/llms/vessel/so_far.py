"""Text as far as it has come: each response of a stream has all of it, and puts it together where somebody looks.

Each response would hold a copy otherwise, which few look at: in an answer of 64,000 tokens one has 150 KB on average.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

from llama_index.core.base.llms.types import CompletionResponse, TextBlock, ThinkingBlock
from pydantic import BaseModel, ConfigDict
from vessel_core.unvalidated import M, built, stands_for

_fields = vars(BaseModel)["__dict__"]


class Growing:
    """A text that comes in pieces. What came is never changed, so any thread may read it."""

    __slots__ = ("_pieces", "_read", "length")

    def __init__(self) -> None:
        self.length = 0
        self._pieces: list[str] = []
        self._read = (0, "")  # the first pieces, put together

    def add(self, piece: str) -> None:
        """Take the next piece."""
        self._pieces.append(piece)
        self.length += len(piece)

    def up_to(self, length: int) -> str:
        """Return the first characters."""
        count, text = self._read
        if len(text) < length:
            fresh = self._pieces[count:]
            text += "".join(fresh)
            self._read = (count + len(fresh), text)
        return text[:length]

    def __str__(self) -> str:
        return self.up_to(self.length)


class _Late:
    """A model one of whose fields is made when it is looked at, whoever looks: pydantic reads `__dict__` too."""

    __slots__ = ()
    _field: ClassVar[str]
    _so_far: tuple[Growing, int]
    _in_order: ClassVar[dict[str, None]]

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        fields: dict[str, Any] = _fields.__get__(self)
        if self._field not in fields:
            text, length = self._so_far
            fields = {**self._in_order, **fields, self._field: text.up_to(length)}
            _fields.__set__(self, fields)
        return fields

    @__dict__.setter
    def __dict__(self, fields: dict[str, Any]) -> None:  # type: ignore[override]
        _fields.__set__(self, fields)

    def __getattr__(self, name: str) -> Any:
        if name == self._field:
            return self.__dict__[name]
        return super().__getattr__(name)  # type: ignore[misc]


def _telling_late(kind: type[M], field: str) -> type[M]:
    """Return a class that stands for `kind`, in which this field is what had come by then."""

    class Late(_Late, kind):  # type: ignore[misc, valid-type]
        __slots__ = ("_so_far",)
        _field: ClassVar[str] = field
        _in_order: ClassVar[dict[str, None]] = dict.fromkeys(kind.model_fields)
        model_config = ConfigDict(defer_build=True)

    return cast("type[M]", stands_for(kind)(Late))


LateText = _telling_late(TextBlock, "text")
LateThinking = _telling_late(ThinkingBlock, "content")
LateCompletion = _telling_late(CompletionResponse, "text")


def late(kind: type[M], text: Growing, fields: dict[str, Any], given: set[str]) -> M:
    """Return a model with these fields, and the text as it is now."""
    model = built(kind, fields, given)
    object.__setattr__(model, "_so_far", (text, text.length))
    return model
