"""The JSON schema of what a model writes for a pydantic class: pydantic's own, but of a `Decimal` the number alone.

Pydantic takes a text for one as well, and a model that may write any text there does.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema


class _Written(GenerateJsonSchema):
    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        made = super().decimal_schema(schema)
        return next((form for form in made.get("anyOf", ()) if form["type"] == "number"), made)


def written_schema(cls: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a class."""
    return cls.model_json_schema(schema_generator=_Written)


def differs(cls: type[Any]) -> bool:
    """Tell whether a class is one of pydantic 2 whose schema is not pydantic's own."""
    return issubclass(cls, BaseModel) and written_schema(cls) != cls.model_json_schema()
