"""JSON schemas: their references written out, and whether a value fits one."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import count
from typing import Any, cast
from urllib.parse import unquote

from vessel_core.errors import InvalidRequest
from vessel_core.wire.matching import matches
from vessel_core.wire.reading import mapping

MOST_PARTS = 20_000
"""How large a schema may grow when its references are written out."""


def without_root_ref(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON schema that says at its root what it is, where that was a `$ref` into itself."""
    made, seen = dict(schema), set[str]()
    while isinstance(reference := made.get("$ref"), str) and reference not in seen:
        seen.add(reference)
        made = {**mapping(_pointed(made, reference)), **{name: made[name] for name in made if name != "$ref"}}
    return made


def inline_refs(schema: Mapping[str, Any], name: str = "") -> dict[str, Any]:
    """Return a JSON schema with its `$ref`s into itself written out: Ollama drops them. A cycle ends in `{}`.

    Types that hold each other grow beyond measure: more than `MOST_PARTS` parts are an `InvalidRequest` with the tool's `name`.
    """
    parts = count()

    def inlined(node: Any, seen: tuple[str, ...]) -> Any:
        if next(parts) > MOST_PARTS:
            raise InvalidRequest(
                f"With its references written out, the schema of {name!r} has more than {MOST_PARTS:,} parts.",
                hint="Its types hold each other in too many ways: leave some of them out, or name the parts by an id.",
            )
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
    """Return what a reference such as `#/$defs/City` or `#city` (an `$anchor`) means, `{}` if it is nothing of the schema."""
    if not reference.startswith("#") or reference == "#":
        return schema if reference == "#" else {}
    if reference[1] != "/":
        return _anchored(schema, unquote(reference[1:])) or {}
    node: Any = schema
    for step in unquote(reference[1:]).split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        node = cast("Mapping[str, Any]", node).get(step) if isinstance(node, Mapping) else None
    return {} if node is None else node


def _anchored(node: Any, name: str) -> Any:
    """Return the part of a schema that has a name of its own, `None` if none has it."""
    if isinstance(node, Mapping):
        fields = cast("Mapping[str, Any]", node)
        if fields.get("$anchor") == name:
            return fields
        node = list(fields.values())
    parts = cast("list[Any]", node) if isinstance(node, list) else ()
    return next((found for part in parts if (found := _anchored(part, name)) is not None), None)


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
    "minProperties": lambda value, bound: len(value) >= bound,
    "maxProperties": lambda value, bound: len(value) <= bound,
    "multipleOf": lambda value, bound: _is_multiple(value, bound),
}
_BOUND_TYPES: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), (int, float)),
    **dict.fromkeys(("minLength", "maxLength"), str),
    **dict.fromkeys(("minItems", "maxItems"), list),
    **dict.fromkeys(("minProperties", "maxProperties"), dict),
}
_WHOLLY_KNOWN = frozenset({"type", "enum", "const", "required", "title", "description", *_BOUNDS})
"""The keywords of a schema that is told to hold only where it does."""


def misfit(value: Any, schema: Any) -> str | None:
    """Return where and how a value does not fit a JSON schema, `None` if it does.

    It knows what servers bind an answer by: `type`, `enum`, `const`, `properties`, `patternProperties`, `required`,
    `additionalProperties`, `items`, `prefixItems`, `uniqueItems`, bounds, `multipleOf`, `pattern`, `anyOf`, `oneOf`, `allOf`,
    a plain `not`, and `$ref`s into the schema. Other keywords (`format`, `if`, …) are taken to hold, so that it never refuses
    what a full validator would take.
    """
    return _Check(schema).fault(value, schema, "", ())


class _Check:
    """The check of one document against one schema. `refs` are those followed at the same place: a circle of them holds."""

    def __init__(self, root: Any) -> None:
        self._root = mapping(root)

    def fault(self, value: Any, schema: Any, at: str, refs: tuple[str, ...]) -> str | None:
        """Return the first fault of a value, with the path to it."""
        if schema is False:
            return f"{at or 'it'} must not be there"
        fields = mapping(schema)
        if isinstance(reference := fields.get("$ref"), str):
            return (
                None
                if reference in refs
                else self.fault(value, _pointed(self._root, reference), at, (*refs, reference))
            )
        return (
            _plain(value, fields, at)
            or self._members(value, fields, at)
            or self._items(value, fields, at)
            or self._choices(value, fields, at, refs)
        )

    def _members(self, value: Any, schema: Mapping[str, Any], at: str) -> str | None:
        if not isinstance(value, dict):
            return None
        members = cast("dict[str, Any]", value)
        for name in _list(schema.get("required")):
            if isinstance(name, str) and name not in members:
                return f"{at or 'it'} has no {name!r}"
        for name, member in members.items():
            for wanted in _of_member(name, schema):
                if fault := self.fault(member, wanted, f"{at}.{name}".lstrip("."), ()):
                    return fault
        return None

    def _items(self, value: Any, schema: Mapping[str, Any], at: str) -> str | None:
        first = _list(schema.get("prefixItems"))
        for place, item in enumerate(_list(value)):
            wanted = first[place] if place < len(first) else schema.get("items")
            if fault := self.fault(item, wanted, f"{at}[{place}]", ()):
                return fault
        if schema.get("uniqueItems") is True and (twice := _twice(_list(value))):
            return f"{at or 'it'} holds {twice[:80]} twice, against uniqueItems"
        return None

    def _choices(self, value: Any, schema: Mapping[str, Any], at: str, refs: tuple[str, ...]) -> str | None:
        for each in _list(schema.get("allOf")):
            if fault := self.fault(value, each, at, refs):
                return fault
        known = "not" in schema and _WHOLLY_KNOWN.issuperset(mapping(schema["not"]))
        if known and self.fault(value, schema["not"], at, refs) is None:
            return f"{at or 'it'} is {repr(value)[:80]}, which `not` rules out"
        for keyword in ("anyOf", "oneOf"):
            faults = [self.fault(value, each, at, refs) for each in _list(schema.get(keyword))]
            if faults and all(faults):
                several = f"{at or 'it'} fits none of {len(faults)} choices ({faults[0]}, …)"
                return faults[0] if len(faults) == 1 else several
        return None


def _of_member(name: str, schema: Mapping[str, Any]) -> list[Any]:
    """Return the schemas of a member: of its name, and of the patterns its name matches; else that of all others."""
    known, patterns = mapping(schema.get("properties")), mapping(schema.get("patternProperties"))
    found = {pattern: matches(pattern, name) for pattern in patterns}
    wanted = [known[name]] if name in known else []
    wanted += [each for pattern, each in patterns.items() if found[pattern]]
    return wanted if wanted or None in found.values() else [schema.get("additionalProperties")]


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _plain(value: Any, schema: Mapping[str, Any], at: str) -> str | None:
    """Return the fault of a value by itself: its type, its choices, its bounds."""
    where, shown = at or "it", repr(value)[:80]
    kinds = _list(schema.get("type")) or [schema.get("type")]
    if not any(_is(value, kind) for kind in kinds):
        return f"{where} is {shown}, and not of type {' or '.join(map(str, kinds))}"
    choices = _list(schema.get("enum"))
    if choices and not any(_same(value, one) for one in choices):
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
    if not isinstance(value, str) or not isinstance(pattern, str) or matches(pattern, value) is not False:
        return None
    return f"{where} is {value[:80]!r}, against the pattern {pattern!r}"


def _is_multiple(value: float, of: float) -> bool:
    """Tell whether a number is a multiple as both are written: 0.3 is one of 0.1. Of what is no number nothing is told."""
    try:
        one, other = (Fraction(repr(each)) if isinstance(each, float) else Fraction(each) for each in (value, of))
    except ValueError:  # NaN or infinity
        return True
    return other <= 0 or (one / other).denominator == 1


def _twice(items: Sequence[Any]) -> str | None:
    """Return an item of which there are two, as JSON."""
    seen = set[str]()
    for item in items:
        text = json.dumps(item, sort_keys=True)
        if text in seen:
            return text
        seen.add(text)
    return None


def _is(value: Any, kind: Any) -> bool:
    """Tell whether a value is of a JSON type; 1.0 is an integer there, and `true` is none."""
    if not isinstance(kind, str) or kind not in _TYPES:
        return True
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[kind])


def _same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are equal: `true` is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)
