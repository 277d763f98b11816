"""Servers, models and progress as people see them: in a notebook, and the words that the `vessel` command shares with it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from vessel_core.harmless import harmless

if TYPE_CHECKING:
    from vessel_core.types import Capabilities, ModelInfo, Progress, ServerInfo

__all__ = [
    "MODEL_COLUMNS",
    "Models",
    "Servers",
    "follow",
    "html_list",
    "html_table",
    "model_cells",
    "models_html",
    "servers_html",
]

UNKNOWN = "{desc} [{elapsed}]"
"""How a bar looks whose end isn't known."""

WAITING = "{desc}: {n_fmt} of at most {total_fmt} s"
"""How it looks where somebody is waited for: a rate would say nothing."""

MODEL_COLUMNS = ("model", "kind", "state", "context", "size", "quantisation", "can")


def model_cells(model: ModelInfo) -> tuple[str, ...]:
    """Return what a table says of a model, in the order of `MODEL_COLUMNS`."""
    cells = (model.id, model.kind, model.state, _context(model), _size(model.size), model.quantization)
    return (*(cell or "" for cell in cells), _can(model.capabilities))


def _context(model: ModelInfo) -> str:
    """The context lengths: what is allocated, of what the model could take."""
    if model.context_length and model.max_context_length and model.context_length != model.max_context_length:
        return f"{model.context_length:,} of {model.max_context_length:,}"
    length = model.context_length or model.max_context_length
    return f"{length:,}" if length else ""


def _size(number: int | None) -> str:
    if number is None:
        return ""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"


def _can(capabilities: Capabilities) -> str:
    names = ("tools", "vision", "audio", "reasoning", "embeddings", "rerank", "infill")
    return ", ".join(name for name in names if getattr(capabilities, name))


def html_table(columns: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """Return a table; what a server says in it is text, and never markup."""
    left = ' style="text-align: left"'
    head = "".join(f"<th{left}>{_escaped(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td{left}>{_escaped(cell)}</td>' for cell in row)}</tr>" for row in rows)
    title = f'<caption style="text-align: left">{_escaped(caption)}</caption>' if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def html_list(sentences: Sequence[str]) -> str:
    """Return sentences as a list, nothing if there are none."""
    return f"<ul>{''.join(f'<li>{_escaped(each)}</li>' for each in sentences)}</ul>" if sentences else ""


def _escaped(text: str) -> str:
    from html import escape  # a notebook needs it, an import of the package does not

    return escape(harmless(text))


def models_html(models: Iterable[ModelInfo], caption: str = "") -> str:
    """Return a table of models."""
    return html_table(MODEL_COLUMNS, map(model_cells, models), caption)


def servers_html(servers: Sequence[ServerInfo]) -> str:
    """Return a table of the models of each server that is there, and one of those that are not, with the reason."""
    there = "".join(_server_html(server) for server in servers if server.connected)
    gone = [("✗", one.backend, where(one), one.error or "") for one in servers if not one.connected]
    return there + (html_table(("", "server", "address", "what is wrong"), gone) if gone else "")


def _server_html(server: ServerInfo) -> str:
    title = " ".join(filter(None, ("✓", server.backend, server.version, "at", where(server))))
    return models_html(server.models, title) + (f"<p>{_escaped(server.error)}</p>" if server.error else "")


def where(server: ServerInfo) -> str:
    """Its address, and the variable that named it."""
    return server.base_url + (f" ({server.source})" if server.source else "")


class Servers(list["ServerInfo"]):
    """A list of servers that a notebook shows as tables."""

    def _repr_html_(self) -> str:
        return servers_html(self) or "<p>no servers</p>"


class Models(list["ModelInfo"]):
    """A list of models that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        return models_html(self)


def follow(steps: Iterable[Progress], what: str = "") -> Progress | None:
    """Show how far something slow is, with a bar of tqdm's, and return its last step.

    `steps` is what `Client.load`, `pull`, `create` or `wait_until_ready` give, and `what` is written before them. Needs tqdm.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without ipywidgets a bar of text is drawn, and needs no complaint
        from tqdm.auto import tqdm

    last: Progress | None = None
    with closing(tqdm(desc=what or None, bar_format=UNKNOWN)) as bar:  # its context manager has no type
        for last in steps:
            bar.unit, bar.unit_scale = ("B", True) if last.unit == "bytes" else (f" {last.unit}", False)
            bar.total, bar.bar_format = (
                last.total,
                (WAITING if last.unit == "seconds" else None) if last.total else UNKNOWN,
            )
            bar.n = last.completed or 0
            bar.set_description_str(": ".join(filter(None, (what, last.status))))
    return last
