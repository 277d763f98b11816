"""What a host is asked before calls go there: is it the same kind of server, and does it serve the same model?"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from operator import mul

from vessel_core.backends import COMPATIBLE, LLAMACPP, Backend
from vessel_core.backends.base import Flow, ask_health, choose_model, followed, same_model, unrecognised
from vessel_core.discovery import identify
from vessel_core.errors import (
    AuthFailed,
    InvalidConfig,
    ModelLoading,
    ModelNotFound,
    ProtocolError,
    ResponseError,
    ServerBusy,
    ServerTimeout,
    ServerUnreachable,
    Unsupported,
    VesselError,
)
from vessel_core.hosts import Measure, PoolHost
from vessel_core.pool import HostPool
from vessel_core.records import record
from vessel_core.target import Server, Target
from vessel_core.types import ModelInfo, ModelKind
from vessel_core.wire import Call, Reply
from vessel_core.wire.jsontext import dumps
from vessel_core.wire.reading import mapping
from vessel_core.wire.rerank import decode_rerank, encode_rerank

logger: logging.Logger = logging.getLogger("vessel_core")

KINDS: tuple[ModelKind, ...] = ("chat", "embedding", "rerank")
SAMPLE = ["A small boat rests in the harbour of an old town."]
QUERY = "Where is the boat?"
RANKED = [*SAMPLE, "The boat.", "Rain fell for a week.", "Nobody knows where it went."]
ALIKE = 0.99
"""The cosine from which on two vectors of one text are of one model, whatever its quantisation."""

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
        raise _differs(f"it is {backend.title}, and not {known.backend.title}")
    try:
        models = yield from backend.models()
    except (AuthFailed, ModelLoading):
        raise
    except (ResponseError, Unsupported):  # a server without a list
        models = []
    if models:
        yield from _fit(target, pool, host, models)
    return next((model.slots for model in models if model.slots), None)


def _kind(target: Target) -> Flow[Backend]:
    """Return what kind of server a host is: as it shows itself, else as was said."""
    given = target.backend
    if given is not None and given.recognises in (unrecognised, COMPATIBLE.recognises):
        return given
    found = yield from identify()
    return given if given is not None and found is COMPATIBLE else found


def _fit(target: Target, pool: HostPool, host: PoolHost, models: Sequence[ModelInfo]) -> Flow[None]:
    """Raise unless a host answers with the same models as the first one."""
    names = ", ".join(repr(model.id) for model in models[:10])
    alone = target.server.backend is LLAMACPP and len(models) == 1  # it answers with what it has, whatever is asked for
    if target.model is not None and not alone:
        models = [model for model in models if same_model(model.id, target.model)]
        if not models:
            raise ModelNotFound(f"It has no model {target.model!r}, only {names}.", hint="Load it there too.")
    measure = pool.measure(host, models)
    if measure.host is host and measure.models is models:
        for model in _used(models):
            if (vector := (yield from _vector(target, model, told=True))) is not None:
                measure.vectors[model.id] = vector
        return
    for wanted in _used(measure.models):
        fitting = models if alone and len(measure.models) == 1 else _called(wanted.id, models)
        found = next((model for model in fitting if alike(wanted, model) is not False), None)
        if found is None:
            raise _differs(f"it has {names}, and {measure.host.address.root} answered with {wanted.id!r} before")
        yield from _prove(target, measure, host, wanted, found)


def _used(models: Sequence[ModelInfo]) -> list[ModelInfo]:
    """Return the models that answer where none is named, of each kind."""
    chosen = {kind: choose_model(models, kind) for kind in KINDS}
    return list({model.id: model for model in chosen.values() if model is not None}.values())


def _called(name: str, models: Sequence[ModelInfo]) -> list[ModelInfo]:
    return [model for model in models if same_model(model.id, name)]


def alike(one: ModelInfo, other: ModelInfo) -> bool | None:
    """Tell whether two hosts mean the same model; `None` if what they say leaves that open.

    Files of one model may have two names, and fine-tunes of one model differ in nothing but that.
    """
    if any(_differ(one, other, fact) for fact in ("embedding_length", "vocabulary", "parameters")):
        return False
    if one.digest and other.digest:
        return True if one.digest == other.digest else None
    named = same_model(one.id, other.id)
    sized = not _differ(one, other, "size") and not _differ(one, other, "quantization")
    if named and sized:
        return True
    return None if named or (sized and None not in (one.size, other.size)) else False


def _differ(one: ModelInfo, other: ModelInfo, fact: str) -> bool:
    here, there = getattr(one, fact), getattr(other, fact)
    return None not in (here, there) and here != there


# ------------------------------------------------------------ where what they say leaves it open


@record
class OfFirst(Call):
    """A call for the host that the others are measured by."""


def _prove(target: Target, measure: Measure, host: PoolHost, wanted: ModelInfo, found: ModelInfo) -> Flow[None]:
    """Raise if the two embed a text differently; warn if they embed none, and what they say leaves it open."""
    told, first = alike(wanted, found) is True, measure.host.address.root
    if told and wanted.digest is not None and wanted.digest == found.digest:
        return
    here, before = (yield from _vector(target, found, told=told)), measure.vectors.get(wanted.id)
    if here is not None and before is None and measure.host is not host:
        try:
            before = yield from _at_first(_vector(target, wanted, told=told))
        except VesselError as error:
            if told:
                return
            raise ServerUnreachable(f"It can't be compared with {first}: {error.message}") from error
        if before is not None:
            measure.vectors[wanted.id] = before
    if here is None or before is None:
        if told:
            return
        logger.warning(
            "%s serves %r, and %s %r: nothing tells whether that is the same model. Give both one name if it is.",
            *(host.address.root, found.id, first, wanted.id),
        )
    elif cosine(here, before) < ALIKE:
        raise _differs(f"its {found.id!r} embeds or ranks texts otherwise than {wanted.id!r} at {first}")


def _at_first(flow: Flow[Sequence[float] | None]) -> Flow[Sequence[float] | None]:
    def asked(call: Call) -> Flow[Reply]:
        return (yield OfFirst(call.method, call.path, call.body, call.stream))

    return followed(flow, asked)


def _vector(target: Target, model: ModelInfo, *, told: bool) -> Flow[Sequence[float] | None]:
    """Return the vector of a text, or of a model for ranking the scores of some; `None` where there are neither. If it is
    `told` which model it is, a server that has no time needn't say."""
    unknown = (model.vocabulary, model.embedding_length, model.parameters, model.size) == (None,) * 4
    if model.kind == "chat" and target.server.backend is not LLAMACPP and not unknown:
        return None
    asks = (_scores, _embedding) if target.server.backend is LLAMACPP else (_embedding,)
    for ask in asks:
        try:
            return (yield from ask(target, model))
        except ModelLoading:
            raise
        except (ServerBusy, ServerTimeout):
            if told:
                return None
            raise
        except (ProtocolError, ResponseError, Unsupported) as error:
            if ask is asks[-1] and isinstance(error, AuthFailed | ProtocolError):
                raise
    return None


def _scores(target: Target, model: ModelInfo) -> Flow[Sequence[float]]:
    """Return how some texts are ranked. What llama.cpp embeds with a model for ranking is one score, and then whatever the
    memory held: it is asked this first, and refuses without work what it was not started for."""
    reply = yield encode_rerank(QUERY, RANKED, model.id, None)
    ranked = decode_rerank(reply.body, len(RANKED), None)
    return [one.score for one in sorted(ranked, key=lambda one: one.index)]


def _embedding(target: Target, model: ModelInfo) -> Flow[Sequence[float]]:
    dialect = target.server.backend.dialect
    call = dialect.encode_embed(SAMPLE, model=model.id, dimensions=None, options={}, quirks=target.quirks)
    return dialect.decode_embed((yield call).body, len(SAMPLE), None).rows[0]


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the cosine of two vectors, below any other if they have different lengths."""
    if len(one) != len(other):
        return -2.0
    return sum(map(mul, one, other)) / (math.hypot(*one) * math.hypot(*other) or 1.0)


def _differs(how: str) -> InvalidConfig:
    return InvalidConfig(
        f"It does not fit the other hosts: {how}.",
        hint="Hosts of one client serve the same model by the same server; a new client may begin with another one.",
    )


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
