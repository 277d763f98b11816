"""Which model a call uses, and what the server says of each: flows whose results the target remembers."""

from __future__ import annotations

import logging
from typing import Any

from vessel_core.backends.base import Flow, choose_model, noting
from vessel_core.errors import ModelNotFound, ProtocolError, ResponseError, Unsupported, VesselError, did_you_mean
from vessel_core.target import Target
from vessel_core.types import ModelInfo, ModelKind

logger = logging.getLogger("vessel_core")


def choose(target: Target, kind: ModelKind) -> Flow[str | None]:
    """Return the model to use when a call names none: the given one, else the first loaded one of that kind."""
    if target.model is not None:
        return target.model
    if kind not in target.chosen:
        try:
            offered = yield from listed(target)
        except (ResponseError, Unsupported):
            target.chosen[kind] = None  # a server without a list may need no name
        else:
            if (found := choose_model(offered, kind)) is None:
                backend = target.server.backend
                raise ModelNotFound(f"{backend.title} has no models.", hint=backend.how_to_get_a_model)
            if (kind, found.kind) == ("embedding", "chat"):
                logger.warning(
                    "%r is a chat model: its vectors find passages badly. Name an embedding model, or the server of one.",
                    found.id,
                )
            target.chosen[kind] = found.id
    return target.chosen[kind]


def listed(target: Target) -> Flow[list[ModelInfo]]:
    """Return the server's models, and remember what it said of them."""
    evidence: dict[str, Any] = {}
    try:
        found = yield from noting(target.server.backend.models(), evidence)
    except (Unsupported, ProtocolError) as error:
        yield from target.doubt().explain(error)
        raise
    if target.server.backend.recognises(evidence):
        target.doubt().believe()
    else:
        yield from target.doubt().ask()
    target.seen = {one.id: one for one in found}
    return found


def describe(target: Target, name: str | None) -> Flow[ModelInfo]:
    """Return what the server says of a model, remembered once that is loaded: before, little is known of it."""
    if name in target.described:
        return target.described[name]
    found = yield from target.server.backend.model(name)
    target.seen = {**target.seen, name: found}
    if found.state in ("loaded", None):
        target.described[name] = found
    return found


def look_at(target: Target, model: str | None) -> Flow[None]:
    """Learn what a model's template takes, unless that was seen already or the server doesn't say."""
    if model not in target.seen:
        try:
            yield from describe(target, model)
        except VesselError:
            target.seen = {**target.seen, model: ModelInfo(model or "")}


def advice(target: Target, error: VesselError, model: str | None) -> Flow[None] | None:
    """Return what to ask the server in order to say more of an error, `None` if there is nothing.

    Where the server has no such route, another server may answer.
    """
    if isinstance(error, ModelNotFound) and model is not None:
        return _nearest(target, error, model)
    if isinstance(error, Unsupported) and error.status_code in (200, 404, 405):
        return target.doubt().explain(error)
    return None


def _nearest(target: Target, error: ModelNotFound, name: str) -> Flow[None]:
    """Put the names nearest to the missing one on the error, if the server lists any."""
    try:
        names = [model.id for model in (yield from listed(target))]
    except VesselError:
        return
    if name in names:
        error.hint = f"The server has it: load it with `load({name!r})`, or see the server's log."
        return
    error.nearest = tuple(sorted(names, key=lambda known: _distance(name, known))[:3])
    error.message = f"There is no model {name!r} on this server{did_you_mean(name, names)}"
    shown = ", ".join(repr(known) for known in names[:10]) or "none"
    error.hint = f"It has: {shown}. {error.hint or ''}".strip()


def _distance(name: str, known: str) -> float:
    import difflib  # only a wrong name needs it

    return -difflib.SequenceMatcher(None, name.lower(), known.lower()).ratio()
