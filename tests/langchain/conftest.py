"""Which of LangChain's own tests run where."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.langchain.test_integration_suites import NEEDS_SENSE, PDF


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, on the real server, what needs a model that knows something: it runs on the scripted one. No PDFs."""
    ours = [item for item in items if "tests/langchain/" in item.nodeid]
    for item in ours:
        if _name(item) == "test_stream_time":  # it times a recording; without one it only streams
            item.add_marker(pytest.mark.filterwarnings("ignore:Benchmark fixture was not used"))
    left_out = [
        item for item in items if _name(item) in PDF or ("TestRealServer" in item.nodeid and _name(item) in NEEDS_SENSE)
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _name(item: pytest.Item) -> str:
    return item.name.partition("[")[0]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let no test of LangChain's skip itself: docs/langchain-suites.md says that they ran."""
    report = yield
    if report.skipped and "_suites.py" in item.nodeid:
        report.outcome, report.longrepr = "failed", f"A standard test left itself out: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def vcr_config() -> dict[str, Any]:
    """Record nothing: the servers are here."""
    return {"ignore_localhost": True, "ignore_hosts": ["127.0.0.1"], "record_mode": "none"}
