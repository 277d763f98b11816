"""What every test stands on: the real servers, an environment that points at none, and hosts of which nothing is known yet."""

from __future__ import annotations

import gc
import signal

import pytest
from hypothesis import HealthCheck, settings
from vessel_core.retry import host_of

settings.register_profile("vessel", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vessel")  # how long an example takes says how busy the machine is

# A shell that begins the tests in the background has them ignore Ctrl-C, and what they start as well.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.servers"]


def pytest_collection_finish() -> None:
    """Have the collector pass over what the imports made: it would go through a million objects each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server, key or proxy of the machine is seen by a test."""
    for name in ("OLLAMA_URL", "OLLAMA_HOST", "LLAMACPP_URL", "LMSTUDIO_URL", "OPENAI_API_KEY", "LANGSMITH_TRACING"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def new_hosts() -> None:
    """No test knows what another one learnt of a port that was given out twice: one that answered is tried for longer."""
    host_of.cache_clear()
