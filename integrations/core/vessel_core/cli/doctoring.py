"""`vessel doctor`: the report of `vessel_core.doctor`, for a terminal."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.text import Text

from vessel_core.backends import find_backend
from vessel_core.checkup import Check
from vessel_core.cli.models_shown import list_models
from vessel_core.cli.terminal import at_shell, hanging
from vessel_core.diagnosis import Examined, Report
from vessel_core.harmless import harmless
from vessel_core.types import ServerInfo

MOST_MODELS = 20
MOST_DETAIL = 400
"""Columns of what came; JSON has all of it."""
ROOM, INDENT = 30, 6
"""Columns that it needs beside its check, and where it begins beneath it."""


def progress(status: Status) -> Callable[[ServerInfo, Check], None]:
    """Return what writes each result into the status line."""

    def seen(server: ServerInfo, check: Check) -> None:
        status.update(escape(f"{server.base_url}  {check.mark} {check.name} …"))

    return seen


def show(report: Report, console: Console) -> None:
    """Print a report for people."""
    versions = "  ".join(f"{name} {number}" for name, number in report.versions.items())
    console.print(versions, style="dim", markup=False, highlight=False)
    for trap in report.traps:
        console.print(hanging(f"! {at_shell(trap)}", 2, console), style="yellow", markup=False)
    for one in report.servers:
        _show_server(one, console)
    if report.advice:
        console.print("\nNo server is usable. Start one:", markup=False)
        for sentence in report.advice:
            console.print(f"  {sentence}", markup=False, highlight=False)


def _show_server(one: Examined, console: Console) -> None:
    server = one.server
    title = find_backend(server.backend).title if server.backend != "auto" else "server"
    source = f"({server.source})" if server.source else ""
    where = "  ".join(filter(None, (f"{title} {server.version or ''}".rstrip(), server.base_url, source)))
    if not server.connected:
        console.print(
            "\n" + hanging(f"✗ {where}  {server.error or ''}", 2, console), style="dim", markup=False, highlight=False
        )
        return
    console.print(f"\n✓ {where}", style="bold", markup=False, highlight=False)
    if server.error:
        console.print("  " + hanging(server.error, 2, console), style="yellow", markup=False)
    if server.models:
        more = len(server.models) - MOST_MODELS
        list_models(server.models[:MOST_MODELS], "", console)
        if more > 0:
            console.print(f"and {more} more: vessel models", style="dim")
    for check in one.checks:
        _show_check(check, console)
    for sentence in one.advice:
        console.print("  " + hanging(f"→ {at_shell(sentence)}", 4, console), markup=False, highlight=False)


def _show_check(check: Check, console: Console) -> None:
    """Print what was tried, and beside it what came, over several lines if need be; beneath it where there is no room."""
    speed = f"{check.tokens_per_second:6,.0f} tokens/s" if check.tokens_per_second else " " * 15
    head = f"  {check.mark} {check.name:13}{check.milliseconds:7,.0f} ms {speed}  "
    indent = len(head)
    if console.width - indent < ROOM:
        head = f"  {check.mark} {check.name}  {check.milliseconds:,.0f} ms  {speed.strip()}".rstrip()
        head, indent = f"{head}\n{' ' * INDENT}", INDENT
    came = Text(harmless(check.detail))
    came.truncate(MOST_DETAIL, overflow="ellipsis")
    said = head + hanging(came.plain, indent, console)
    style = {True: "green", False: "red", None: "yellow"}[check.works]
    console.print(said.rstrip(), style=style, markup=False, highlight=False, soft_wrap=True)
