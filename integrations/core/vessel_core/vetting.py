"""What a host is asked before calls go there: is it the same kind of server, and does it serve the same model?"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from vessel_core.backends import COMPATIBLE, LLAMACPP, Backend
from vessel_core.backends.base import Flow, ask_health, choose_model, same_model, unrecognised
from vessel_core.discovery import identify
from vessel_core.errors import AuthFailed, InvalidConfig, ModelLoading, ModelNotFound, ResponseError, Unsupported
from vessel_core.hosts import PoolHost
from vessel_core.pool import HostPool
from vessel_core.target import Server, Target
from vessel_core.types import ModelInfo, ModelKind
from vessel_core.wire import Call
from vessel_core.wire.jsontext import dumps
from vessel_core.wire.reading import mapping

logger: logging.Logger = logging.getLogger("vessel_core")

KINDS: tuple[ModelKind, ...] = ("chat", "embedding", "rerank")
STEP = 128
"""Characters of a prompt that make one step of its beginning."""

MOST_STEPS = 256


def probe(target: Target, pool: HostPool, host: PoolHost) -> Flow[int | None]:
    """Ask a host how it is, and one that is to be taken in what it serves; return its slots if it says."""
    if host.state in ("ready", "trial"):
        yield from ask_health(target.server.backend.health)
        return None
    return (yield from _vet(target, pool, host))


def _vet(target: Target, pool: HostPool, host: PoolHost) -> Flow[int | None]:
    backend = yield from _kind(target)
    known = target.known
    if known is None:
        known = target.known = Server(backend, host.address)
    if backend is not known.backend:
        raise _differs(host, f"it is {backend.title}, and not {known.backend.title}")
    try:
        models = yield from backend.models()
    except (AuthFailed, ModelLoading):
        raise
    except (ResponseError, Unsupported):  # a server without a list
        models = []
    if models:
        _compare(target, known.backend, pool.measure(host, models), models, host)
    ask: Callable[[], Flow[int | None]] | None = backend.features.get("total_slots")
    return None if ask is None else (yield from ask())


def _kind(target: Target) -> Flow[Backend]:
    """Return what kind of server a host is: as it shows itself, else as was said."""
    given = target.backend
    if given is not None and given.recognises in (unrecognised, COMPATIBLE.recognises):
        return given
    found = yield from identify()
    return given if given is not None and found is COMPATIBLE else found


def _compare(
    target: Target, backend: Backend, first: Sequence[ModelInfo], models: Sequence[ModelInfo], host: PoolHost
) -> None:
    """Raise unless the host has the model that the others answer with, those of the `first` one."""
    names = ", ".join(repr(model.id) for model in models[:10])
    if backend is LLAMACPP and len(models) == len(first) == 1:  # it answers with the one it has, whatever is asked for
        if not alike(first[0], models[0]):
            raise _differs(host, f"it serves {names}, and the others {first[0].id!r}")
    elif target.model is not None:
        if not any(same_model(model.id, target.model) for model in models):
            raise ModelNotFound(f"It has no model {target.model!r}, only {names}.", hint="Load it there too.")
    else:
        for kind in KINDS:
            chosen = choose_model(first, kind)
            if chosen is not None and not any(alike(chosen, model) for model in models):
                raise _differs(host, f"it has {names}, and not {chosen.id!r} as the others")


def alike(one: ModelInfo, other: ModelInfo) -> bool:
    """Tell whether two hosts mean the same model: by its name, or by its size where files are called differently."""
    if one.embedding_length and other.embedding_length and one.embedding_length != other.embedding_length:
        return False
    same_size = one.size is not None and (one.size, one.parameters) == (other.size, other.parameters)
    return same_model(one.id, other.id) or same_size


def _differs(host: PoolHost, how: str) -> InvalidConfig:
    error = InvalidConfig(
        f"It does not fit the other hosts: {how}.", hint="Hosts of one client serve the same model by the same server."
    )
    if host.error is None or host.error.message != error.message:
        logger.warning("%s is not used. %s %s", host.address.root, error.message, error.hint)
    return error


def beginnings(call: Call) -> list[int]:
    """Return the beginning of a prompt in steps, each a number that stands for all up to there; nothing for other calls."""
    body = mapping(call.body)
    prompt = [body[name] for name in ("tools", "messages", "prompt") if body.get(name)]
    if not prompt or not call.stream:
        return []
    text = dumps(prompt)[: STEP * MOST_STEPS]
    steps = [0]
    for at in range(0, len(text) - STEP + 1, STEP):
        steps.append(hash((steps[-1], text[at : at + STEP])))
    return steps[1:]
