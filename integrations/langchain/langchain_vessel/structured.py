"""Answers in a form: what is asked of the server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, cast

import pydantic.v1
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel
from typing_extensions import is_typeddict
from vessel_core.errors import InvalidRequest
from vessel_core.types import JSONSchema, ResponseFormat
from vessel_core.written_schema import written_schema

from langchain_vessel.typed_dicts import typed_dict_schema

Method = Literal["json_schema", "function_calling", "json_mode"]


def to_response_format(wanted: Any, strict: bool | None = None) -> ResponseFormat | None:
    """Return a response format as the core takes it.

    Takes OpenAI's dicts, `"json"` (as Ollama's `format`), a JSON schema, and what LangChain takes for one: a pydantic class
    (v1 or v2), a TypedDict.
    """
    if wanted is None or wanted == "":
        return None
    if wanted in ("json", "json_object"):
        return {"type": "json_object"}
    if isinstance(wanted, Mapping):
        fields = cast("Mapping[str, Any]", wanted)
        if fields.get("type") in ("text", "json_object", "json_schema"):
            return cast("ResponseFormat", dict(fields))
    elif not isinstance(wanted, type):
        raise InvalidRequest(f"response_format is {wanted!r}; it must be a schema, a class or OpenAI's dict.")
    return {"type": "json_schema", "json_schema": to_json_schema(wanted, strict)}


def to_json_schema(schema: Any, strict: bool | None = None) -> JSONSchema:
    """Return the named JSON schema of a class or dict; a dict may be a bare schema of any kind."""
    named = _named_schema(cast("Mapping[str, Any]", schema)) if isinstance(schema, Mapping) else None
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        named = JSONSchema(name=_name(schema.__name__), schema=written_schema(schema))
    elif isinstance(schema, type) and issubclass(schema, pydantic.v1.BaseModel):
        named = JSONSchema(name=_name(schema.__name__), schema=schema.schema())
    if named is None:
        other = cast("Any", schema)
        found = typed_dict_schema(other) if is_typeddict(other) else convert_to_json_schema(other)
        named = JSONSchema(name=_name(found.get("title") or "answer"), schema=found)
    if strict is not None:
        named["strict"] = strict
    return named


def _named_schema(fields: Mapping[str, Any]) -> JSONSchema | None:
    """Read a dict that has a name and a schema, or is one; `None` if it is a tool, which LangChain reads."""
    if isinstance(fields.get("schema"), Mapping) and "name" in fields:
        return cast("JSONSchema", dict(fields))
    if "function" in fields or "input_schema" in fields:
        return None
    schema = dict(fields["parameters"]) if "parameters" in fields and "type" not in fields else dict(fields)
    return JSONSchema(name=_name(fields.get("title") or fields.get("name") or "answer"), schema=schema)


def _name(title: Any) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", str(title))[:64]
