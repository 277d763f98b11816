"""What goes over to other machines with a worker."""

from __future__ import annotations

from typing import Any

import pytest
from vessel_core.errors import InvalidConfig
from vessel_core.ray import BatchWorker


@pytest.mark.parametrize(
    "connection",
    [
        {"api_key": "SECRETKEY"},
        {"headers": {"Authorization": "Bearer SECRETKEY"}},
        {"headers": {"X-Api-Key": "SECRETKEY"}},
        {"base_url": "http://user:SECRETKEY@gpu:8080"},
        {"base_url": ["http://one", "http://user:SECRETKEY@two"]},
    ],
    ids=str,
)
def test_a_key_does_not_travel_with_the_job(connection: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig, match="would travel") as refused:
        BatchWorker("llamacpp", **connection)
    assert "SECRETKEY" not in str(refused.value)


def test_a_header_that_is_no_secret_travels() -> None:
    assert "gpu" in repr(BatchWorker("llamacpp", base_url="http://gpu:8080", headers={"X-Team": "blue"}))
