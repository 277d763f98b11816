"""`vessel doctor`: the report of `vessel_core.doctor`, for a terminal."""

from __future__ import annotations

from rich.console import Console

from vessel_core.backends import find_backend
from vessel_core.cli.models_shown import table
from vessel_core.diagnosis import Examined, Report

MOST_MODELS = 20
UNFOLDED = 1000
"""Columns where nobody looks: a report in a file or an issue is whole."""


def show(report: Report, console: Console) -> None:
    """Print a report for people."""
    if not console.is_terminal:
        console.width = UNFOLDED
    versions = "  ".join(f"{name} {number}" for name, number in report.versions.items())
    console.print(versions, style="dim", markup=False, highlight=False)
    for trap in report.traps:
        console.print(f"! {trap}", style="yellow", markup=False)
    for one in report.servers:
        _show_server(one, console)
    if report.advice:
        console.print("\nNo server is usable. Start one:", markup=False)
        for sentence in report.advice:
            console.print(f"  {sentence}", markup=False, highlight=False)


def _show_server(one: Examined, console: Console) -> None:
    server = one.server
    title = find_backend(server.backend).title if server.backend != "auto" else "server"
    source = f"  ({server.source})" if server.source else ""
    where = f"{title} {server.version or ''}".rstrip() + f"  {server.base_url}{source}"
    if not server.connected:
        console.print(f"\n✗ {where}  {server.error or ''}", style="dim", markup=False, highlight=False)
        return
    console.print(f"\n✓ {where}", style="bold", markup=False, highlight=False)
    if server.error:
        console.print(f"  {server.error}", style="yellow", markup=False)
    if server.models:
        more = len(server.models) - MOST_MODELS
        console.print(table(server.models[:MOST_MODELS], ""))
        if more > 0:
            console.print(f"and {more} more: vessel models", style="dim")
    for check in one.checks:
        speed = f"{check.tokens_per_second:6,.0f} tokens/s" if check.tokens_per_second else " " * 15
        style = {True: "green", False: "red", None: "yellow"}[check.works]
        line = f"  {check.mark} {check.name:13}{check.milliseconds:7,.0f} ms {speed}  {check.detail[:100]}"
        console.print(line, style=style, markup=False, highlight=False, no_wrap=True, overflow="ellipsis")
    for sentence in one.advice:
        console.print(f"  → {sentence}", markup=False, highlight=False)
