"""The JSON schema of what a model writes for a pydantic class: pydantic's own, but of a `Decimal` the number alone.

Pydantic takes a text for one as well, and a model that may write any text there does.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from vessel_core.wire.schemas import without_root_ref

_REFERENCE = re.compile(r'"#/\$defs/([^"]+)"')


class Written(GenerateJsonSchema):
    """Pydantic's schema as a model is to write it."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """Return a number's schema."""
        made = super().decimal_schema(schema)
        return next((form for form in made.get("anyOf", ()) if form["type"] == "number"), made)


def written_schema(cls: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a class. Of one that holds itself the root is written out: it is an object's for all to see."""
    return without_root_ref(cls.model_json_schema(schema_generator=Written))


def differs(cls: type[Any]) -> bool:
    """Tell whether a class is one of pydantic 2 of which a schema without references says less, or is not pydantic's own."""
    if not issubclass(cls, BaseModel):
        return False
    schema = written_schema(cls)
    return schema != cls.model_json_schema() or _recurs(schema.get("$defs", {}))


def _recurs(parts: dict[str, Any]) -> bool:
    """Tell whether a part of a schema holds itself."""
    held = {name: set(_REFERENCE.findall(json.dumps(part))) for name, part in parts.items()}
    for _ in parts:
        for name, names in held.items():
            held[name] = names.union(*(held.get(each, ()) for each in names))
    return any(name in names for name, names in held.items())
