"""Embeddings, step by step: texts → batches that fit the server → vectors, with a text that is too long told apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from functools import partial
from typing import Any, Literal, SupportsIndex, cast

from vessel_core.backends.base import Flow
from vessel_core.choosing import choose, look_at
from vessel_core.errors import ContextOverflow, InputTooLarge, InvalidRequest, ProtocolError
from vessel_core.matrix import Matrix
from vessel_core.options import EmbedOptions
from vessel_core.records import record
from vessel_core.request import checked_options, refuse_unsupported
from vessel_core.target import Target
from vessel_core.types import Embeddings, Usage
from vessel_core.wire.vectors import BATCH

Blank = Literal["refuse", "space"]

BATCH_A_SLOT = 16
"""Texts a request for each of the server's slots: none of them idles long, and no request takes minutes."""


@record
class EmbedRequest:
    """What is to be embedded, checked: a text that is blank is refused, or becomes a space (quirk 79).

    `batch_size` texts go in one request, and `concurrency` requests at once; `None` is what fits the server.
    """

    texts: Sequence[str]
    model: str | None = None
    dimensions: int | None = None
    batch_size: int | None = None
    concurrency: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


def embed_request(texts: Iterable[str], blank: Blank, options: Mapping[str, Any], **fields: Any) -> EmbedRequest:
    """Return a checked request; raise `InvalidRequest` that names what was wrong."""
    if isinstance(texts, str):
        raise InvalidRequest("texts is one string; embed takes a list of them.", hint=f"Pass [{texts[:30]!r}].")
    texts = list(texts)
    for at, text in enumerate(texts):
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types exist
            raise InvalidRequest(f"texts[{at}] is a {type(text).__name__}, not a text.")
        if not text and blank == "refuse":
            raise InvalidRequest(f"texts[{at}] is empty.", hint="Leave it out, or pass blank='space'.")
    for name in ("batch_size", "concurrency"):
        if fields[name] is not None and not isinstance(fields[name], SupportsIndex):
            raise InvalidRequest(f"{name}={fields[name]!r} is no whole number.")
        if fields[name] is not None and fields[name] < 1:
            raise InvalidRequest(f"{name}={fields[name]} is below 1.")
    return EmbedRequest([text or " " for text in texts], options=options, **fields)


def fitted(target: Target, request: EmbedRequest) -> Flow[EmbedRequest]:
    """Choose the model, and size the batches to the server where it tells how many requests it works on at once."""
    model = request.model or (yield from choose(target, "embedding"))
    sized = request.batch_size is not None and request.concurrency is not None
    if not sized and len(request.texts) > BATCH_A_SLOT and target.server.backend.tells_slots:
        yield from look_at(target, model)
    slots = target.slots(model)
    hosts = len(target.pool.hosts) if target.pool else 1
    return replace(
        request,
        model=model,
        batch_size=request.batch_size or (BATCH if slots is None else min(BATCH, BATCH_A_SLOT * slots)),
        concurrency=request.concurrency or (4 if slots is None else 2 * hosts),  # one is worked on, and one waits
    )


def batches(target: Target, request: EmbedRequest) -> list[Flow[Embeddings]]:
    """Return the flows that embed a fitted request, a batch each."""
    size = request.batch_size or BATCH
    return [_batch(target, request, start, size) for start in range(0, len(request.texts), size)]


def _batch(target: Target, request: EmbedRequest, start: int, size: int) -> Flow[Embeddings]:
    """Embed one batch, in order. A text that is too long is told apart from the rest, whose vectors ride on the error."""
    found = yield from _embed(target, _written(target, request), request.texts[start : start + size])
    for at, one in enumerate(found):
        if isinstance(one, InputTooLarge):
            one.index = start + at
            one.message = f"texts[{one.index}]: {one.message}"
            one.vectors = [None if isinstance(other, InputTooLarge) else other.vectors[0] for other in found]
            raise one
    made = [one for one in found if isinstance(one, Embeddings)]
    return made[0] if len(made) == 1 else joined(made)


def _written(target: Target, request: EmbedRequest) -> EmbedRequest:
    """Return the request with the options that the server takes; raise `Unsupported` on one it has not."""
    given = {name: value for name, value in request.options.items() if value is not None and name != "extra_body"}
    plain = checked_options(given)
    refuse_unsupported(plain, target.server.backend.title, target.quirks)
    steady = target.steady(request.model, plain, request.options.get("extra_body"))
    return replace(request, options={**request.options, **steady})


def _embed(target: Target, request: EmbedRequest, texts: Sequence[str]) -> Flow[list[Embeddings | InputTooLarge]]:
    """Return one result for a batch that went well, else one for each text, the long ones found by halving."""
    dialect = target.server.backend.dialect
    options = cast("EmbedOptions", request.options)
    call = dialect.encode_embed(texts, request.model, request.dimensions, options, target.quirks)
    try:
        read = partial(dialect.decode_embed, count=len(texts), dimensions=request.dimensions)
        reply = yield replace(call, vectors=len(texts), read=read)
    except (ContextOverflow, InputTooLarge) as error:
        if len(texts) == 1:
            return [_too_large(error)]
    else:
        return [reply.document]
    half = len(texts) // 2
    left = yield from _embed(target, request, texts[:half])
    right = yield from _embed(target, request, texts[half:])
    return [*_each(left), *_each(right)]


def _too_large(error: ContextOverflow | InputTooLarge) -> InputTooLarge:
    """Return the error of one text: of the two limits it met, the batch's or the context's, none concerns the others."""
    if isinstance(error, InputTooLarge):
        return error
    hint = "Split the text, or start the server with a larger context (llama.cpp `-c`, Ollama `num_ctx=…`)."
    made = InputTooLarge(error.message.replace("prompt", "text", 1), hint=hint, response=error.response, url=error.url)
    made.request_id = error.request_id
    return made


def _each(found: Sequence[Embeddings | InputTooLarge]) -> list[Embeddings | InputTooLarge]:
    """Return one result a text."""
    apart: list[Embeddings | InputTooLarge] = []
    for one in found:
        if isinstance(one, InputTooLarge):
            apart.append(one)
        else:
            apart += [
                Embeddings(Matrix(vector, len(vector)), one.model, one.usage if at == 0 else None)
                for at, vector in enumerate(cast("Matrix", one.rows))
            ]
    return apart


def joined(parts: Iterable[Embeddings]) -> Embeddings:
    """Return the vectors of several batches as one."""
    joining = Joining()
    for part in parts:
        joining.add(part)
    return joining.whole()


class Joining:
    """Makes the vectors of several batches one as they come, so that no batch need be kept."""

    def __init__(self) -> None:
        self._model: str | None = None
        self._used: list[Usage] = []
        self._widths: set[int] = set()
        self._rows: Matrix | None = None

    def add(self, part: Embeddings) -> None:
        """Take the next batch."""
        self._used += [part.usage] if part.usage else []
        rows = cast("Matrix", part.rows)
        self._widths.add(rows.width)
        if self._rows is None:
            self._rows, self._model = rows, part.model
        else:
            self._rows.extend(rows)

    def whole(self) -> Embeddings:
        """Return all vectors; raise `ProtocolError` if their lengths differ."""
        used = self._used
        usage = (
            Usage(sum(one.prompt_tokens for one in used), 0, sum(one.total_tokens for one in used)) if used else None
        )
        if len(self._widths) > 1:
            raise ProtocolError(
                f"The vectors are of more than one model: they have {' and '.join(map(str, sorted(self._widths)))} numbers.",
                hint="Was the server started with another model meanwhile? Embed all texts with one.",
            )
        return Embeddings([] if self._rows is None else self._rows, self._model, usage)
