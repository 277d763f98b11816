"""Tells LangChain's callbacks how far something slow has come: a model that loads, a prompt that is read.

A stream says it itself, in chunks without words whose `response_metadata["progress"]` holds it; LangChain gives it no run to
tell. Where an answer is waited for as a whole it is a custom event of that run, `vessel_progress`, which `on_custom_event`
of a callback handler gets. Either way it is the fields of `vessel_core.types.Progress`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from langchain_core.callbacks.manager import BaseRunManager, ahandle_event, handle_event
from vessel_core.types import Progress

NAME = "vessel_progress"


def tell(run: BaseRunManager | None, progress: Progress) -> None:
    """Tell of progress, if there is a run."""
    if run is not None:
        handle_event(run.handlers, "on_custom_event", "ignore_custom_event", NAME, asdict(progress), **_of(run))


async def atell(run: BaseRunManager | None, progress: Progress) -> None:
    """Tell of progress, if there is a run, async."""
    if run is not None:
        await ahandle_event(run.handlers, "on_custom_event", "ignore_custom_event", NAME, asdict(progress), **_of(run))


def _of(run: BaseRunManager) -> dict[str, Any]:
    return {"run_id": run.run_id, "tags": run.tags, "metadata": run.metadata}
