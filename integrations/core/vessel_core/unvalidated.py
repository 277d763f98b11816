"""Builds the frameworks' pydantic objects without validating them again, once per streamed token.

What goes in has been made by the faces from checked values, with every field of the class at its final value; tests hold each
kind built so to one that pydantic validated, field by field. Validating a chunk takes five times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, TypeVar, cast

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)

_new = object.__new__
_slots = vars(BaseModel)
_set_fields = _slots["__dict__"].__set__
_set_given = _slots["__pydantic_fields_set__"].__set__
_set_extra = _slots["__pydantic_extra__"].__set__
_set_private = _slots["__pydantic_private__"].__set__
_stood_for: dict[type[BaseModel], type[BaseModel]] = {}


def built(kind: type[M], fields: dict[str, Any], given: set[str], extra: dict[str, Any] | None = None) -> M:
    """Return a model with exactly these fields, all of the class's in its order; `given` are those it was "made" with."""
    model = _new(kind)
    _set_fields(model, fields)
    _set_given(model, given)
    _set_extra(model, extra)
    _set_private(model, None)
    return model


def stands_for(kind: type[BaseModel]) -> Callable[[type[M]], type[M]]:
    """Make a class one that others take for its parent `kind`, which differs from it in nothing but methods.

    It has the parent's name, by which classes are shown, written, and found again; what is pickled is the parent's; and an
    object equals one of the parent's with the same fields.
    """

    def standing(made: type[M]) -> type[M]:
        def equals(self: M, other: object) -> bool:
            return kind.__eq__(plain(self), plain(other))

        def reduced(self: M, protocol: Any) -> Any:
            whole = plain(self)
            return kind.__reduce_ex__(self, protocol) if whole is self else (copy, (whole,))

        made.__eq__ = equals
        made.__reduce_ex__ = reduced
        made.__doc__ = kind.__doc__
        made.__module__, made.__name__, made.__qualname__ = kind.__module__, kind.__name__, kind.__qualname__
        _stood_for[made] = kind
        return made

    return standing


def plain(model: Any) -> Any:
    """Return a model whose class stands for another as one of that class; anything else as it is."""
    kind = _stood_for.get(cast("type[Any]", type(model)))
    return (
        model if kind is None else built(kind, model.__dict__, model.__pydantic_fields_set__, model.__pydantic_extra__)
    )
