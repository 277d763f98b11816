"""`vessel models`, `vessel embed`, and the progress of pull and load."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column, Table
from rich.text import Text

from vessel_core.cli.reaching import reach
from vessel_core.cli.terminal import UNFOLDED, Terminal, warn
from vessel_core.client import Client
from vessel_core.diagnosis import server_dict, with_key
from vessel_core.discovery import look_around, no_server
from vessel_core.errors import InvalidRequest
from vessel_core.harmless import harmless
from vessel_core.settings import TargetOptions
from vessel_core.shown import MODEL_COLUMNS, model_cells, where
from vessel_core.types import ModelInfo, ServerInfo
from vessel_core.types import Progress as Step

BAR = 80
"""Columns that a bar needs with its numbers."""


def show(backend: str, options: TargetOptions, console: Console, *, as_json: bool = False) -> None:
    """Print a table for each server, or all of them as a list in JSON, then with those that a variable names and are down."""
    with Terminal(stderr=True).status("looking …"):
        servers = _servers(backend, options)
    for server in servers:
        if server.error:
            warn(f"{where(server)}: {server.error}" if server.base_url else server.error)
    if as_json:
        sys.stdout.write(json.dumps([server_dict(server) for server in servers], indent=2) + "\n")
        return
    for server in servers:
        if not server.connected:
            continue
        label = " ".join(filter(None, (server.backend, server.version, "at", server.base_url)))
        list_models(server.models, label, console)


def _servers(backend: str, options: TargetOptions) -> list[ServerInfo]:
    """Return the server that is named, or every one that is there; raise what keeps a named one from answering."""
    if options.get("base_url") or backend != "auto":
        with Client(backend, **options) as client:
            reach(client)
            models = client.models()
            return [replace(client.info(), models=tuple(models))]
    found = [with_key(server, options) for server in look_around()]
    if not any(server.connected for server in found):
        raise no_server(found)
    return sorted((one for one in found if one.connected or one.source), key=lambda one: not one.connected)


def list_models(models: Sequence[ModelInfo], label: str, console: Console) -> None:
    """Print the models of one server: a table where it fits, else what is known of each beneath its name."""
    rows = [model_cells(model) for model in models]
    shown = Table(title=escape(label) or None, title_justify="left", box=None, pad_edge=False)
    for name in MODEL_COLUMNS:
        shown.add_column(name, no_wrap=True)
    for row in rows:
        shown.add_row(*map(escape, row))
    if console.measure(shown, options=console.options.update_width(UNFOLDED)).maximum <= console.width:
        console.print(shown)
        return
    if label:
        console.print(label, style="table.title", markup=False, highlight=False, soft_wrap=True)
    for name, kind, state, context, *others in rows:
        console.print(name, style="bold", markup=False, highlight=False, soft_wrap=True)
        known = " · ".join(filter(None, (kind, state, context and f"context {context}", *others)))
        if known:
            console.print(Padding(Text(harmless(known)), (0, 0, 0, 2)))


def print_vectors(client: Client, texts: Sequence[str]) -> None:
    """Print one JSON list of numbers a line, for each text one; raise `InvalidRequest` for an empty text."""
    if "" in texts:
        raise InvalidRequest(
            f"Text {texts.index('') + 1} is empty.", hint="Each has its vector: take it out, or say something."
        )
    with Terminal(stderr=True).status("embedding …"):
        reach(client)
        vectors = client.embed(texts).vectors
    for vector in vectors:
        sys.stdout.write(json.dumps(vector) + "\n")


def follow(steps: Iterable[Step], what: str) -> None:
    """Show how far an operation is, with a bar where its size is known and fits, and say when it is done."""
    console = Terminal(highlight=False)
    wide = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    known = wide if console.width >= BAR else (TaskProgressColumn(),)
    said = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=known is wide))
    with Progress(SpinnerColumn(), said, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(what, total=None)
        for step in steps:
            total = step.total if step.unit == "bytes" else None
            bars.columns = (*bars.columns[:2], *(known if total else ()))
            status = harmless(f"{what}: {step.status}")
            bars.update(task, description=status, total=total, completed=step.completed or 0)
    console.print(f"✓ {what}", markup=False)
