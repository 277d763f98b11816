"""The table of `docs/reliability.md`: each goal, the figure measured, and where it is measured again.

python -m tests.security.goals        # writes the table into the page
"""

from __future__ import annotations

from pathlib import Path

from tests.security.injections import INJECTIONS

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- goals -->\n", "<!-- /goals -->\n"

#: id → what is wanted, what was measured, where.
GOALS: dict[str, tuple[str, str, str]] = {
    "R1": ("384 cells of the fault matrix as expected", "see the table below", "tests/faults"),
    "R2": ("no answer that is silently wrong or cut", "see the table below", "tests/faults"),
    "R3": (
        "no exception outside the tree",
        "0 in the fuzzers, 0 of 220 injections, 0 of 28 hostile servers",
        "tests/fuzz",
    ),
    "R4": ("at most 3 requests a failed call, 1 after a timeout", "see the table below", "tests/faults"),
    "R5": ("at most a tenth more load from retries", "a budget of 100 a host, 10 a retry", "tests/core/test_retry.py"),
    "R6": ("a model that loads is waited for", "always", "tests/core/test_client.py"),
    "R7": ("the server hears of a stop within 100 ms", "every way of stopping", "tests/core/test_client_stopping.py"),
    "R8": ("no slot is dead after 10,000 cancels", "see there", "tests/core/test_client_connections.py"),
    "R9": ("loops, forks, threads, pickles: no error", "see there", "tests/core/test_client_connections.py"),
    "R10": (
        "event streams by the book, cut anywhere",
        "20 of 20 cases, 8 of 8 of lines",
        "tests/security/test_event_streams.py",
    ),
    "R11": ("fuzzers find nothing", "{fuzz}", "tests/fuzz"),
    "R12": (
        "a hostile reply costs ≤ 40 MB and ≤ 1 s",
        "28 MB, 0.33 s at most, of 28 servers",
        "tests/security/test_hostile.py",
    ),
    "R13": ("errors say where, why, what next", "every one", "tests/docs/error_catalogue.py"),
    "R14": ("a soak leaks and loses nothing", "{soak}", "tests/security/soak.py"),
    "R15": ("a prompt that Ollama cut is noticed", "always", "tests/core/wire/test_ollama.py"),
    "S1": ("the key in none of 12 places × 3", "0 of 36", "tests/security/test_secrets.py"),
    "S2": (
        "content reads no file, opens no connection",
        "0 of 26 payloads × 3 faces × 2 servers",
        "tests/security/test_content.py",
    ),
    "S3": ("no local traffic to a proxy", "0 bytes, 0 connections", "tests/security/test_places.py"),
    "S4": ("nothing to another host by a redirect", "0 bytes, 0 connections", "tests/security/test_places.py"),
    "S5": ("as R12", "28 MB, 0.33 s", "tests/security/test_hostile.py"),
    "S6": (
        "no injection changes a request",
        "0 of {injections} strings; 0 raw errors",
        "tests/security/test_injection.py",
    ),
    "S7": ("10⁶ runs of each fuzzer", "{fuzz}", "tests/fuzz"),
    "S8": ("loading reads no secret, changes no host", "0 of 20 payloads × 2 faces", "tests/security/test_loading.py"),
    "S9": ("no raw escape on a terminal", "0", "tests/cli/test_commands.py"),
    "S10": (
        "≤ 2 direct dependencies; no known advisory; SBOM",
        "2; as `make audit` says; yes",
        "tests/security/audit.py",
    ),
    "S11": ("ruff's security rules clean; a model of threats", "yes; SECURITY.md", "pyproject.toml"),
}
MEASURED = {
    "fuzz": "1,052,286 runs of eight targets in 70 s each: 0 findings (10⁶ runs of each: not yet)",
    "soak": "3 minutes, 14,784 streams: 0 lost, 0 tasks, 0 threads, +4.7 MB (30 minutes: not yet)",
    "injections": str(len(INJECTIONS)),
}


def table() -> str:
    """Return the table."""
    rows = [
        f"| {name} | {goal} | {figure.format(**MEASURED)} | `{where}` |\n"
        for name, (goal, figure, where) in GOALS.items()
    ]
    return "| | goal | measured | where |\n|---|---|---|---|\n" + "".join(rows)


def page(text: str) -> str:
    """Return the page with the table of now."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
