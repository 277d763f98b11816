"""Builds LangChain's pydantic objects without validating them again, once per streamed token.

What goes in has been made here from checked values, with every field of the class at its final value; a test holds each kind
built so to one that pydantic validated, field by field. Validating a chunk takes five times as long.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)

_new = object.__new__
_slots = vars(BaseModel)
_set_fields = _slots["__dict__"].__set__
_set_given = _slots["__pydantic_fields_set__"].__set__
_set_extra = _slots["__pydantic_extra__"].__set__
_set_private = _slots["__pydantic_private__"].__set__


def built(kind: type[M], fields: dict[str, Any], given: set[str], extra: dict[str, Any] | None) -> M:
    """Return a model with exactly these fields, all of the class's in its order; `given` are those it was "made" with."""
    model = _new(kind)
    _set_fields(model, fields)
    _set_given(model, given)
    _set_extra(model, extra)
    _set_private(model, None)
    return model
