"""The JSON schema of a TypedDict: pydantic's, which knows keys that may be missing and bounds, with what LangChain's users
write beside a type: `Annotated[str, ..., "the whole name"]`, a default and a description."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any, NotRequired, Required, cast, get_args, get_origin, get_type_hints

from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import PydanticUserError, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema
from typing_extensions import ReadOnly
from vessel_core.wire.schemas import without_root_ref
from vessel_core.written_schema import Written


class _Described(Written):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        made = super().typed_dict_schema(schema)
        for name, default, text in _said(schema.get("cls")):
            field = made["properties"].setdefault(name, {})
            field.setdefault("description", text)
            if default is not ...:
                field.setdefault("default", default)
                made["required"] = [each for each in made.get("required", ()) if each != name]
        return made


def _said(cls: Any) -> Iterator[tuple[str, Any, str]]:
    """Yield name, default and description of the keys that have them in LangChain's way; no default is `...`."""
    for name, hint in get_type_hints(cls, include_extras=True).items():
        while get_origin(hint) in (Required, NotRequired, ReadOnly):
            hint = get_args(hint)[0]
        given = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        if len(given) == 2 and isinstance(given[1], str):
            yield name, *given


def typed_dict_schema(cls: Any) -> dict[str, Any]:
    """Return the schema of a TypedDict, with its name as the title.

    One of `typing` before Python 3.12 does not tell pydantic which keys may be missing: LangChain reads it.
    """
    read: dict[str, Any] = {}
    with suppress(TypeError, ValueError, AttributeError):  # LangChain's reading, for the arguments in a docstring
        read = convert_to_json_schema(cls)
    try:
        with warnings.catch_warnings(
            action="ignore", category=UserWarning
        ):  # of `ReadOnly`, which is no matter of a schema
            made = without_root_ref(TypeAdapter(cls).json_schema(schema_generator=_Described))
    except PydanticUserError:
        made = read or convert_to_json_schema(cls)
    for name, field in cast("dict[str, Any]", read.get("properties", {})).items():
        if (text := field.get("description")) and name in made.get("properties", {}):
            made["properties"][name].setdefault("description", text)
    made = {**made, "title": cls.__name__, "description": read.get("description") or made.get("description")}
    if cls.__doc__ == dict.__doc__ or not made["description"]:
        del made["description"]
    return made
