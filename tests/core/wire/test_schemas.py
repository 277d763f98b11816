"""Whether a value fits a JSON schema, as far as servers bind answers by one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vessel_core.wire.schemas import misfit

from tests.core.wire.test_tools import values

CITY = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
NODE = {"$defs": {"N": {"type": "object", "properties": {"next": {"$ref": "#/$defs/N"}, "v": {"type": "integer"}}}}}


CASES: list[tuple[Any, list[Any], list[Any]]] = [
    ({"type": "object"}, [{}], [[], 1, "a", None]),
    ({"type": "integer"}, [1, 1.0], [1.5, True, "1"]),
    ({"type": "number"}, [1, 1.5], [True, "1"]),
    ({"type": "boolean"}, [True, False], [0, 1]),
    ({"type": ["string", "null"]}, ["a", None], [1]),
    ({"type": "strange"}, [1, "a"], []),
    ({"type": 7}, [1, "a"], []),
    ({"enum": ["a", 1, None]}, ["a", 1, None], ["b", True]),
    ({"const": 1}, [1], [True, 2]),
    (CITY, [{"name": "Oslo"}], [{}, {"name": 1}, {"name": "Oslo", "x": 1}]),
    ({"additionalProperties": {"type": "integer"}}, [{"a": 1}], [{"a": "b"}]),
    ({"items": {"type": "integer"}}, [[1, 2], []], [[1, "a"]]),
    ({"prefixItems": [{"type": "string"}], "items": False}, [["a"], []], [[1], ["a", 1]]),
    ({"minimum": 1, "maximum": 3}, [1, 3, "a", True], [0, 4]),
    ({"exclusiveMinimum": 1, "exclusiveMaximum": 3}, [2], [1, 3]),
    ({"minLength": 1, "maxLength": 2}, ["a", "ab", 5], ["", "abc"]),
    ({"minItems": 1, "maxItems": 2}, [[1], [1, 2]], [[], [1, 2, 3]]),
    ({"minimum": "x"}, [0], []),
    ({"multipleOf": 7}, [0, 14, -7, 7.0, "a", True], [1, 15, 7.5, 10**400]),
    ({"multipleOf": 0.1}, [0.3, 1, 1e300, float("inf"), float("nan")], [0.35]),
    ({"multipleOf": 0}, [1], []),
    ({"multipleOf": float("inf")}, [1], []),
    (
        {"uniqueItems": True},
        [[], [1, "1", True], [{"a": 1}, {"a": 2}], "aa"],
        [[1, 2, 1], [{"a": 1, "b": 2}, {"b": 2, "a": 1}]],
    ),
    ({"uniqueItems": False}, [[1, 1]], []),
    ({"minProperties": 1, "maxProperties": 2}, [{"a": 1}, {"a": 1, "b": 2}, []], [{}, {"a": 1, "b": 2, "c": 3}]),
    ({"not": {"enum": ["a", "b"]}}, ["c", 1], ["a", "b"]),
    ({"not": {"type": "string", "minLength": 2}}, ["a", 1], ["ab"]),
    ({"not": {}}, [], [1, None]),
    ({"not": True}, [], [1]),
    ({"not": False}, [1], []),
    ({"not": {"type": "string", "format": "date"}}, ["a", 1], []),
    ({"pattern": "^a+$"}, ["aa", 1], ["b"]),
    ({"pattern": "("}, ["b"], []),
    (
        {"patternProperties": {"^x_": {"type": "integer"}}, "additionalProperties": False},
        [{"x_a": 1}],
        [{"x_a": ""}, {"y": 1}],
    ),
    ({"patternProperties": {"(?=x)": {"type": "integer"}}, "additionalProperties": False}, [{"x": ""}], []),
    (
        {"properties": {"v": {"$ref": "#n"}}, "$defs": {"N": {"$anchor": "n", "type": "integer"}}},
        [{"v": 1}],
        [{"v": "a"}],
    ),
    ({"$ref": "#nowhere", "type": "object"}, [1, {}], []),
    ({"anyOf": [{"type": "string"}, CITY]}, ["a", {"name": "b"}], [1, {}]),
    ({"anyOf": [{"type": "string"}]}, ["a"], [1]),
    ({"anyOf": []}, [1], []),
    ({"oneOf": [{"type": "string"}, {"type": "null"}]}, ["a", None], [1]),
    ({"allOf": [{"type": "object"}, CITY]}, [{"name": "a"}], [{}, 1]),
    ({"properties": {"c": {"$ref": "#/$defs/C"}}, "$defs": {"C": CITY}}, [{"c": {"name": "a"}}, {}], [{"c": {}}]),
    (
        {"properties": {"n": {"$ref": "#/$defs/N"}}, **NODE},
        [{"n": {"next": {"v": 1}}}],
        [{"n": {"next": {"v": "a"}}}],
    ),
    ({"$ref": "#"}, [1, {}], []),
    ({"properties": {"a": False}}, [{}], [{"a": 1}]),
    (True, [1], []),
    (7, [1], []),
]


@pytest.mark.parametrize(("schema", "fits", "faults"), CASES)
def test_a_value_fits_its_schema_or_does_not(schema: Any, fits: list[Any], faults: list[Any]) -> None:
    assert [misfit(value, schema) for value in fits] == [None] * len(fits)
    assert all(misfit(value, schema) for value in faults)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"city": {"name": 7}}, "city.name is 7, and not of type string"),
        ({"city": {}}, "city has no 'name'"),
        ({}, "it has no 'city'"),
        ({"city": {"name": "a"}, "n": [1, "b"]}, "n[1] is 'b', and not of type integer"),
        ({"city": {"name": "a", "x": 1}}, "city.x must not be there"),
        ({"city": {"name": "a"}, "k": 5}, "k fits none of 2 choices (k is 5, and not of type string, …)"),
        ({"city": {"name": "a"}, "e": "z"}, "e is 'z', and none of ['a']"),
    ],
)
def test_a_fault_is_told_with_its_place(value: Any, said: str) -> None:
    properties = {
        "city": CITY,
        "n": {"items": {"type": "integer"}},
        "k": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "e": {"enum": ["a"]},
    }
    assert misfit(value, {"properties": properties, "required": ["city"]}) == said


keywords = ["type", "enum", "const", "properties", "required", "items", "anyOf", "allOf", "minimum", "pattern", "$ref"]
schemas = st.dictionaries(st.sampled_from(keywords), values | st.dictionaries(st.text(max_size=2), values))


@given(values, schemas | values)
def test_any_schema_makes_a_verdict(value: Any, schema: Any) -> None:
    assert isinstance(misfit(value, schema), str | None)
