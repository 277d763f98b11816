"""Text as far as it has come: each response of a stream has all of it, and puts it together where somebody looks.

Each response would hold a copy otherwise, which few look at: in an answer of 64,000 tokens one has 150 KB on average.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Any, ClassVar, cast

from llama_index.core.base.llms.types import CompletionResponse, TextBlock, ThinkingBlock
from pydantic import BaseModel, ConfigDict
from vessel_core.unvalidated import M, built, stands_for

_fields = vars(BaseModel)["__dict__"]
_filling = RLock()
"""Held while fields are made, so that what another thread sets meanwhile is not lost."""


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
    """A model some of whose fields are made when it is looked at, whoever looks: pydantic reads `__dict__` too."""

    __slots__ = ()
    _made: ClassVar[tuple[str, ...]]
    _make: ClassVar[Callable[..., tuple[Any, ...]]]
    _so_far: tuple[Any, ...] | None
    _in_order: ClassVar[dict[str, None]]

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        fields: dict[str, Any] = _fields.__get__(self)
        return fields if self._made[0] in fields else self._filled()

    def _filled(self) -> dict[str, Any]:
        with _filling:
            fields: dict[str, Any] = _fields.__get__(self)
            so_far = getattr(self, "_so_far", None)  # a copy has none
            if so_far is not None:
                fields = {**self._in_order, **fields, **dict(zip(self._made, self._make(*so_far), strict=True))}
                _fields.__set__(self, fields)
                object.__setattr__(self, "_so_far", None)
            return fields

    @__dict__.setter
    def __dict__(self, fields: dict[str, Any]) -> None:  # type: ignore[override]
        _fields.__set__(self, fields)

    def __getattr__(self, name: str) -> Any:
        if name in self._made and name in (fields := self.__dict__):
            return fields[name]
        return super().__getattr__(name)  # type: ignore[misc]


def _telling_late(kind: type[M], make: Callable[..., tuple[Any, ...]], *names: str) -> type[M]:
    """Return a class that stands for `kind`, in which these fields are made of what had come by then."""

    class Late(_Late, kind):  # type: ignore[misc, valid-type]
        __slots__ = ("_so_far",)
        _made: ClassVar[tuple[str, ...]] = names
        _make: ClassVar[Callable[..., tuple[Any, ...]]] = staticmethod(make)
        _in_order: ClassVar[dict[str, None]] = dict.fromkeys(kind.model_fields)
        model_config = ConfigDict(defer_build=True)

    return cast("type[M]", stands_for(kind)(Late))


def _text(text: Growing, length: int) -> tuple[str]:
    return (text.up_to(length),)


def _text_and_thinking(
    text: Growing, length: int, thoughts: Growing, thought: int, extra: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    return text.up_to(length), {**extra, "thinking": thoughts.up_to(thought)}


LateText = _telling_late(TextBlock, _text, "text")
LateThinking = _telling_late(ThinkingBlock, _text, "content")
LateCompletion = _telling_late(CompletionResponse, _text, "text")
LateThoughtful = _telling_late(CompletionResponse, _text_and_thinking, "text", "additional_kwargs")


def late(kind: type[M], fields: dict[str, Any], given: set[str], *so_far: Any) -> M:
    """Return a model with these fields, and those that are made of what has come so far when it is looked at."""
    model = built(kind, fields, given)
    object.__setattr__(model, "_so_far", so_far)
    return model
