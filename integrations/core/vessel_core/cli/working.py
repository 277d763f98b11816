"""`vessel embed --from` and `vessel batch`: a whole file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from vessel_core.bulk import bulk
from vessel_core.client import Client


def run(client: Client, source: Path, to: Path, **options: Any) -> None:
    """Work on every row, and say what was done; 1 is the exit code if rows of this run ended in an error."""
    report = bulk(source, to, client=client, **options)
    rate = (report.rows - report.skipped) / report.seconds
    earlier = f", {report.skipped:,} of them by an earlier run" if report.skipped else ""
    typer.echo(f"{to}: {report.rows:,} rows{earlier}; {report.seconds:.1f} s, {rate:.1f}/s.", err=True)
    if report.errors:
        typer.echo(f"{report.errors:,} rows ended in an error: see their `error`, and try `--retry-errors`.", err=True)
        raise typer.Exit(1)
