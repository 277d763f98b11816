"""Each requirement of safety is asked of the core, of LangChain and of LlamaIndex."""

from __future__ import annotations

import pytest

from tests.security.faces import FACES, Face


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> Face:
    """The three faces, one after the other."""
    return request.param
