"""`make audit` fails on what it found and if it could not look, but not where its service can't be reached."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.security import audit

CLEAN: dict[str, Any] = {"name": "httpx", "version": "0.28.1", "vulns": []}
SKIPPED: dict[str, Any] = {"name": "vessel-core", "skip_reason": "not on the index"}
AWAY = "Traceback\nConnectionError: no route\n"
BLOCKED = "ERROR:pip_audit._cli:Could not connect to PyPI's feed\nERROR:pip_audit._cli:Tip: try another\n"
HASHLESS = "ERROR:pip_audit._cli:requirement httpx==0.28.1 does not contain a hash\n"
BROKEN = "Traceback\n    except ReadTimeout: raise\nKeyError: 'vulnerabilities'\n"
FOUND: dict[str, Any] = {"name": "idna", "version": "3.1", "vulns": [{"id": "PYSEC-2024-60", "fix_versions": ["3.7"]}]}


def audited(monkeypatch: pytest.MonkeyPatch, *said: str) -> Any:
    """Run the audit with an auditor that says this, a lock file each; return what it exits with."""
    sayings = list(said)

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert command[1:3] == ["-m", "pip_audit"]
        said = sayings.pop(0)
        stdout, stderr = (said, "") if said.startswith("{") else ("", said)
        return subprocess.CompletedProcess(command, int(bool(stderr)), stdout, stderr)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(audit, "bill", lambda: 9)
    with pytest.raises(SystemExit) as ended:
        audit.main()
    assert sayings == []
    return ended.value.code


def report(*packages: Any) -> str:
    return json.dumps({"dependencies": packages})


@pytest.mark.parametrize("other", [AWAY, report(CLEAN)], ids=["the other could not be asked for", "the other is clean"])
def test_an_advisory_is_named_and_fails_it(
    other: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audited(monkeypatch, other, report(CLEAN, FOUND, SKIPPED)) == 1
    assert "dev.txt: idna 3.1: PYSEC-2024-60, mended in 3.7" in capsys.readouterr().out


def test_no_advisory_is_told_of_the_files_that_could_be_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audited(monkeypatch, report(CLEAN), report(SKIPPED)) == 0
    said = capsys.readouterr().out
    assert "No advisory on core.txt." in said
    assert "dev.txt: the advisory service knows 0 of 1 packages\n  not vessel-core: not on the index\n" in said


def test_a_service_that_cannot_be_reached_is_told_and_fails_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audited(monkeypatch, AWAY, BLOCKED) == 0
    said = capsys.readouterr().out
    unknown = "the advisory service can't be reached, so nothing is known of it"
    assert f"core.txt: {unknown}: ConnectionError: no route\n" in said
    assert f"dev.txt: {unknown}: ERROR:pip_audit._cli:Could not connect to PyPI's feed\n" in said
    assert "Nothing is known" in said
    assert "No advisory" not in said


@pytest.mark.parametrize("said", [HASHLESS, BROKEN, ""])
def test_an_audit_that_fails_itself_is_no_outage(
    said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audited(monkeypatch, report(CLEAN), said) == 1
    reason = said.strip() or "no word"
    assert f"dev.txt: pip-audit failed, so nothing is known of it: {reason}\n" in capsys.readouterr().out
