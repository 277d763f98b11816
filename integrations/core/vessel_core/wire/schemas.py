"""JSON schemas: their references written out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import unquote


def inline_refs(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON schema with its `$ref`s into itself written out: Ollama drops them. A cycle ends in `{}`."""

    def inlined(node: Any, seen: tuple[str, ...]) -> Any:
        if isinstance(node, list | tuple):
            return [inlined(item, seen) for item in cast("Sequence[Any]", node)]
        if not isinstance(node, Mapping):
            return node
        fields = cast("Mapping[str, Any]", node)
        reference = fields.get("$ref")
        if not isinstance(reference, str):
            return {key: inlined(value, seen) for key, value in fields.items()}
        if reference in seen:
            return {}
        rest = {key: inlined(value, seen) for key, value in fields.items() if key != "$ref"}
        target = inlined(_pointed(schema, reference), (*seen, reference))
        return {**cast("dict[str, Any]", target), **rest} if isinstance(target, dict) else rest

    root = {key: value for key, value in schema.items() if key not in ("$defs", "definitions")}
    return cast("dict[str, Any]", inlined(root, ("#",)))


def _pointed(schema: Mapping[str, Any], reference: str) -> Any:
    """Return what a JSON pointer such as `#/$defs/City` points at, `{}` if it points out of the schema."""
    node: Any = schema if reference.startswith("#") else {}
    for step in unquote(reference[1:]).split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        node = cast("Mapping[str, Any]", node).get(step) if isinstance(node, Mapping) else None
    return {} if node is None else node
