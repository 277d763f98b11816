"""Every error: what it says, what it is a subclass of, and that it survives a pickle."""

from __future__ import annotations

import builtins
import copy
import inspect
import pickle

import pytest
from vessel_core import ChatReply, errors
from vessel_core.errors import FailedResponse, VesselError

ALL = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, VesselError)]


@pytest.mark.parametrize("cls", ALL)
def test_an_error_says_what_happened_where_and_what_to_do(cls: type[VesselError]) -> None:
    error = cls("It broke.", hint="Mend it.", backend="Ollama", url="http://host:1")
    assert str(error) == "It broke. [Ollama at http://host:1]\nMend it."
    assert str(cls("It broke.")) == f"It broke.\n{cls.usual_hint or ''}".rstrip()
    assert (error.attempts, error.elapsed, error.partial, error.status_code) == (1, 0.0, None, None)


@pytest.mark.parametrize("cls", ALL)
def test_an_error_survives_a_pickle_and_a_copy(cls: type[VesselError]) -> None:
    response = FailedResponse(500, {"x-request-id": "7"}, '{"error": "x"}')
    error = cls("It broke.", hint="Mend it.", url="http://h", response=response, partial=ChatReply(text="Hel"))
    error.attempts = 3
    for back in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(back) is cls
        assert str(back) == str(error)
        assert (back.attempts, back.status_code, back.partial) == (3, 500, ChatReply(text="Hel"))
        assert back.response is not None
        assert back.response.json() == {"error": "x"}


@pytest.mark.parametrize("cls", ALL)
def test_the_tree_in_the_docs_is_the_tree_in_the_code(cls: type[VesselError]) -> None:
    assert cls.__name__ in errors.__all__
    lines = (errors.__doc__ or "").splitlines()
    (line,) = [
        line
        for line in lines
        if line.replace("│", " ").replace("├──", "").replace("└──", "").split()[:1] == [cls.__name__]
    ]
    bases = [base for base in cls.__mro__[1:] if base.__module__ == "builtins" and hasattr(builtins, base.__name__)]
    if cls is not VesselError and bases[0] is not Exception and cls.__bases__[0] is VesselError:
        assert f"({bases[0].__name__})" in line


def test_people_catch_what_they_always_caught() -> None:
    for cls, builtin in (
        (errors.ServerUnreachable, ConnectionError),
        (errors.NoServerFound, ConnectionError),
        (errors.ConnectTimeout, TimeoutError),
        (errors.FirstTokenTimeout, TimeoutError),
        (errors.StreamStalled, TimeoutError),
        (errors.InvalidConfig, ValueError),
        (errors.InvalidRequest, ValueError),
        (errors.InvalidOutput, ValueError),
    ):
        assert issubclass(cls, builtin)
        assert issubclass(cls, VesselError)
