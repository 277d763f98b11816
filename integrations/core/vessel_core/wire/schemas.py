"""JSON schemas: their references written out, and whether a value fits one."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import unquote

MAX_DEPTH = 64
"""How deep a check follows a schema that goes round."""


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


_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "number": (int, float),
    "integer": (int,),
}
_BOUNDS: Mapping[str, Callable[[Any, Any], bool]] = {
    "minimum": operator.ge,
    "maximum": operator.le,
    "exclusiveMinimum": operator.gt,
    "exclusiveMaximum": operator.lt,
    "minLength": lambda value, bound: len(value) >= bound,
    "maxLength": lambda value, bound: len(value) <= bound,
    "minItems": lambda value, bound: len(value) >= bound,
    "maxItems": lambda value, bound: len(value) <= bound,
}
_BOUND_TYPES: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), (int, float)),
    **dict.fromkeys(("minLength", "maxLength"), str),
    **dict.fromkeys(("minItems", "maxItems"), list),
}


def misfit(value: Any, schema: Any) -> str | None:
    """Return where and how a value does not fit a JSON schema, `None` if it does.

    It knows what servers bind an answer by: `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`,
    `items`, `prefixItems`, bounds, `pattern`, `anyOf`, `oneOf`, `allOf`, and `$ref`s into the schema. Other keywords (`format`,
    `if`, `not`, …) are taken to hold, so that it never refuses what a full validator would take.
    """
    return _Check(schema).fault(value, schema, "", 0)


class _Check:
    """The check of one document against one schema."""

    def __init__(self, root: Any) -> None:
        self._root = cast("Mapping[str, Any]", root if isinstance(root, Mapping) else {})

    def fault(self, value: Any, schema: Any, at: str, depth: int) -> str | None:
        """Return the first fault of a value, with the path to it."""
        if schema is False:
            return f"{at or 'it'} must not be there"
        if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
            return None
        fields = cast("Mapping[str, Any]", schema)
        if isinstance(reference := fields.get("$ref"), str):
            return self.fault(value, _pointed(self._root, reference), at, depth + 1)
        return next(
            filter(
                None, (check(value, fields, at, depth) for check in (_plain, self._members, self._items, self._choices))
            ),
            None,
        )

    def _members(self, value: Any, schema: Mapping[str, Any], at: str, depth: int) -> str | None:
        if not isinstance(value, dict):
            return None
        members = cast("dict[str, Any]", value)
        known: Mapping[str, Any] = schema.get("properties") or {}
        if missing := [name for name in schema.get("required") or () if name not in members]:
            return f"{at or 'it'} has no {missing[0]!r}"
        for name, member in members.items():
            wanted = known.get(name, schema.get("additionalProperties"))
            if fault := self.fault(member, wanted, f"{at}.{name}".lstrip("."), depth + 1):
                return fault
        return None

    def _items(self, value: Any, schema: Mapping[str, Any], at: str, depth: int) -> str | None:
        if not isinstance(value, list):
            return None
        first: Sequence[Any] = schema.get("prefixItems") or ()
        for place, item in enumerate(cast("list[Any]", value)):
            wanted = first[place] if place < len(first) else schema.get("items")
            if fault := self.fault(item, wanted, f"{at}[{place}]", depth + 1):
                return fault
        return None

    def _choices(self, value: Any, schema: Mapping[str, Any], at: str, depth: int) -> str | None:
        for each in schema.get("allOf") or ():
            if fault := self.fault(value, each, at, depth + 1):
                return fault
        for keyword in ("anyOf", "oneOf"):
            if not isinstance(choices := schema.get(keyword), list):
                continue
            faults = [self.fault(value, each, at, depth + 1) for each in cast("list[Any]", choices)]
            if faults and all(faults):
                return (
                    faults[0]
                    if len(faults) == 1
                    else f"{at or 'it'} fits none of {len(faults)} choices ({faults[0]}, …)"
                )
        return None


def _plain(value: Any, schema: Mapping[str, Any], at: str, _depth: int) -> str | None:
    """Return the fault of a value by itself: its type, its choices, its bounds."""
    where, shown = at or "it", repr(value)[:80]
    kinds = schema.get("type")
    kinds = cast("list[Any]", kinds if isinstance(kinds, list) else [kinds] if isinstance(kinds, str) else [])
    if kinds and not any(_is(value, kind) for kind in kinds):
        return f"{where} is {shown}, and not of type {' or '.join(map(str, kinds))}"
    if isinstance(choices := schema.get("enum"), list) and not any(
        _same(value, one) for one in cast("list[Any]", choices)
    ):
        return f"{where} is {shown}, and none of {choices!r}"
    if "const" in schema and not _same(value, schema["const"]):
        return f"{where} is {shown}, and not {schema['const']!r}"
    for keyword, holds in _BOUNDS.items():
        bound = schema.get(keyword)
        bounded = isinstance(value, _BOUND_TYPES[keyword]) and not isinstance(value, bool)
        if bounded and _is(bound, "number") and not holds(value, bound):
            return f"{where} is {shown}, against {keyword} {bound}"
    return _unlike_pattern(value, schema.get("pattern"), where)


def _unlike_pattern(value: Any, pattern: Any, where: str) -> str | None:
    if not isinstance(value, str) or not isinstance(pattern, str):
        return None
    try:
        return None if re.search(pattern, value) else f"{where} is {value[:80]!r}, against the pattern {pattern!r}"
    except re.error:  # JavaScript's patterns are not quite Python's
        return None


def _is(value: Any, kind: Any) -> bool:
    """Tell whether a value is of a JSON type; 1.0 is an integer there, and `true` is none."""
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kind, (object,)))


def _same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are equal: `true` is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)
