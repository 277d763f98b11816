"""The page `docs/reliability.md`: each goal, the figure measured, and where it is measured again; the fault matrix.

    python -m tests.security.goals        # writes the page from tests/security/measured.json

`make measure` measures the figures of the fault server again; those of the fuzzers and of the soak are noted by
`python -m tests.security.goals fuzz="…" soak="…"`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cli.test_terminal import ESCAPES
from tests.faults.table import table as fault_table
from tests.security.injections import INJECTIONS

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
MEASURED = Path(__file__).with_name("measured.json")

#: id → what is wanted, what was measured, where (several places with commas between).
GOALS: dict[str, tuple[str, str, str]] = {
    "R1": (
        "every cell of the fault matrix as expected (384), in 90 s",
        "{matrix[good]} of {matrix[of]}, in {matrix[seconds]} s on {matrix[machine]}, {matrix[cpu]} s of them CPU",
        "tests/faults",
    ),
    "R2": (
        "no answer that is silently wrong or cut",
        "0 in the matrix (faults 29 to 55), 0 in the soak",
        "tests/faults",
    ),
    "R3": (
        "no exception outside the tree",
        "0 in the matrix and the fuzzers, 0 of {injections} injections, 0 of {hostile[servers]} hostile servers",
        "tests/fuzz",
    ),
    "R4": (
        "at most 3 requests a failed call, 1 after a timeout",
        "3 at most, 1 after a timeout: counted in each cell",
        "tests/faults",
    ),
    "R5": (
        "at most a tenth more load from retries",
        "{retries[requests]} requests for {retries[calls]} calls that all fail",
        "tests/core/test_retry.py",
    ),
    "R6": (
        "a model that loads is waited for",
        "{loads[survived]} of {loads[of]} ways of asking outlast a load of 6 s, and tell of it",
        "tests/faults",
    ),
    "R7": (
        "the server hears of a stop within 100 ms",
        "{stops[stops]} stops in 39 ways: half within {stops[p50]} ms, 99 % within {stops[p99]} ms, on {stops[machine]}",
        "tests/faults",
    ),
    "R8": (
        "no slot is dead after 10,000 cancels",
        "{cancels[dead]} of 10, after {cancels[cancels]:,} cancels",
        "tests/faults",
    ),
    "R9": (
        "loops, forks, threads, pickles: no error",
        "0 errors, 0 crossed answers: 100 loops, 8 at once, forks, spawned processes, pickles, 32 threads",
        "tests/core/test_client_connections.py",
    ),
    "R10": (
        "event streams by the book, cut anywhere",
        "20 of 20 cases, 8 of 8 of lines",
        "tests/security/test_event_streams.py",
    ),
    "R11": ("fuzzers find nothing", "{fuzz}", "tests/fuzz"),
    "R12": (
        "a hostile reply costs ≤ 40 MB and ≤ 1 s",
        "at most {hostile[rss]} MB, {hostile[wall]} s by the clock, {hostile[seconds]} s of CPU, of {hostile[servers]} "
        "servers, sync and async, beside what a token of an answer takes; on {hostile[machine]}",
        "tests/security/test_hostile.py",
    ),
    "R13": ("errors say where, why, what next", "every one", "tests/docs/test_errors_page.py"),
    "R14": ("a soak leaks and loses nothing", "{soak}", "tests/security/test_soak.py"),
    "R15": (
        "a prompt that Ollama cut is noticed",
        "each time: `truncated`, or `ContextOverflow` with `strict`",
        "tests/core/wire/test_ollama.py, tests/core/test_context.py",
    ),
    "S1": ("the key in none of 12 places × 3", "0 of 36", "tests/security/test_secrets.py"),
    "S2": (
        "content reads no file, opens no connection",
        "0 of 26 payloads × 3 faces × 2 servers",
        "tests/security/test_content.py",
    ),
    "S3": ("no local traffic to a proxy", "0 bytes, 0 connections", "tests/security/test_places.py"),
    "S4": (
        "nothing to another host by a redirect",
        "0 bytes, 0 connections",
        "tests/security/test_places.py, tests/core/test_client_secrets.py",
    ),
    "S5": ("as R12", "{hostile[rss]} MB, {hostile[wall]} s", "tests/security/test_hostile.py"),
    "S6": (
        "no injection changes a request",
        "0 of {injections} strings; 0 raw errors",
        "tests/security/test_injection.py",
    ),
    "S7": ("10⁶ runs of each fuzzer", "{fuzz}", "tests/fuzz"),
    "S8": ("loading reads no secret, changes no host", "0 of 20 payloads × 2 faces", "tests/security/test_loading.py"),
    "S9": (
        "no raw escape on a terminal",
        "0 of {escapes} payloads: in answers, and in errors by 8 commands",
        "tests/cli/test_terminal.py",
    ),
    "S10": (
        "≤ 2 direct dependencies; no known advisory; SBOM",
        "2; {audit}; yes",
        "tests/security/audit.py",
    ),
    "S11": ("ruff's security rules clean; a model of threats", "yes; SECURITY.md", "pyproject.toml"),
}


def measured() -> dict[str, Any]:
    """Return what was measured last."""
    return json.loads(MEASURED.read_text(encoding="utf-8"))


def remember(name: str, found: Any) -> None:
    """Keep a figure."""
    text = json.dumps(measured() | {name: found}, indent=1, sort_keys=True, ensure_ascii=False)
    MEASURED.write_text(text + "\n", encoding="utf-8")


def table(figures: Mapping[str, Any]) -> str:
    """Return the table of the goals."""
    counted = {**figures, "injections": len(INJECTIONS), "escapes": len(ESCAPES)}
    rows = [
        f"| {name} | {goal} | {figure.format(**counted)} | {_code(where)} |\n"
        for name, (goal, figure, where) in GOALS.items()
    ]
    return "| | goal | measured | where |\n|---|---|---|---|\n" + "".join(rows)


def page(text: str, figures: Mapping[str, Any]) -> str:
    """Return the page with the tables of now."""
    return _with(_with(text, "goals", table(figures)), "faults", fault_table(figures["matrix"]["cells"]))


def _code(where: str) -> str:
    return ", ".join(f"`{one}`" for one in where.split(", "))


def _with(text: str, name: str, inner: str) -> str:
    before, _, rest = text.partition(f"<!-- {name} -->\n")
    return f"{before}<!-- {name} -->\n{inner}<!-- /{name} -->\n" + rest.partition(f"<!-- /{name} -->\n")[2]


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        remember(*argument.split("=", 1))
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), measured()), encoding="utf-8")
