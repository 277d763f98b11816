"""What LM Studio's REST API has beside chat and embeddings: models that are fetched, loaded and unloaded."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from vessel_core.backends.base import Flow, get_json, items, refuse_other_than, tell
from vessel_core.backends.openai_features import FEATURES as OPENAI_FEATURES
from vessel_core.errors import ProtocolError, ServerError, Unsupported
from vessel_core.retry import Wait
from vessel_core.types import Progress
from vessel_core.watching import Steps
from vessel_core.wire import Call, Reply
from vessel_core.wire.failures import json_body
from vessel_core.wire.reading import count, mapping, string

POLL = 0.5

UNDER_WAY = ("downloading", "paused")
ENDED = ("completed", "already_downloaded", "failed")
"""The states of a download, by LM Studio's documentation."""

LOADING = frozenset(
    {
        *("num_ctx", "context_length", "eval_batch_size", "flash_attention", "num_experts"),
        *("offload_kv_cache_to_gpu", "echo_load_config"),
    }
)
"""What a model can be loaded with, by LM Studio's documentation of its REST API."""


def load(model: str, options: Mapping[str, Any], extra: Mapping[str, Any], _limit: float | None) -> Steps:
    """Load a model; `num_ctx` is its `context_length`, other options go as LM Studio names them."""
    refuse_other_than(LOADING, options, "LM Studio loads no model")
    body = {"context_length" if name == "num_ctx" else name: value for name, value in options.items()}
    yield Progress("loading")
    with _of_newer_ones():
        reply = yield Call("POST", "/api/v1/models/load", {"model": model, **body, **extra}, stream=True)
        seconds = mapping(json_body(reply or Reply(500))).get("load_time_seconds")
    yield Progress("loaded" if seconds is None else f"loaded in {seconds} s")


def unload(model: str) -> Flow[None]:
    """Unload each loaded instance of a model."""
    with _of_newer_ones():
        listed = items((yield from get_json("/api/v1/models")), "models")
        instances = [one for item in listed if item.get("key") == model for one in items(item, "loaded_instances")]
        for name in [instance.get("id") for instance in instances] or [model]:
            yield from tell("/api/v1/models/unload", {"instance_id": name})


def pull(model: str, options: Mapping[str, Any], extra: Mapping[str, Any]) -> Steps:
    """Fetch a model and follow the job until it is done."""
    refuse_other_than({"quantization"}, options, "LM Studio fetches no model")
    with _of_newer_ones():
        reply = yield Call("POST", "/api/v1/models/download", {"model": model, **options, **extra})
        job = mapping(json_body(reply or Reply(500)))
    while True:
        status = string(job.get("status")) or ""
        if status not in UNDER_WAY + ENDED:
            raise ProtocolError(
                f"LM Studio says {status[:50]!r} of the download of {model!r}, which is no state that is known.",
                hint="See in LM Studio how far it is.",
            )
        total = count(job.get("total_size_bytes"))
        yield Progress(status, count(job.get("downloaded_bytes")), total, "bytes")
        if status == "failed":
            raise ServerError(f"The download of {model!r} failed: {job.get('error') or 'no reason was given'}.")
        if status in ENDED:
            return
        yield Wait(POLL)
        reply = yield Call("GET", f"/api/v1/models/download/status/{_one_part(str(job.get('job_id')))}")
        job = {**job, "status": None, **mapping(json_body(reply or Reply(500)))}


@contextmanager
def _of_newer_ones() -> Generator[None]:
    """Say of a route that is not there since when it is."""
    try:
        yield
    except Unsupported as error:
        error.hint = (
            "LM Studio does so over HTTP since 0.4.0; with an older one use its own command: `lms load`, `lms get`."
        )
        raise


def _one_part(name: str) -> str:
    """Return a name as one part of a path, also where it is `..` or holds half of a character."""
    quoted = quote(name, safe="", errors="replace")
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E")


FEATURES: Mapping[str, Any] = {
    "complete": OPENAI_FEATURES["complete"],
    "completion_stream": OPENAI_FEATURES["completion_stream"],
    "load": load,
    "pull": pull,
    "unload": unload,
}
