"""Each requirement of safety is asked of the core, of LangChain and of LlamaIndex."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from vessel_core.retry import HOSTS

from tests.security.faces import FACES, Face


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> Face:
    """The three faces, one after the other."""
    return request.param


@pytest.fixture(autouse=True)
def _new_hosts() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """No test knows what another one learnt of a port that was given out twice."""
    HOSTS.clear()
    yield
    HOSTS.clear()
