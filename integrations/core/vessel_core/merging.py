"""What is said in several places, put together: request bodies, headers, arguments under several names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from vessel_core.errors import InvalidConfig


def merged(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body with the caller's own fields in it; those inside `options` or the template's variables stand beside
    ours, they don't replace them."""
    if not extra:
        return {**body}
    merged = {**body, **extra}
    for name in ("options", "chat_template_kwargs"):
        if isinstance(extra.get(name), Mapping):
            merged[name] = {**(body.get(name) or {}), **extra[name]}
    return merged


def said(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that say something: a `null` is an error for some servers."""
    return {name: value for name, value in fields.items() if value is not None}


def joined(one: Any, other: Any, name: str) -> Any:
    """Return a value that was said twice as one: the one that is not `None`, or the members of both dicts.

    Raises `InvalidConfig` with the name, not the values, which may be secret, where the two differ.
    """
    if one is None or other is None:
        return one if other is None else other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        made = dict(cast("Mapping[str, Any]", one))
        for key, value in cast("Mapping[str, Any]", other).items():
            made[key] = joined(made.get(key), value, f"{name}[{key!r}]")
        return made
    if _shown(one) != _shown(other):
        raise InvalidConfig(f"{name} is given twice, with different values.", hint="Leave one of them out.")
    return cast("Any", one)


def _shown(value: Any) -> Any:
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value
