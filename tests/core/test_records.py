"""Records: dataclasses that Python makes quickly."""

from __future__ import annotations

import pickle
from dataclasses import field, fields, replace

import pytest
from vessel_core.records import record


@record
class Place:
    """Where something is."""

    name: str
    marks: list[int] = field(default_factory=list[int])


@record
class Far(Place):
    """One that is far away."""

    metres: int = 0


def test_a_record_has_the_fields_of_a_dataclass() -> None:
    far = replace(Far("barn", metres=3), metres=4)
    assert [each.name for each in fields(far)] == ["name", "marks", "metres"]
    assert (far.name, far.marks, far.metres) == ("barn", [], 4)
    assert Far("a").marks is not Far("b").marks


def test_a_record_has_slots_equals_itself_only_and_shows_nothing_it_holds() -> None:
    place = Place("barn")
    assert place == place
    assert place != Place("barn")
    assert len({place, Place("barn")}) == 2
    assert "barn" not in repr(place)
    with pytest.raises(AttributeError):
        place.colour = "red"  # pyright: ignore[reportAttributeAccessIssue]


def test_a_record_may_be_pickled() -> None:
    far = pickle.loads(pickle.dumps(Far("barn", [1], 2)))
    assert (far.name, far.marks, far.metres) == ("barn", [1], 2)
